/** Measures the attention mass of the tokens that a map selects on held-out contexts. */
import { scoreReference } from "../../../kernels/score/reference.ts";
import { attendDense, sumOf } from "../../selection/attention.ts";
import { cheapest } from "../../selection/ranking.ts";
import type { EdgeWindows } from "../../selection/selector.ts";
import { type FitContext, middleOf } from "./data/contexts.ts";
import type { Recipe } from "./recipe.ts";
import { packKeys, packQueries } from "./query_codes.ts";
import { createRotation } from "./data/rows.ts";
import type { HostTensor } from "./data/sample.ts";

/**
 * Encodes rows: pre-activations [heads, n, bits] of rows [heads, n, headDim], or [maps, n, bits] of
 * rows [n, headDim].
 */
export type Encode = (side: "query" | "key", rows: HostTensor) => Promise<Float32Array>;

/** Measures a map: the share of the middle's attention mass that it selects, mean over heads. */
export type Validate = (encode: Encode) => Promise<number>;

/** Settings of validation. */
export interface ValidateOptions {
  readonly windows: EdgeWindows;
  readonly recipe: Recipe;
  /** Base of the model's RoPE; null without RoPE. */
  readonly ropeBase: number | null;
  /** Bits of a code. */
  readonly bits: number;
}

/** Most queries of a context that are validated; more change little and cost time. */
const MOST_QUERIES = 192;

/** One query and the attention mass of its middle tokens. */
interface Case {
  readonly sinkEnd: number;
  readonly recentStart: number;
  /** For each head, the attention mass of each middle token. */
  readonly mass: readonly Float64Array[];
}

/** One context, ready for any map. */
interface Prepared {
  readonly queries: HostTensor;
  readonly keys: HostTensor;
  readonly cases: readonly Case[];
  /** Number of middle tokens to select. */
  readonly budget: number;
}

/**
 * Prepares validation. It selects the N/sparsity middle tokens of smallest distance, weighted by the
 * recipe's planes; at a tie the lower token wins. Queries and keys are rotated together by `recipe.validationOffset`. The
 * rotation changes no mass, but shows whether the map works at positions beyond the context.
 */
export function createValidate(
  contexts: readonly FitContext[],
  options: ValidateOptions,
): Validate {
  const { recipe: { planes }, bits } = options;
  const words = bits / 32;
  const queryWords = (1 + planes) * words;
  const prepared = contexts.map((context) => prepare(context, options));
  const heads = contexts[0].queryHeads;
  return async (encode) => {
    const caught = new Float64Array(heads);
    const whole = new Float64Array(heads);
    for (const { queries, keys, cases, budget } of prepared) {
      const queryCodes = packQueries(await encode("query", queries), bits, planes);
      const keyCodes = packKeys(await encode("key", keys), bits);
      const tokenWords = keys.shape[0] * words;
      const maps = keyCodes.length / tokenWords;
      for (let head = 0; head < heads; head++) {
        // The query heads share the codes of a single map.
        const map = maps === 1 ? 0 : head;
        const codes = keyCodes.subarray(map * tokenWords, (map + 1) * tokenWords);
        for (const [i, { sinkEnd, recentStart, mass }] of cases.entries()) {
          const start = (head * cases.length + i) * queryWords;
          const middle = codes.subarray(sinkEnd * words, recentStart * words);
          const code = queryCodes.subarray(start, start + queryWords);
          const distances = scoreReference(code, middle, words, planes);
          for (const token of cheapest(distances, 0, distances.length, budget)) {
            caught[head] += mass[head][token];
          }
          whole[head] += sumOf(mass[head], 0, mass[head].length);
        }
      }
    }
    return caught.reduce((sum, each, head) => sum + each / whole[head], 0) / heads;
  };
}

function prepare(
  context: FitContext,
  { windows, recipe: { sparsity, validationOffset }, ropeBase }: ValidateOptions,
): Prepared {
  const { usable, positions, headDim, queryHeads, kvLen } = context;
  const rotate = createRotation(headDim, ropeBase);
  const picked = spread(usable, MOST_QUERIES);
  const rowOf = (head: number, query: number) => {
    const start = (head * positions.length + query) * headDim;
    return context.q.subarray(start, start + headDim);
  };
  const heads = Array.from({ length: queryHeads }, (_, head) => head);
  const queries = new Float32Array(queryHeads * picked.length * headDim);
  for (const head of heads) {
    for (const [i, query] of picked.entries()) {
      queries.set(rowOf(head, query), (head * picked.length + i) * headDim);
    }
  }
  const cases = picked.map((query) => {
    const { sinkEnd, recentStart } = middleOf(windows, positions[query]);
    const mass = heads.map((head) => {
      const { weights, total } = attendDense(
        ...[rowOf(head, query), context.k, null, positions[query] + 1] as const,
      );
      return weights.subarray(sinkEnd, recentStart).map((weight) => weight / total);
    });
    return { sinkEnd, recentStart, mass };
  });
  return {
    queries: {
      shape: [queryHeads, picked.length, headDim],
      data: rotate(queries, validationOffset),
    },
    keys: { shape: [kvLen, headDim], data: rotate(context.k.slice(), validationOffset) },
    cases,
    budget: Math.floor(kvLen / sparsity),
  };
}

/** At most `most` of the values, evenly spread. */
function spread(values: readonly number[], most: number): number[] {
  const count = Math.min(most, values.length);
  return Array.from({ length: count }, (_, i) => values[Math.floor(i * values.length / count)]);
}
