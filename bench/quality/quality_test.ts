import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertLessOrEqual,
  assertMatch,
  assertRejects,
} from "@std/assert";
import type { Trace } from "../../fixtures/trace.ts";
import { readTraceFile, SHIPPED_TRACE } from "../edge/files/trace_file.ts";
import {
  type CostsOf,
  dot,
  projectionCosts,
  projectionProblem,
  referenceFigures,
} from "../../testing/inputs/trace.ts";
import { UsageError } from "../base/usage_error.ts";
import type { QualityRow } from "../results/quality_rows.ts";
import { formatQuality } from "./table.ts";
import { rowsFor, smallContext } from "../selection/methods/testing_context.ts";

const WINDOWS = { sink: 128, recent: 128 } as const;

const quest: CostsOf = (q, keys) => {
  const pages = Array.from(
    { length: Math.ceil(keys.length / 16) },
    (_, page) => keys.slice(16 * page, 16 * page + 16),
  );
  const bounds = pages.map((page) =>
    Array.from(q, (x, d) => Math.max(...page.map((key) => x * key[d])))
      .reduce((sum, bound) => sum + bound, 0)
  );
  return keys.map((_, token) => -bounds[Math.floor(token / 16)]);
};

function doubleSparsity({ q, k, headDim, queryHeads }: Trace): CostsOf {
  const channels = Array.from({ length: queryHeads }, (_, head) => {
    const headRows = q.subarray(head * q.length / queryHeads, (head + 1) * q.length / queryHeads);
    const mean = (rows: Float32Array, channel: number) => {
      const column = rows.filter((_, at) => at % headDim === channel);
      return column.reduce((sum, x) => sum + Math.abs(x), 0) / column.length;
    };
    const weights = Array.from({ length: headDim }, (_, d) => mean(headRows, d) * mean(k, d));
    return [...weights.keys()].sort((a, b) => weights[b] - weights[a]).slice(0, 16);
  });
  return (q, keys, head) =>
    keys.map((key) => -channels[head].reduce((sum, d) => sum + q[d] * key[d], 0));
}

function figures({ recall, mass_middle, mass_total, output_rel_err }: QualityRow): number[] {
  return [recall, mass_middle, mass_total, output_rel_err].map(Number);
}

Deno.test("runQuality() gives the figures of an independent computation on the trace", async () => {
  const whole = await readTraceFile(SHIPPED_TRACE);
  // Two queries are enough to expose an error.
  const { headDim, queryHeads } = whole;
  const count = whole.positions.length;
  const trace: Trace = {
    ...whole,
    positions: whole.positions.slice(0, 2),
    q: Float32Array.from({ length: queryHeads * 2 * headDim }, (_, at) => {
      const head = Math.floor(at / (2 * headDim));
      return whole.q[head * count * headDim + at % (2 * headDim)];
    }),
  };
  const k = trace.kvLen / 32;
  const methods: Record<string, CostsOf | null> = {
    oracle: (q, keys) => keys.map((key) => -dot(q, key)),
    "random-32": projectionCosts(trace, projectionProblem(trace)),
    "double-sparsity-16": doubleSparsity(trace),
    "quest-16": quest,
    edges: null,
  };
  const rows = await rowsFor(trace, Object.keys(methods), {
    sparsities: [32, 64],
    windows: WINDOWS,
  });
  for (const [name, costsOf] of Object.entries(methods)) {
    for (const budget of [k, k / 2]) {
      const row = rows.find((row) =>
        row.method === name && row.k === budget && row.head === "all"
      )!;
      assertEquals(row.queries, 8);
      const wanted = referenceFigures(trace, { ...WINDOWS, topK: { count: budget } }, costsOf);
      const { recall, massMiddle, massTotal, outputRelErr } = wanted;
      const inOrder = [recall, massMiddle, massTotal, outputRelErr];
      figures(row).forEach((figure, i) => assertAlmostEquals(figure, inOrder[i], 1e-9, name));
    }
  }
});

Deno.test("runQuality() averages the rows of heads in the row of all", async () => {
  const rows = await rowsFor(smallContext([20, 39]), ["oracle", "random-32"]);
  assertEquals(rows.map(({ head }) => head), [0, 1, "all", 0, 1, "all"]);
  const [a, b, all] = rows.slice(3);
  assertEquals([a.queries, b.queries, all.queries], [2, 2, 4]);
  for (const name of ["recall", "mass_total", "output_rel_err"] as const) {
    assertAlmostEquals((a[name]! + b[name]!) / 2, all[name]!, 1e-12);
  }
});

const NAMES = [
  ...["oracle", "random-32", "rotated-128-w0", "rotated-64-w2", "double-sparsity-16", "quest-16"],
  "edges",
];

Deno.test("runQuality() selects the windows alone at a budget of 0", async () => {
  const rows = await rowsFor(smallContext([20, 39]), NAMES, { sparsities: [41] });
  const [first] = rows;
  assertEquals([first.k, first.recall, first.mass_middle], [0, null, 0]);
  const heads = rows.filter(({ head }) => head === 0);
  assertEquals(heads.length, NAMES.length);
  for (const row of heads) assertEquals(figures(row), figures(first));
});

Deno.test("runQuality() is exact for every method at a budget of the whole middle", async () => {
  const rows = await rowsFor(smallContext([20, 39]), NAMES.slice(0, -1), { sparsities: [1] });
  for (const row of rows) {
    assertEquals([row.k, row.recall], [40, 1]);
    assertAlmostEquals(row.mass_middle!, 1, 1e-12);
    assertAlmostEquals(row.mass_total, 1, 1e-12);
    assertAlmostEquals(row.output_rel_err!, 0, 1e-12);
  }
});

Deno.test("runQuality() has no recall, and all mass, for a query within its windows", async () => {
  const rows = await rowsFor(smallContext([0, 3, 7]), NAMES);
  for (const row of rows) {
    assertEquals([row.recall, row.mass_middle], [null, null]);
    assertAlmostEquals(row.mass_total, 1, 1e-12);
    assertAlmostEquals(row.output_rel_err!, 0, 1e-12);
  }
});

Deno.test("runQuality() ignores the keys after a query, even on the query's own page", async () => {
  const context = smallContext([21]);
  const k = context.k.map((x, at) => at < 22 * context.headDim ? x : 1000);
  const windows = { sink: 0, recent: 0 };
  const [before, after] = await Promise.all(
    [context, { ...context, k }].map((changed) =>
      rowsFor(changed, NAMES, { windows, fit: context })
    ),
  );
  assertEquals(after, before);
});

Deno.test("runQuality() has no output error without values, and names each context", async () => {
  const context = { ...smallContext([20, 39]), v: null };
  const contexts = ["a", "b"].map((name) => ({ name, context }));
  const rows = await rowsFor(context, ["quest-16"], { contexts });
  assertEquals([...new Set(rows.map(({ trace }) => trace))], ["small/a", "small/b"]);
  assert(rows.every((row) => row.output_rel_err === null && row.mass_middle! > 0));
});

Deno.test("runQuality() refuses a fit trace with other heads", async () => {
  const context = smallContext([20]);
  const fit = { ...context, queryHeads: 1, q: context.q.slice(0, 8) };
  await assertRejects(
    () => rowsFor(context, ["double-sparsity-16"], { fit }),
    UsageError,
    "the fit trace has 1 query head of 8 channels, the trace 2 of 8.",
  );
});

Deno.test("runQuality() refuses a trace that the kernels do not support", async () => {
  const map = { layers: 1, hidden: 128, dtype: "f32" } as const;
  const shape = { headDim: 8, bits: 32, sharing: "head", heads: 2, map } as const;
  const numbers = new Float32Array(0);
  const learnedMap = { shape, query: numbers, key: numbers, about: {} };
  await assertRejects(
    // The shape is checked before the device is used, so that no device is needed here.
    () =>
      rowsFor(smallContext([20]), ["learned"], {
        device: {} as GPUDevice,
        map: learnedMap,
      }),
    UsageError,
    "--map for the trace small: head dim must be one of 64, 80, 96, 112, 128, 192, 256, got 8.",
  );
});

Deno.test("formatQuality() leaves columns out of a narrow table and names them", async () => {
  const rows = await rowsFor(smallContext([20, 30]), ["oracle"]);
  assertMatch(formatQuality(rows), /\nmethod +bits +bytes +sparsity +k +recall +mass middle /);
  const text = formatQuality(rows, 64);
  for (const line of text.split("\n")) assertLessOrEqual(line.length, 64, line);
  assertMatch(text, /\nmethod +sparsity +recall +mass middle +mass total +output error\n/);
  assertMatch(text, /\nNot shown for want of room: bits, bytes, k; --csv FILE has all\ncolumns\.$/);
});
