/** Test support: a session, a small trace, and runs over it. */
import type { Trace } from "../../fixtures/trace.ts";
import { createRandom } from "../../fixtures/random.ts";
import { openAdapter } from "../edge/open_adapter.ts";
import { openSession, type Session } from "../measure/session.ts";
import type { FrontierRow } from "../results/frontier_rows.ts";
import { FRONTIER_METHODS, type FrontierMethod } from "./methods.ts";
import { type FrontierRun, type MappedTrace, runFrontier } from "./run.ts";
import { truthOf } from "./truth.ts";

/** Opens a session on the adapter of tests. */
export async function openTestSession(): Promise<Session> {
  return await openSession(await openAdapter(), {
    hot: true,
    layers: 1,
    noisePct: 1,
    maxTimeMs: 100,
    timer: "auto",
    seed: 1,
    memoryBytes: 1e9,
    suiteVersion: "0",
    commit: "0",
    onProgress: () => {},
  });
}

/** A trace of numbers that f16 holds: keys of a few clusters, which queries tell apart. */
export function smallTrace(
  { kvLen = 320, headDim = 64, queryHeads = 4, seed = 1 }: Partial<
    Pick<Trace, "kvLen" | "headDim" | "queryHeads"> & { seed: number }
  > = {},
): Trace {
  const random = createRandom(seed);
  const normal = (length: number) =>
    Float32Array.from(new Float16Array(Float32Array.from({ length }, () => random.normal())));
  // The last query is not of the last token: steps must not rely on the length of the trace.
  const positions = [40, 100, 239, 240, 255, 288, 300, 318].filter((position) => position < kvLen);
  return {
    k: normal(kvLen * headDim),
    v: normal(kvLen * headDim),
    q: normal(queryHeads * positions.length * headDim).map((x) => 2 * x),
    positions: Int32Array.from(positions),
    headDim,
    kvLen,
    queryHeads,
  };
}

/** A trace without maps, ready to be measured. */
export async function mapped(trace: Trace, name = "small"): Promise<MappedTrace> {
  const truth = await truthOf(name, trace);
  return { truth: truth!, maps: { map: null, "hata-map": null }, dataDigest: "00000000" };
}

/** The method of that name. */
export function methodOf(name: string): FrontierMethod {
  return FRONTIER_METHODS.find((method) => method.name === name)!;
}

/** Measures methods on traces, at small budgets, with small windows. */
export async function measured(
  session: Session,
  traces: readonly MappedTrace[],
  methods: readonly string[],
  changes: Partial<FrontierRun> = {},
) {
  const written: FrontierRow[] = [];
  const outcome = await runFrontier({
    session,
    methods: methods.map(methodOf),
    budgets: [4, 8],
    kvLens: [512],
    shape: { qHeads: 8, kvHeads: 2, headDim: 64 },
    windows: { sink: 16, recent: 16 },
    traces,
    earlier: [],
    onRows: (rows) => written.push(...rows),
    ...changes,
  });
  return { ...outcome, written };
}
