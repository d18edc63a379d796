/** The codes of a learned map in f64, weighed by magnitude planes of the query. */
import type { TraceContext } from "../../../fixtures/trace.ts";
import {
  codeHeads,
  queriesPerCode,
  queriesPerList,
} from "../../../kernels/core/problem/derived.ts";
import { encodeReference, type MapLayer, packBits } from "../../../kernels/encode/reference.ts";
import {
  type LearnedMap,
  mapHeadLayers,
  type MapNumbers,
  packMap,
} from "../../../kernels/maps/learned_map.ts";
import type { EdgeWindows, Selector } from "../selector.ts";
import { learnedCode } from "../codes.ts";
import { contextProblem } from "./device_codes.ts";
import {
  oncePerContext,
  type WeightedCode,
  weightedCode,
  weightedDistances,
} from "./weighted_codes.ts";

/** Settings of weighted codes of a learned map. */
export interface WeightedLearnedSettings {
  readonly map: LearnedMap;
  /** Magnitude planes of a query code, 0 to 3. */
  readonly planes: number;
  readonly windows: EdgeWindows;
}

/**
 * Ranks tokens by the weights of the bits in which their codes differ from the query's. The weights
 * are magnitudes of the map's outputs after tanh, which training also applies.
 *
 * @throws {RangeError} for a shape or map that the kernels do not support.
 */
export function weightedLearnedSelector(
  context: TraceContext,
  { map, planes, windows }: WeightedLearnedSettings,
): Selector {
  const problem = contextProblem(context, { code: learnedCode(map, planes), windows });
  packMap(map, problem); // Only to refuse a map for another problem.
  const heads = codeHeads(problem);
  const keys = keyCodes(context, map);
  const queryMaps = Array.from({ length: heads }, (_, head) => layersOf(map, map.query, head));
  const codeOf = (query: number, head: number): WeightedCode => {
    const layers = queryMaps[Math.floor(head / queriesPerCode(problem))];
    const outputs = encodeReference(queryAt(context, query, head), layers);
    return weightedCode(outputs.map(Math.tanh), planes);
  };
  const sharers = queriesPerList(problem);
  return {
    bitsPerToken: problem.bits * heads,
    costs({ head, query, length }) {
      const codes = keys[Math.floor(head / queriesPerCode(problem))];
      const first = head - head % sharers;
      const sum = new Uint32Array(length);
      for (let each = first; each < first + sharers; each++) {
        const distances = weightedDistances(codeOf(query, each), codes, length);
        for (let token = 0; token < length; token++) sum[token] += distances[token];
      }
      return sum;
    },
  };
}

/** The codes of the keys by each head's map, [tokens, words]. */
const keyCodes = oncePerContext(
  ({ k, kvLen, headDim }: TraceContext, map: LearnedMap): Uint32Array[] => {
    const words = map.shape.bits / 32;
    return Array.from({ length: map.shape.heads }, (_, head) => {
      const layers = layersOf(map, map.key, head);
      const codes = new Uint32Array(kvLen * words);
      for (let token = 0; token < kvLen; token++) {
        const row = k.subarray(token * headDim, (token + 1) * headDim);
        codes.set(packBits(encodeReference(row, layers)), token * words);
      }
      return codes;
    });
  },
);

/** One head's layers in f64. Other types of numbers would slow every product down. */
function layersOf({ shape }: LearnedMap, numbers: MapNumbers, head: number): MapLayer[] {
  return mapHeadLayers(shape, Float64Array.from(numbers), head);
}

function queryAt({ q, positions, headDim }: TraceContext, query: number, head: number) {
  const start = (head * positions.length + query) * headDim;
  return q.subarray(start, start + headDim);
}
