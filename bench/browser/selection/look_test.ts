import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import type { Trace } from "../../../fixtures/trace.ts";
import { loadMap, SHIPPED_MAP } from "../../edge/files/map_file.ts";
import { readTraceFile, SHIPPED_TRACE } from "../../edge/files/trace_file.ts";
import { METHODS } from "../../selection/methods/methods.ts";
import { runQuality } from "../../quality/run.ts";
import { FATE, look, looked, type LookResult, lookTrace } from "./look.ts";
import { stripOf } from "./scene.ts";

/** Tokens of the shipped trace from where its queries begin, with the queries among them. */
async function shortTrace(first: number, kvLen: number): Promise<Trace> {
  const whole = await readTraceFile(SHIPPED_TRACE);
  const { headDim, queryHeads, positions, q } = whole;
  const count = positions.filter((position) => position < first + kvLen).length;
  const rows = new Float32Array(queryHeads * count * headDim);
  for (let head = 0; head < queryHeads; head++) {
    const from = head * positions.length * headDim;
    rows.set(q.subarray(from, from + count * headDim), head * count * headDim);
  }
  return {
    ...whole,
    kvLen,
    k: whole.k.slice(first * headDim, (first + kvLen) * headDim),
    v: whole.v.slice(first * headDim, (first + kvLen) * headDim),
    q: rows,
    positions: positions.slice(0, count).map((position) => position - first),
  };
}

const KV_LEN = 800;
const trace = await shortTrace(4000, KV_LEN);
const map = await loadMap(SHIPPED_MAP);
const windows = { sink: 32, recent: 32 };

Deno.test("look() gives the figures of quality, query by query", async () => {
  const names = ["learned", "learned-w2", "rotated-128-w2"];
  const sparsity = 16;
  const { rows } = await runQuality({
    trace: "t",
    contexts: [{ name: "", context: trace }],
    methods: METHODS.filter(({ name }) => names.includes(name)),
    sparsities: [sparsity],
    budget: "trace",
    querySet: "all",
    windows,
    seed: 1,
    fit: null,
    map,
    device: null,
  });
  const own = looked("t", trace, map);
  const head = 2;
  for (const method of names) {
    const results: LookResult[] = [];
    for (const query of trace.positions.keys()) {
      results.push(await look(own, { query, head, method, sparsity, ...windows }));
    }
    const mean = (valueOf: (result: LookResult) => number) =>
      results.reduce((sum, each) => sum + valueOf(each), 0) / results.length;
    const row = rows.find((each) => each.method === method && each.head === head)!;
    assertAlmostEquals(mean(({ massTotal }) => massTotal), row.mass_total!, 1e-12);
    assertAlmostEquals(mean(({ error }) => error), row.output_rel_err!, 1e-12);
    assertAlmostEquals(mean(({ recall }) => recall!), row.recall!, 1e-12);
  }
});

Deno.test("look() tells the fate of every token, on its side of the threshold", async () => {
  const own = looked("t", trace, map);
  const query = trace.positions.length - 1;
  const request = { query, head: 0, method: "learned", sparsity: 16, ...windows };
  const result = await look(own, request);
  const { fates, costs, threshold, picks, hits, weights } = result;
  const length = trace.positions[query] + 1;
  assertEquals([fates.length, costs.length, picks], [length, length, Math.floor(KV_LEN / 16)]);
  const count = (...wanted: number[]) => fates.filter((fate) => wanted.includes(fate)).length;
  assertEquals(count(FATE.window), windows.sink + windows.recent);
  assertEquals([count(FATE.hit), count(FATE.hit, FATE.extra)], [hits, picks]);
  assertEquals(count(FATE.hit, FATE.missed), picks);
  assertAlmostEquals(weights.reduce((a, b) => a + b, 0), 1, 1e-5);
  const strip = stripOf(result);
  for (const [token, fate] of fates.entries()) {
    if (fate === FATE.hit || fate === FATE.extra) {
      assert(costs[token] <= threshold!);
      assert(strip.places[3 * token + 1] >= strip.threshold! - 1e-6, "selected above the line");
    }
    if (fate === FATE.missed) assert(costs[token] >= threshold!);
  }
});

Deno.test("lookTrace() offers the scores that the trace allows", () => {
  const offered = (withMap: boolean) =>
    lookTrace(looked("t", trace, withMap ? map : null)).scores.map(({ method }) => method);
  for (const methods of [offered(true), offered(false)]) {
    for (const name of methods) assert(METHODS.some((method) => method.name === name), name);
  }
  assertEquals(offered(false).some((name) => name.startsWith("learned")), false);
});
