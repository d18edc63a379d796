/**
 * Tests of the page in a Chromium with a software adapter. They are no part of `deno task test`:
 * `deno task test:browser` runs them.
 */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { Buffer } from "node:buffer";
import { fileURLToPath } from "node:url";
import axe from "axe-core";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { loadMap, SHIPPED_MAP } from "../../bench/edge/files/map_file.ts";
import { readTraceFile, SHIPPED_TRACE } from "../../bench/edge/files/trace_file.ts";
import { look, looked, type LookRequest } from "../../bench/browser/selection/look.ts";
import { QUICK_BUDGETS } from "../../bench/frontier_runner/methods.ts";
import { parseFrontier } from "../../bench/results/frontier_rows.ts";
import { HEADER } from "../../bench/results/row_csv.ts";
import { parseStored } from "../../bench/results/parse_stored.ts";
import type { ResultRow } from "../../bench/results/row.ts";
import { buildPage } from "../../tools/page.ts";
import { serveFolder } from "../../tools/serve_folder.ts";
import { runProgram } from "../command.ts";
import { startChromium } from "./start_chromium.ts";

const ROOT = `${import.meta.dirname}/../..`;
const STORED = `${ROOT}/fixtures/results`;
/** Where the screenshots go. */
const SHOTS = `${ROOT}/dist/screenshots`;

const folder = await Deno.makeTempDir();
const dist = `${folder}/page`;
await buildPage(dist);
const server = serveFolder(dist, 0);
const browser: Browser = await startChromium();

/** How a page opens. */
interface PageOptions {
  /** A program that runs in workers before their own. */
  readonly shim?: string;
  /** What shows that the page is open. */
  readonly until?: string;
}

/** A page that is open for one test, which fails on an error that the page does not catch. */
async function withPage(
  work: (page: Page) => Promise<void>,
  { shim = "", until = "#start:enabled", ...options }: BrowserContextOptions & PageOptions = {},
): Promise<void> {
  const context = await browser.newContext({
    viewport: { width: 1280, height: 900 },
    ...options,
  });
  const page = await context.newPage();
  const errors: string[] = [];
  page.on("pageerror", ({ message }) => errors.push(message));
  page.on("request", (request) => {
    const url = request.url();
    if (!/^(http:\/\/localhost|blob:|data:)/.test(url)) errors.push(`loads ${url}`);
  });
  if (shim !== "") {
    const worker = await Deno.readTextFile(`${dist}/worker.js`);
    await page.route("**/worker.js", (route) =>
      route.fulfill({
        contentType: "text/javascript",
        body: `{${shim}}\n${worker}`,
      }));
  }
  try {
    await page.goto(server.url);
    await page.waitForSelector(until, { timeout: 60_000 });
    await work(page);
    assertEquals(errors, []);
  } finally {
    await context.close();
  }
}

/** A run that SwiftShader does in seconds. */
const SMALL = { preset: "own", shape: "4x1x64", kv: "1K", score: "hamming", seconds: "0.2" };

/** Fills the form and starts a run. */
async function start(page: Page, fields: Readonly<Record<string, string>>): Promise<void> {
  for (const [id, value] of Object.entries(fields)) {
    if (["preset", "score"].includes(id)) await page.selectOption(`#${id}`, value);
    else await page.fill(`#${id}`, value);
  }
  await page.click("#start");
}

/** Waits until a run has ended, and returns its last line. */
async function ended(page: Page): Promise<string> {
  await page.waitForSelector("#start:enabled", { timeout: 600_000 });
  return await textOf(page, "#status");
}

async function textOf(page: Page, selector: string): Promise<string> {
  return (await page.textContent(selector) ?? "").trim();
}

/** Saves the CSV of a run. */
async function saveCsv(page: Page, name: string): Promise<string> {
  const [download] = await Promise.all([page.waitForEvent("download"), page.click("#csv")]);
  const path = `${folder}/${name}`;
  await download.saveAs(path);
  return path;
}

async function savedRows(page: Page, name = "rows.csv"): Promise<readonly ResultRow[]> {
  const path = await saveCsv(page, name);
  return parseStored(await Deno.readTextFile(path), path).rows;
}

Deno.test("a quick run is verified, and its CSV is one of the suite that compare reads", () =>
  withPage(async (page) => {
    const kernels = "score/hamming,dense/split,pipeline/sparse";
    await start(page, { preset: "quick", kernels, seconds: "1" });
    assertMatch(await ended(page), /^Done: \d+ rows, all verified/);
    assertStringIncludes(await textOf(page, "#verdict"), "say nothing about a GPU");
    assertStringIncludes(await textOf(page, "#notes"), "error against dense");
    assert(await page.locator("#figures figure").count() > 0);
    const path = await saveCsv(page, "quick.csv");
    const text = await Deno.readTextFile(path);
    assert(text.startsWith(HEADER));
    const { rows } = parseStored(text, path);
    assertEquals(
      [...new Set(rows.filter(({ stage }) => stage !== "probe").map(({ kernel }) => kernel))]
        .sort(),
      kernels.split(",").sort(),
    );
    for (const row of rows) {
      assert(row.verified && row.software && row.compiler === "tint");
      assertMatch(row.runtime, /^\S*Chrom\S* [\d.]+, /);
      assertEquals(
        row.hand_over === "barrier",
        false,
        "Tint's barriers are not known to be enough",
      );
    }
    const deno = `${STORED}/lavapipe-2026-11-25.csv`;
    const { code, err } = await runProgram(`${ROOT}/bench/compare/main.ts`, deno, path);
    assertEquals([code, err], [0, ""]);
    const [json] = await Promise.all([page.waitForEvent("download"), page.click("#json")]);
    await json.saveAs(`${folder}/quick.json`);
    const stored = parseStored(await Deno.readTextFile(`${folder}/quick.json`), "quick.json");
    assertEquals(stored.rows.length, rows.length);
    await checkAccess(page);
  }));

Deno.test("a run that is stopped keeps its rows", () =>
  withPage(async (page) => {
    await start(page, { ...SMALL, kv: "1K,4K", kernels: "dense/split,score/hamming" });
    await page.waitForSelector("#csv:enabled", { timeout: 120_000 });
    await page.click("#stop");
    assertMatch(await ended(page), /^Stopped: \d+ rows kept/);
    assert((await savedRows(page)).length > 0);
    // A run after it starts from nothing.
    await start(page, { ...SMALL, kernels: "dense/split" });
    assertMatch(await ended(page), /^Done: 1 row, all verified/);
  }));

/** Devices that lack what the fast paths need. */
const LEAST = `
const request = GPUAdapter.prototype.requestDevice;
const limits = { maxComputeWorkgroupStorageSize: 16384, maxComputeInvocationsPerWorkgroup: 256 };
const lacking = ["subgroups", "timestamp-query", "shader-f16"];
GPUAdapter.prototype.requestDevice = function (wanted = {}) {
  const { requiredFeatures = [], requiredLimits = {} } = wanted;
  return request.call(this, {
    requiredFeatures: [...requiredFeatures].filter((name) => !lacking.includes(name)),
    requiredLimits: { ...requiredLimits, ...limits },
  });
};
for (const kind of [GPUAdapter, GPUDevice]) {
  const { get } = Object.getOwnPropertyDescriptor(kind.prototype, "features");
  Object.defineProperty(kind.prototype, "features", {
    get() { return new Set([...get.call(this)].filter((name) => !lacking.includes(name))); },
  });
}`;

Deno.test("a device without subgroups, stamps and more than 16 KiB runs by the wall clock", () =>
  withPage(async (page) => {
    const kernels = "dense/split*,select/counting*,pipeline/sparse";
    await start(page, { ...SMALL, kernels });
    assertMatch(await ended(page), /all verified/);
    const rows = await savedRows(page);
    assertEquals(new Set(rows.map(({ timer }) => timer)), new Set(["wall"]));
    const names = rows.map(({ kernel }) => kernel);
    assert(names.includes("pipeline/sparse") && names.includes("dense/split"));
    assertEquals(names.filter((name) => /subgroup|scatter/.test(name)), []);
    const notes = await textOf(page, "#notes");
    assertStringIncludes(notes, "this device has no timestamps");
    assertStringIncludes(notes, "this device has no subgroups");
  }, { shim: LEAST }));

Deno.test("a frontier's rows are those of frontier.csv, and begin with the best step", () =>
  withPage(async (page) => {
    // One head is enough, since a software adapter takes a minute for a method on one.
    await page.route("**/build.json", async (route) => {
      const { heads: [head], ...build } = await (await route.fetch()).json();
      await route.fulfill({ json: { ...build, heads: [head] } });
    });
    await start(page, { preset: "frontier" });
    assertEquals(await page.inputValue("#seconds"), "1.5");
    await page.waitForSelector("#csv:enabled", { timeout: 300_000 });
    await page.click("#stop");
    const path = await saveCsv(page, "frontier.csv");
    const rows = parseFrontier(await Deno.readTextFile(path), path);
    assertEquals(new Set(rows.map(({ budget }) => budget)), new Set(QUICK_BUDGETS));
    assertEquals(rows.length, QUICK_BUDGETS.length);
    assert(rows.every(({ error, software }) => software && error! > 0 && error! < 1));
    assertMatch(await textOf(page, "#verdict"), /32x8x128/);
    assert(await page.locator("#figures figure").count() > 0);
    assertEquals(await page.isEnabled("#json"), false);
    await checkAccess(page);
  }));

Deno.test("a run waits for a page that is hidden", () =>
  withPage(async (page) => {
    const hide = (hidden: boolean) =>
      page.evaluate((hidden) => {
        Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));
      }, hidden);
    await start(page, { ...SMALL, kernels: "dense/split" });
    await hide(true);
    // Far longer than the run takes.
    await page.waitForTimeout(15_000);
    assertStringIncludes(await textOf(page, "#passed"), "waiting for the page");
    assertEquals(await page.isEnabled("#stop"), true, "the run goes on");
    await hide(false);
    assertMatch(await ended(page), /all verified\.$/);
  }));

Deno.test("samples during which the page was hidden are dropped and counted", () =>
  withPage(async (page) => {
    await start(page, { ...SMALL, kernels: "dense/split", seconds: "8" });
    const said = /(\d+) samples? dropped\.$/.exec(await ended(page));
    const rows = await savedRows(page);
    const dropped = rows.reduce((sum, row) => sum + row.dropped, 0);
    assert(dropped > 0 && Number(said?.[1]) === dropped, `${said?.[0]} ${dropped}`);
    assert(rows.every(({ samples }) => samples > 0), "others are kept");
  }, {
    // The page is hidden for moments during the first seconds of the samples.
    shim: `
let until = 0;
const post = globalThis.postMessage;
globalThis.postMessage = function (reply, ...rest) {
  const isTiming = reply.type === "progress" && reply.message.includes("timing");
  if (isTiming) until = performance.now() + 3000;
  return post.call(this, reply, ...rest);
};
const submit = GPUQueue.prototype.submit;
GPUQueue.prototype.submit = function (commands) {
  submit.call(this, commands);
  if (performance.now() > until) return;
  for (const visible of [false, true]) {
    dispatchEvent(new MessageEvent("message", { data: { type: "attention", visible } }));
  }
};`,
  }));

Deno.test("a lost device keeps the rows and offers a restart", () =>
  withPage(async (page) => {
    await start(page, { ...SMALL, kernels: "dense/split,score/hamming" });
    assertMatch(await ended(page), /^Ended early: \d+ rows kept/);
    assertMatch(await textOf(page, "#failure"), /device was lost.*\d+ rows kept; Run starts again/);
    assert((await savedRows(page)).length > 0);
  }, {
    shim: `
const request = GPUAdapter.prototype.requestDevice;
GPUAdapter.prototype.requestDevice = async function (...args) {
  const device = await request.apply(this, args);
  globalThis.lastDevice = device;
  return device;
};
const post = globalThis.postMessage;
globalThis.postMessage = function (reply, ...rest) {
  const isChecking = reply.type === "progress" && reply.message.includes("checking");
  if (isChecking) globalThis.lastDevice.destroy();
  return post.call(this, reply, ...rest);
};`,
  }));

Deno.test("a case beyond the memory is not started", () =>
  withPage(async (page) => {
    await start(page, { preset: "own", shape: "32x8x128", kv: "128K", memory: "0.5" });
    assertMatch(await ended(page), /^Done: 0 rows/);
    assertMatch(await textOf(page, "#notes"), /was not started: its buffers would take [\d.]+ GB/);
  }));

Deno.test("a mistake in the form is told in a sentence", () =>
  withPage(async (page) => {
    await start(page, { ...SMALL, shape: "4x3" });
    assertMatch(await textOf(page, "#failure"), /^--shape takes query heads x KV heads x head dim/);
  }));

Deno.test("files and shipped results show side by side, and others are refused", () =>
  withPage(async (page) => {
    await page.setInputFiles("#files", `${STORED}/h100-2026-11-28.csv`);
    await page.waitForSelector("#compared figure", { timeout: 60_000 });
    await page.getByLabel("h200-2026-11-24", { exact: true }).check();
    await page.waitForFunction(() =>
      document.getElementById("compared")?.textContent?.includes("Devices side by side")
    );
    assertMatch(await textOf(page, "#compared"), /H100[^]*H200/);
    await page.setInputFiles("#files", `${ROOT}/deno.json`);
    await page.waitForFunction(() =>
      document.getElementById("compare-failure")?.textContent?.includes("deno.json")
    );
    assertMatch(await textOf(page, "#compare-failure"), /^deno\.json is not a run of the suite/);
    await checkAccess(page);
  }));

Deno.test("files that are dropped show, too, beside times of other software", () =>
  withPage(async (page) => {
    const names = ["h100-2026-11-28.csv", "h100-2026-11-28-peers.csv"];
    const files = names.map((name) => [name, Deno.readTextFileSync(`${STORED}/${name}`)] as const);
    await page.evaluate((files) => {
      const dataTransfer = new DataTransfer();
      for (const [name, text] of files) dataTransfer.items.add(new File([text], name));
      document.getElementById("drop")!.dispatchEvent(new DragEvent("drop", { dataTransfer }));
    }, files);
    await page.waitForSelector("#compared figure", { timeout: 60_000 });
    assertMatch(await textOf(page, "#compared"), /dense attention in CUDA/);
  }));

Deno.test("a browser without WebGPU says so, and still compares and computes", () =>
  withPage(async (page) => {
    await page.waitForFunction(() =>
      document.getElementById("device")?.textContent?.includes("no WebGPU")
    );
    assertEquals(await page.isEnabled("#start"), false);
    await page.getByLabel("h100-2026-11-28", { exact: true }).check();
    await page.waitForSelector("#compared figure", { timeout: 60_000 });
    await page.locator("#selection").scrollIntoViewIfNeeded();
    await page.waitForSelector("#look-numbers dd", { timeout: 120_000 });
  }, {
    shim: `Object.defineProperty(WorkerNavigator.prototype, "gpu", { get() {} });`,
    until: "#device",
  }));

Deno.test("a trace of the user's shows with the scores that need no map", () =>
  withPage(async (page) => {
    await page.locator("#selection").scrollIntoViewIfNeeded();
    await page.waitForSelector("#look-numbers dd", { timeout: 120_000 });
    const shown = () => textOf(page, "#look-status");
    const file = { name: "bad.safetensors", mimeType: "", buffer: Buffer.from("not a trace") };
    await page.setInputFiles("#trace", file);
    await page.waitForFunction(() =>
      !/Reading|query/.test(document.getElementById("look-status")?.textContent ?? "")
    );
    assertMatch(await shown(), /safetensors/);
    await page.setInputFiles("#trace", fileURLToPath(SHIPPED_TRACE));
    await page.waitForFunction(() => document.querySelectorAll("#method option").length === 2);
    await page.waitForFunction(() =>
      document.getElementById("look-status")?.textContent?.includes("query 26 of 26")
    );
  }));

/** The numbers that the view shows, as text. */
async function shownNumbers(page: Page): Promise<string[]> {
  return await page.$$eval("#look-numbers dd", (all) => all.map((each) => each.textContent ?? ""));
}

Deno.test("the selection's numbers are those of quality's code, for each score and query", () =>
  withPage(async (page) => {
    const own = looked("t", await readTraceFile(SHIPPED_TRACE), await loadMap(SHIPPED_MAP));
    await page.locator("#selection").scrollIntoViewIfNeeded();
    await page.waitForSelector("#look-numbers dd", { timeout: 120_000 });
    const base: LookRequest = {
      query: 25,
      head: 0,
      method: "learned",
      sparsity: 32,
      sink: 128,
      recent: 128,
    };
    const requests: Partial<LookRequest>[] = [
      {},
      { query: 7 },
      { query: 7, method: "learned-w2" },
      { query: 7, method: "rotated-128-w2", head: 3, sparsity: 160 },
    ];
    for (const changes of requests) {
      const request = { ...base, ...changes };
      await page.selectOption("#head", String(request.head));
      await page.selectOption("#method", request.method);
      await page.selectOption("#sparsity", String(request.sparsity));
      await page.fill("#query", String(request.query));
      const { massTotal, error, picks, hits } = await look(own, request);
      const expected = [`${(100 * massTotal).toFixed(1)}%`, error.toFixed(4), `${picks}`];
      await page.waitForFunction(
        (error) => document.getElementById("look-numbers")?.textContent?.includes(error),
        expected[1],
        { timeout: 60_000 },
      );
      const shown = await shownNumbers(page);
      assertEquals([shown[0], shown[2], shown[3]], expected);
      assert(shown[4].startsWith(`${hits} (`));
    }
    // The other head that ships has a trace of its own.
    await page.selectOption("#traces", { index: 1 });
    await page.waitForFunction(() =>
      document.getElementById("look-status")?.textContent?.startsWith("sympy-L0-kv0")
    );
    await page.selectOption("#traces", { index: 0 });
    await page.waitForFunction(() =>
      document.getElementById("look-status")?.textContent?.startsWith("sympy-L7-kv1")
    );
    // Both pictures have light, and turning the cloud changes one of them.
    const before = await settled(page);
    assert(before.every(({ lit }) => lit > 500), JSON.stringify(before));
    await page.focus("#cloud");
    await page.keyboard.press("ArrowLeft");
    await page.waitForTimeout(200);
    const after = await settled(page);
    assertEquals(after[0].sum, before[0].sum);
    assert(after[1].sum !== before[1].sum, "the cloud turns");
    await checkAccess(page);
  }));

/** The pixels of both pictures as soon as no more of them change. */
async function settled(page: Page): Promise<{ lit: number; sum: number }[]> {
  for (let last = await pixels(page);;) {
    await page.waitForTimeout(1000);
    const now = await pixels(page);
    if (now.every(({ sum }, i) => sum === last[i].sum)) return now;
    last = now;
  }
}

/** How many pixels of each canvas are bright, and a sum that changes with the picture. */
async function pixels(page: Page): Promise<{ lit: number; sum: number }[]> {
  return await page.evaluate(() =>
    ["strip", "cloud"].map((id) => {
      const canvas = document.getElementById(id) as HTMLCanvasElement;
      const { data } = canvas.getContext("2d")!.getImageData(0, 0, canvas.width, canvas.height);
      let [lit, sum] = [0, 0];
      for (let i = 0; i < data.length; i += 4) {
        if (data[i] + data[i + 1] + data[i + 2] > 150) lit++;
        sum = (sum * 31 + data[i] + 3 * data[i + 1] + 7 * data[i + 2]) % 1_000_003;
      }
      return { lit, sum };
    })
  );
}

/** Fails on what axe-core calls serious or critical. */
async function checkAccess(page: Page): Promise<void> {
  await page.evaluate(axe.source);
  const found = await page.evaluate(async () => {
    const { violations } = await (globalThis as unknown as { axe: typeof axe }).axe.run();
    return violations.filter(({ impact }) => impact === "serious" || impact === "critical")
      .map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 160)).join(" | ")}`);
  });
  assertEquals(found, []);
}

for (const colorScheme of ["light", "dark"] as const) {
  for (const width of [360, 768, 1280]) {
    Deno.test(`the page fits ${width} px in the ${colorScheme} theme`, () =>
      withPage(async (page) => {
        await page.getByLabel("h100-2026-11-28", { exact: true }).check();
        await page.waitForSelector("#compared figure", { timeout: 60_000 });
        await page.locator("#selection").scrollIntoViewIfNeeded();
        await page.waitForSelector("#look-numbers dd", { timeout: 120_000 });
        await page.waitForTimeout(500);
        const overflow = await page.evaluate(() => document.documentElement.scrollWidth);
        assert(overflow <= width, `${overflow} px`);
        await checkAccess(page);
        await Deno.mkdir(SHOTS, { recursive: true });
        await page.screenshot({ path: `${SHOTS}/${colorScheme}-${width}.png`, fullPage: true });
      }, { viewport: { width, height: 900 }, colorScheme }));
  }
}

Deno.test.afterAll(async () => {
  await browser.close();
  await server.stop();
  await Deno.remove(folder, { recursive: true });
});
