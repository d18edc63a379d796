/** Test support: small contexts and runs over them. */
import type { TraceContext } from "../../../fixtures/trace.ts";
import { createRandom } from "../../../fixtures/random.ts";
import { METHODS } from "./methods.ts";
import type { QualityRow } from "../../results/quality_rows.ts";
import { type QualityRun, runQuality } from "../../quality/run.ts";

/** A context of normal numbers: 2 heads of 8 channels, 40 tokens, a query at each position. */
export function smallContext(positions: readonly number[], seed = 1): TraceContext {
  const [headDim, kvLen, queryHeads] = [8, 40, 2];
  const random = createRandom(seed);
  const normal = (length: number) => Float32Array.from({ length }, () => random.normal());
  return {
    k: normal(kvLen * headDim),
    v: normal(kvLen * headDim),
    q: normal(queryHeads * positions.length * headDim),
    positions: Int32Array.from(positions),
    headDim,
    kvLen,
    queryHeads,
  };
}

/** The rows of the named methods on one context. */
export async function rowsFor(
  context: TraceContext,
  methods: readonly string[],
  changes: Partial<QualityRun> = {},
): Promise<readonly QualityRow[]> {
  const { rows } = await runQuality({
    trace: "small",
    contexts: [{ name: "", context }],
    sparsities: [8],
    seed: 1,
    fit: context,
    methods: METHODS.filter(({ name }) => methods.includes(name)),
    windows: { sink: 4, recent: 4 },
    budget: "trace",
    querySet: "all",
    map: null,
    device: null,
    ...changes,
  });
  return rows;
}
