/// <reference lib="dom" />
/** The part of the page that shows what a score selects. */
import { escapeXml } from "../../chart/escape.ts";
import { requestDecoderDevice } from "../../../kernels/decoder/request_device.ts";
import { byId, messageOf, setOptions, setTerms } from "../dom.ts";
import type { PageBuild, Reply, TraceFile } from "../messages.ts";
import { startWorker, type WorkerLink } from "../worker_link.ts";
import { type Marks, Painter, type Picture } from "./draw.ts";
import { FATE, type LookRequest, type LookResult, type LookTrace } from "./look.ts";
import {
  cloudMatrix,
  cloudOf,
  FIRST_CAMERA,
  moveCamera,
  type Strip,
  stripMatrix,
  stripOf,
} from "./scene.ts";

/** Budgets: 1 of so many tokens of the trace is selected. */
const SPARSITIES = [8, 16, 32, 64, 160];
const FIRST_SPARSITY = 32;
/** First and last tokens that are always attended. */
const WINDOW = 128;
/** Tokens of the table. */
const HEAVIEST = 12;
/** Radians that a key press turns the cloud. */
const KEY_TURN = 0.12;
const KEY_ZOOM = 1.15;

const strip = byId<HTMLCanvasElement>("strip");
const cloud = byId<HTMLCanvasElement>("cloud");
const shippedList = byId<HTMLSelectElement>("traces");
const query = byId<HTMLInputElement>("query");
const choices = ["head", "method", "sparsity"].map((id) => byId<HTMLSelectElement>(id));
const camera = { ...FIRST_CAMERA };

let worker: WorkerLink | null = null;
let trace: LookTrace | null = null;
let pictures: { readonly strip: Picture; readonly cloud: Picture } | null = null;
let shown: { readonly strip: Strip; readonly cloud: Marks } | null = null;
/** Whether the worker is at a request, and whether the form has changed since. */
let isBusy = false;
let isStale = false;

/** Makes the part work as soon as it is looked at. */
export function openSelectionView({ heads }: PageBuild): void {
  setOptions(shippedList, heads.map(({ name }, i) => [String(i), name]));
  shippedList.addEventListener("change", () => openTrace(Number(shippedList.value)));
  const seen = new IntersectionObserver((entries) => {
    if (!entries.some(({ isIntersecting }) => isIntersecting)) return;
    seen.disconnect();
    open();
  }, { rootMargin: "200px" });
  seen.observe(byId("selection"));
  setOptions(
    choices[2],
    SPARSITIES.map((sparsity) => [String(sparsity), `1 of ${sparsity}`]),
    String(FIRST_SPARSITY),
  );
  for (const field of [query, ...choices]) field.addEventListener("input", ask);
  const file = byId<HTMLInputElement>("trace");
  file.addEventListener("change", async () => {
    const [chosen] = file.files ?? [];
    if (chosen === undefined) return;
    const bytes = await chosen.arrayBuffer();
    openTrace({ name: chosen.name.replace(/\.safetensors$/, ""), bytes });
  });
  listenToCloud();
  new ResizeObserver(draw).observe(strip);
}

async function open(): Promise<void> {
  openTrace(0);
  await openPictures().catch(showUndrawn);
}

/** Opens a device to draw with. If it is lost, another one takes its place, once. */
async function openPictures(replacements = 1): Promise<void> {
  const adapter = await navigator.gpu?.requestAdapter();
  if (!adapter) throw new Error("this browser gives no WebGPU adapter.");
  const device = await requestDecoderDevice(adapter, []);
  device.lost.then(() => {
    pictures = null;
    if (replacements > 0) openPictures(replacements - 1).catch(showUndrawn);
  });
  const painter = new Painter(device);
  pictures = { strip: painter.picture(strip), cloud: painter.picture(cloud) };
  fillPictures();
}

function showUndrawn(error: unknown): void {
  byId("cloud-caption").textContent = `Nothing is drawn: ${messageOf(error)}`;
}

/** Opens the trace of a shipped head, by its number, or a file of the user's. */
function openTrace(source: number | TraceFile): void {
  worker ??= startWorker(take);
  byId("look-status").textContent = "Reading the trace ...";
  worker.send({ type: "trace", source });
}

function take(reply: Reply): void {
  if (reply.type === "trace") {
    trace = reply.trace;
    showTrace(trace);
    isBusy = false;
    ask();
  } else if (reply.type === "look") {
    isBusy = false;
    show(reply.result);
    if (isStale) ask();
  } else if (reply.type === "refused") {
    isBusy = false;
    byId("look-status").textContent = reply.message;
  }
}

function showTrace({ positions, queryHeads, scores, shares }: LookTrace): void {
  query.max = String(positions.length - 1);
  query.value = query.max;
  const heads = Array.from({ length: queryHeads }, (_, head) => String(head));
  setOptions(choices[0], heads.map((head) => [head, head]));
  setOptions(choices[1], scores.map(({ method, label }) => [method, label]));
  const all = shares.reduce((a, b) => a + b, 0);
  byId("cloud-caption").textContent = "The keys in the space of their first three principal " +
    `components, which have ${percent(all)} of the variance. Drag, or use the arrow keys, to ` +
    "turn it; the wheel, plus and minus zoom.";
}

function requestOf(): LookRequest {
  const [head, method, sparsity] = choices.map(({ value }) => value);
  return {
    query: Number(query.value),
    head: Number(head),
    method,
    sparsity: Number(sparsity),
    sink: WINDOW,
    recent: WINDOW,
  };
}

/** Asks for what the form says. While the worker is busy only the latest request waits. */
function ask(): void {
  if (trace === null || worker === null) return;
  isStale = isBusy;
  if (isBusy) return;
  isBusy = true;
  const request = requestOf();
  query.setAttribute("aria-valuetext", `at token ${trace.positions[request.query]}`);
  worker.send({ type: "look", look: request });
}

function show(result: LookResult): void {
  const { position, picks, hits, massTotal, massMiddle, recall, error, threshold } = result;
  const { name, positions, kvLen } = trace!;
  byId("look-status").textContent = `${name}, ${kvLen.toLocaleString("en-US")} tokens: query ${
    result.request.query + 1
  } of ${positions.length}, at token ${position.toLocaleString("en-US")}.`;
  const share = (value: number | null) => value === null ? "none" : percent(value);
  setTerms(byId("look-numbers"), [
    ["mass attended", percent(massTotal)],
    ["mass of the middle", share(massMiddle)],
    ["error of the output", error.toFixed(4)],
    ["selected", `${picks}`],
    ["of the exact best", `${hits} (${share(recall)})`],
    ["threshold", threshold === null ? "none" : String(threshold)],
  ]);
  byId("look-table").innerHTML = heaviestHtml(result);
  strip.setAttribute(
    "aria-label",
    `Tokens by position and score: ${picks} of ${position + 1} are selected, ${
      picks - hits
    } of them are not among the exact best, with ${percent(massTotal)} of the attention.`,
  );
  shown = { strip: stripOf(result), cloud: cloudOf(trace!, result) };
  fillPictures();
}

/** Gives the pictures what is shown. They may open later than the first result comes. */
function fillPictures(): void {
  if (pictures === null || shown === null) return;
  pictures.strip.set(shown.strip);
  pictures.cloud.set(shown.cloud);
  draw();
}

const FATE_WORDS = new Map<number, string>([
  [FATE.window, "in a window"],
  [FATE.hit, "selected"],
  [FATE.extra, "selected"],
  [FATE.missed, "missed"],
  [FATE.other, "not selected"],
]);

/** The heaviest tokens as a table, for readers who do not see the pictures. */
function heaviestHtml({ weights, costs, fates }: LookResult): string {
  const tokens = Array.from(weights.keys()).sort((a, b) => weights[b] - weights[a])
    .slice(0, HEAVIEST);
  const body = tokens.map((token) =>
    `<tr><th scope="row">${token}</th><td class="number">${percent(weights[token])}</td>` +
    `<td class="number">${costs[token]}</td><td>${
      escapeXml(FATE_WORDS.get(fates[token]) ?? "")
    }</td></tr>`
  );
  return `<div class="scroll" tabindex="0" role="region" aria-label="The heaviest tokens"><table>
<thead><tr><th scope="col">token</th><th scope="col" class="number">weight</th>
<th scope="col" class="number">distance</th><th scope="col">fate</th></tr></thead>
<tbody>${body.join("")}</tbody></table></div>`;
}

/** Draws both pictures with the next frame. */
function draw(): void {
  requestAnimationFrame(() => {
    if (pictures === null || shown === null) return;
    pictures.strip.draw(stripMatrix, shown.strip.threshold);
    pictures.cloud.draw((aspect) => cloudMatrix(camera, aspect), null);
  });
}

function listenToCloud(): void {
  let from: { x: number; y: number } | null = null;
  cloud.addEventListener("pointerdown", ({ clientX: x, clientY: y, pointerId }) => {
    from = { x, y };
    cloud.setPointerCapture(pointerId);
  });
  cloud.addEventListener("pointermove", ({ clientX: x, clientY: y }) => {
    if (from === null) return;
    moveCamera(camera, (from.x - x) / 150, (y - from.y) / 150);
    from = { x, y };
    draw();
  });
  for (const name of ["pointerup", "pointercancel"] as const) {
    cloud.addEventListener(name, () => from = null);
  }
  cloud.addEventListener("wheel", (event) => {
    event.preventDefault();
    moveCamera(camera, 0, 0, Math.exp(event.deltaY / 500));
    draw();
  }, { passive: false });
  const moves: Readonly<Record<string, readonly [number, number, number]>> = {
    ArrowLeft: [-KEY_TURN, 0, 1],
    ArrowRight: [KEY_TURN, 0, 1],
    ArrowUp: [0, KEY_TURN, 1],
    ArrowDown: [0, -KEY_TURN, 1],
    "+": [0, 0, 1 / KEY_ZOOM],
    "=": [0, 0, 1 / KEY_ZOOM],
    "-": [0, 0, KEY_ZOOM],
  };
  cloud.addEventListener("keydown", (event) => {
    const move = moves[event.key];
    if (move === undefined) return;
    event.preventDefault();
    moveCamera(camera, ...move);
    draw();
  });
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)}%`;
}
