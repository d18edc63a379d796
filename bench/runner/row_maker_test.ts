import { assertAlmostEquals, assertEquals } from "@std/assert";
import type { HandOver, Plan, Stage } from "../../kernels/core/variant.ts";
import { LARGE_LIMITS } from "../../kernels/core/device_limits.ts";
import { findVariant } from "../../kernels/core/registry.ts";
import { type BenchCase, casesOf } from "../cases/cases.ts";
import type { Session } from "../measure/session.ts";
import type { PreparedVariant } from "../measure/prepared_variant.ts";
import { parseOptions } from "../run/options.ts";
import type { Roofline } from "../measure/roofline.ts";
import type { ProbeResult } from "../measure/probes.ts";
import { bestDenseUs, probeRows, rowMaker } from "./row_maker.ts";

const [benchCase] = casesOf(parseOptions(["--shape", "4x1x64", "--kv", "512"]));
const session = {
  facts: {},
  settings: {},
  timer: { kind: "timestamp", nsPerTick: 1, grainNs: 65_536 },
  probeFailure: null,
} as unknown as Session;
const samples = { stepsPerSample: 1, us: [50, 50, 50], droppedUs: [] };
const probe = { bytes: 0, sets: 1, samples };
const roofline: Roofline = {
  stream: [{ bytes: 1e9, us: 1002 }],
  gather: [{ bytes: 1e9, us: 1002 }],
  dispatchUs: 2,
  flopsPerUs: 1e7,
  popcountsPerUs: 1e6,
};
const probes: ProbeResult[] = [
  { ...probe, name: "probe/fma", operations: { flops: 5e8 } },
  { ...probe, name: "probe/popcount", operations: { popcounts: 1e8 } },
  { ...probe, name: "probe/chain", operations: {} },
];

/** A row of a step that took 50 us and has 200 million operations. */
function rowOf(name: string, plan?: Plan, of: BenchCase = benchCase) {
  const variant = findVariant(name);
  const cost = { streamBytes: 1e6, gatherBytes: 0, writeBytes: 0, flops: 2e8 };
  const prepared = {
    variant,
    params: {},
    plan: plan ?? { dispatches: [{ params: {} }], buffers: {} },
    cost,
    sets: 1,
  };
  const checkResult = { ok: true, relL2: 0, worst: null, checked: "" };
  const row = rowMaker(session, of, roofline);
  return row(prepared as unknown as PreparedVariant, checkResult, samples, 25, null);
}

Deno.test("rowMaker() gives the rate of arithmetic, which counts in the roofline", () => {
  const row = rowOf("prefill/flash");
  assertAlmostEquals(row.gflops_per_s!, 4000);
  assertAlmostEquals(row.floor_us!, 22);
  assertAlmostEquals(row.roofline_pct!, 44);
});

Deno.test("rowMaker() names the clock", () => {
  const { timer, ns_per_tick, clock_grain_ns } = rowOf("dense/split");
  assertEquals([timer, ns_per_tick, clock_grain_ns], ["timestamp", 1, 65_536]);
});

Deno.test("rowMaker() names the hand-over of partials, or leaves it empty without partials", () => {
  const limits = { ...LARGE_LIMITS, subgroupMinSize: 32 };
  const { problem } = casesOf(parseOptions(["--models", "llama-3.1-8b", "--kv", "8K"]))[0];
  const handOverOf = (name: string, handOver: HandOver) => {
    const variant = findVariant(name);
    const params = variant.defaults(problem, { ...limits, handOver });
    return rowOf(name, variant.plan(problem, params)).hand_over;
  };
  for (const handOver of ["dispatch", "atomics", "barrier"] as const) {
    assertEquals(handOverOf("dense/split_subgroup", handOver), handOver);
    assertEquals(handOverOf("pipeline/sparse_two", handOver), handOver);
    // These variants have no choice of a hand-over.
    for (const name of ["dense/split", "dense/gpt_fast", "pipeline/sparse"]) {
      assertEquals(handOverOf(name, handOver), "dispatch");
    }
    // These variants have several dispatches or write partials, but merge none themselves.
    for (const name of ["select/bitonic", "attend/gather", "merge/merge", "score/hamming"]) {
      assertEquals(handOverOf(name, handOver), "");
    }
  }
});

Deno.test("rowMaker() does not compare prompt attention with a decode step", () => {
  const speedups = ["prefill/flash", "encode/prompt", "dense/split", "pipeline/sparse"]
    .map((name): [Stage, number | null] => {
      const { stage, speedup_vs_dense } = rowOf(name);
      return [stage, speedup_vs_dense];
    });
  assertEquals(speedups, [
    ["prefill", null],
    ["encode_prompt", null],
    ["dense", 0.5],
    ["pipeline", 0.5],
  ]);
});

Deno.test("rowMaker() names the layout and the pages of K and V", () => {
  const layoutOf = (...line: string[]) => {
    const [of] = casesOf(parseOptions(["--shape", "12x4x64", "--kv", "512", ...line]));
    const { layout, page_tokens } = rowOf("dense/split", undefined, of);
    return [layout, page_tokens];
  };
  assertEquals(layoutOf(), ["bhnd", null]);
  assertEquals(layoutOf("--layout", "bnhd"), ["bnhd", null]);
  assertEquals(layoutOf("--page-tokens", "32"), ["bhnd", 32]);
});

Deno.test("rowMaker() names the score, and the bytes of its codes", () => {
  const scoreOf = (line: string) => {
    const [of] = casesOf(parseOptions(["--shape", "12x4x64", "--kv", "512", ...line.split(" ")]));
    const { map, score, planes, ties, code_bytes } = rowOf("dense/split", undefined, of);
    return [map, score, planes, ties, code_bytes];
  };
  const paper = ["mlp3x128-f16", "hamming", 0, "lower", 12];
  assertEquals(scoreOf("--score hamming"), paper);
  assertEquals(scoreOf("--ties higher"), paper.with(3, "higher"));
  assertEquals(scoreOf("--score weighted --sharing kv"), ["linear-f16", "weighted", 2, "lower", 4]);
  assertEquals(scoreOf("--score rotated"), ["rotation", "rotated", 2, "higher", 17]);
  assertEquals(scoreOf("--score rotated --bits 64").at(-1), 9);
});

Deno.test("rowMaker() gives steps the quality that a set names", () => {
  const quality = { error: 0.25, mass: 0.75, tokens: 5632 };
  const qualityOf = (name: string, of: BenchCase) => {
    const { trace_error, trace_mass, trace_tokens } = rowOf(name, undefined, of);
    return [trace_error, trace_mass, trace_tokens];
  };
  const named = { ...benchCase, quality };
  assertEquals(qualityOf("pipeline/sparse", named), [0.25, 0.75, 5632]);
  assertEquals(qualityOf("dense/split", named), [null, null, null]);
  assertEquals(qualityOf("pipeline/sparse", benchCase), [null, null, null]);
});

Deno.test("probeRows() gives the rates of probes of arithmetic", () => {
  const rows = probeRows(session, benchCase, probes);
  assertEquals(rows.map((row) => row.gflops_per_s), [1e4, 2000, null]);
  assertEquals(rows.map((row) => row.params), [
    '{"flops":500000000}',
    '{"popcounts":100000000}',
    "{}",
  ]);
});

Deno.test("bestDenseUs() takes dense steps in the same state of the caches", () => {
  const dense = [
    { cache: "cold", us: 20 },
    { cache: "cold", us: 12 },
    { cache: "hot", us: 5 },
  ] as const;
  assertEquals(bestDenseUs(dense, "cold"), 12);
  assertEquals(bestDenseUs(dense, "hot"), 5);
  assertEquals(bestDenseUs(dense.slice(0, 2), "hot"), null);
});
