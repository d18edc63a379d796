/// <reference lib="dom" />
/** The part of the page that runs the benchmark. */
import { clockText } from "../base/clock_text.ts";
import { counted } from "../base/counted.ts";
import { DEFAULT_MAX_ERROR } from "../findings/frontier.ts";
import { FRONTIER_HEADER, frontierLines, type FrontierRow } from "../results/frontier_rows.ts";
import { UsageError } from "../base/usage_error.ts";
import type { ResultRow, SampleRecord } from "../results/row.ts";
import { HEADER, rowLines } from "../results/row_csv.ts";
import { type DocumentedSession, runDocument } from "../runner/run_document.ts";
import type { DeviceSummary } from "./adapter.ts";
import { byId, saveFile, setItems, setOptions, setTerms } from "./dom.ts";
import type { Reply, RunNotes, RunRequest } from "./messages.ts";
import { type Preset, PRESETS, readPageOptions } from "./presets.ts";
import { reportPartHtml, verdictHtml } from "./report_part.ts";
import { blockHtml, frontierBlock, rowsHtml } from "./rows_table.ts";
import { startWorker, type WorkerLink } from "./worker_link.ts";

const start = byId<HTMLButtonElement>("start");
const stop = byId<HTMLButtonElement>("stop");
const saves = [byId<HTMLButtonElement>("csv"), byId<HTMLButtonElement>("json")] as const;
const progress = byId<HTMLProgressElement>("progress");
const status = byId("status");

/** A run and what it gave so far. */
interface Run {
  readonly worker: WorkerLink;
  readonly rows: ResultRow[];
  readonly samples: SampleRecord[];
  /** The rows of a frontier, which has them instead. */
  readonly frontier: FrontierRow[];
  session: DocumentedSession | null;
}

let run: Run | null = null;
let isRunning = false;
/** What the run is at, and since when it runs. */
let stage = { text: "", sinceMs: 0 };

/** The rows of the latest run. */
export function measuredRows(): readonly ResultRow[] {
  return run?.rows ?? [];
}

/**
 * Makes the part work.
 *
 * @param onRows Called when a run has ended and gave rows.
 */
export function openRunView(onRows: () => void): void {
  const { deviceMemory } = navigator as { readonly deviceMemory?: number };
  // A half is left for everything else; browsers tell no more than 8 of some machines.
  if (deviceMemory !== undefined) {
    byId<HTMLInputElement>("memory").value = String(Math.min(4, deviceMemory / 2));
  }
  setOptions(byId("preset"), PRESETS.map(({ id, label }) => [id, label]));
  byId("preset").addEventListener("change", () => {
    byId<HTMLInputElement>("seconds").value = String(chosenPreset().seconds);
    showFields();
  });
  showFields();
  describe();
  byId("run-form").addEventListener("submit", (event) => {
    event.preventDefault();
    begin(onRows);
  });
  stop.addEventListener("click", () => end(onRows, `Stopped: ${keptText()}.`));
  const [csv, json] = saves;
  csv.addEventListener("click", () => {
    const { rows = [], frontier = [] } = run ?? {};
    if (frontier.length > 0) {
      saveFile(`frontier-${fileName()}.csv`, "text/csv", FRONTIER_HEADER + frontierLines(frontier));
    } else saveFile(`${fileName()}.csv`, "text/csv", HEADER + rowLines(rows));
  });
  json.addEventListener("click", () => {
    if (run?.session) {
      const text = runDocument(run.session, run.rows, run.samples);
      saveFile(`${fileName()}.json`, "application/json", text);
    }
  });
  document.addEventListener("visibilitychange", tellAttention);
  setInterval(() => isRunning && showStage(), 1000);
}

/** Shows the device. A worker of its own asks, so that a lost device takes nothing with it. */
function describe(): void {
  const worker = startWorker((reply) => {
    worker.end();
    if (reply.type === "device") showDevice(reply.device);
    else if (reply.type === "refused") byId("device").textContent = reply.message;
  });
  worker.send({ type: "describe" });
}

function showDevice({ facts, limits, features }: DeviceSummary): void {
  const { adapter, vendor, driver, backend, software, runtime } = facts;
  const told = [["driver", driver], ["backend", backend]]
    .map(([name, value]) => value === "unknown" ? `${name} not told` : `${name} ${value}`);
  byId("device").textContent =
    `${adapter} (${vendor}, ${software ? "software" : "hardware"}), ${
      told.join(", ")
    }, ${runtime}.` +
    (software ? " Times on a software adapter say nothing about a GPU." : "");
  setTerms(byId("limits"), [
    ...Object.entries(limits).map(([name, value]) =>
      [
        name,
        typeof value === "number" ? value.toLocaleString("en-US") : String(value),
      ] as const
    ),
    ["features", features.join(", ") || "none"],
  ]);
  start.disabled = false;
}

/** The fields of a run of one's own show only if it is chosen. */
function showFields(): void {
  const { kind, args } = chosenPreset();
  for (const field of document.querySelectorAll<HTMLElement>(".own")) field.hidden = args !== null;
  byId("kernels").parentElement!.hidden = kind === "frontier";
}

function chosenPreset(): Preset {
  const { value } = byId<HTMLSelectElement>("preset");
  return PRESETS.find(({ id }) => id === value)!;
}

/** The run that the form asks for. */
function requestOf(): RunRequest {
  const value = (id: string) => byId<HTMLInputElement>(id).value;
  const preset = chosenPreset();
  const own = ["--shape", value("shape"), "--kv", value("kv"), "--score", value("score")];
  const isAll = preset.kind === "frontier" || value("kernels").trim() === "";
  const kernels = isAll ? [] : ["--kernels", value("kernels")];
  return {
    kind: preset.kind,
    args: [...preset.args ?? own, ...kernels, "--max-time", value("seconds")],
    memoryBytes: 1e9 * Number(value("memory")),
  };
}

function begin(onRows: () => void): void {
  const request = requestOf();
  try {
    readPageOptions(request.args);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    showFailure(error.message);
    return;
  }
  showFailure("");
  const worker = startWorker((reply) => take(reply, onRows));
  run = { worker, rows: [], samples: [], frontier: [], session: null };
  isRunning = true;
  for (const id of ["notes", "rows", "figures", "verdict"]) byId(id).replaceChildren();
  progress.value = 0;
  stage = { text: "opening the device", sinceMs: performance.now() };
  showStage();
  showButtons();
  tellAttention();
  worker.send({ type: "run", run: request });
}

function take(reply: Reply, onRows: () => void): void {
  if (run === null || !isRunning) return;
  switch (reply.type) {
    case "session":
      run.session = reply.session;
      setItems(byId("notes"), reply.notes);
      return;
    case "progress":
      progress.value = reply.fraction;
      stage = { ...stage, text: reply.message };
      showStage();
      return;
    case "rows":
      run.rows.push(...reply.rows);
      run.samples.push(...reply.samples);
      byId("rows").innerHTML = rowsHtml(run.rows);
      showButtons();
      return;
    case "frontier":
      run.frontier.push(...reply.rows);
      byId("rows").innerHTML = blockHtml(frontierBlock(run.frontier));
      showButtons();
      return;
    case "done":
      showNotes(reply.notes);
      end(onRows, reply.failure === null ? doneText() : `Ended early: ${keptText()}.`);
      if (reply.failure !== null) showFailure(`${reply.failure} ${keptText()}; Run starts again.`);
      else progress.value = 1;
      return;
    case "refused":
      end(onRows, `Ended early: ${keptText()}.`);
      showFailure(reply.message);
  }
}

/** Ends the run, if it goes on, and shows what it gave. */
function end(onRows: () => void, text: string): void {
  run?.worker.end();
  isRunning = false;
  status.textContent = text;
  showButtons();
  const rows = measuredRows();
  const { frontier = [] } = run ?? {};
  if (rows.length + frontier.length === 0) return;
  const data = {
    rows,
    peers: new Map(),
    quality: [],
    tuning: [],
    ...(frontier.length > 0 ? { frontier: { rows: frontier, maxError: DEFAULT_MAX_ERROR } } : {}),
  };
  byId("verdict").innerHTML = verdictHtml(data);
  byId("figures").innerHTML = reportPartHtml(data, "run");
  onRows();
}

function showNotes({ leftOut, tooLarge, tuned, qualities }: RunNotes): void {
  const notes = [
    ...tuned.map((note) => `${note}.`),
    ...qualities.map((quality) => `${quality}.`),
    ...leftOut.map((entry) => `Left out: ${entry}.`),
    ...tooLarge,
  ];
  const shown = Array.from(byId("notes").children, ({ textContent }) => textContent ?? "");
  setItems(byId("notes"), [...shown, ...notes]);
}

function doneText(): string {
  const { frontier = [] } = run ?? {};
  if (frontier.length > 0) return `Done: ${counted(frontier.length, "row")}.`;
  const rows = measuredRows().filter(({ stage }) => stage !== "probe");
  const failed = rows.filter(({ verified }) => !verified).length;
  const dropped = rows.reduce((sum, row) => sum + row.dropped, 0);
  const verdict = failed === 0 ? "all verified" : `${failed} FAILED`;
  return `Done: ${counted(rows.length, "row")}, ${verdict}` +
    (dropped === 0 ? "." : `; ${counted(dropped, "sample")} dropped.`);
}

function keptText(): string {
  return `${counted(measuredRows().length + (run?.frontier.length ?? 0), "row")} kept`;
}

/** A step may take a minute, so the time that has passed shows that the run goes on. */
function showStage(): void {
  status.textContent = stage.text;
  const passed = clockText(performance.now() - stage.sinceMs);
  byId("passed").textContent = document.hidden ? `${passed}, waiting for the page` : passed;
}

function showFailure(text: string): void {
  byId("failure").textContent = text;
}

function showButtons(): void {
  start.disabled = isRunning;
  stop.disabled = !isRunning;
  const [csv, json] = saves;
  json.disabled = measuredRows().length === 0;
  csv.disabled = json.disabled && (run?.frontier.length ?? 0) === 0;
}

/** A hidden page gets little time, so the worker is told. */
function tellAttention(): void {
  if (isRunning) run?.worker.send({ type: "attention", visible: !document.hidden });
}

/** Such as `browser-2026-01-02T03-04-05Z`. */
function fileName(): string {
  return `browser-${new Date().toISOString().slice(0, 19).replaceAll(":", "-")}Z`;
}
