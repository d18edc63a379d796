/** How the heads of a trace stand for those of a shape with other GQA groups. */
import type { Trace } from "../../fixtures/trace.ts";
import { packKv } from "../../fixtures/half.ts";
import { groupSize, roundCapacity } from "../../kernels/core/problem/derived.ts";
import type { Problem, Shape } from "../../kernels/core/problem/problem.ts";
import { joinMapHeads, type LearnedMap, packMap } from "../../kernels/maps/learned_map.ts";
import type { Given } from "../measure/inputs/inputs.ts";

/**
 * The heads of a trace as a shape has them. Where the shape's groups are smaller than the trace's,
 * the trace is taken as several KV heads that have the same keys and values. Where they are larger,
 * the trace stays as it is, which holds for methods that share nothing across a group.
 */
export interface Arrangement {
  readonly shape: Shape;
  /** Whether the groups are those of the shape. */
  readonly exact: boolean;
}

/** The arrangement of a trace for a shape. */
export function arrange({ queryHeads, headDim }: Trace, shape: Shape): Arrangement {
  const group = shape.qHeads / shape.kvHeads;
  const exact = queryHeads % group === 0;
  return { shape: { qHeads: queryHeads, kvHeads: exact ? queryHeads / group : 1, headDim }, exact };
}

/** The sizes of a problem that holds a whole trace. */
export function traceSizes(
  { kvLen }: Trace,
  { shape }: Arrangement,
): Pick<Problem, "batch" | "qHeads" | "kvHeads" | "headDim" | "kvLen" | "capacity" | "dtype"> {
  return { batch: 1, ...shape, kvLen, capacity: roundCapacity(kvLen), dtype: "f16" };
}

/** The keys, values and queries of a trace as inputs of a problem. */
export function traceGiven(trace: Trace, p: Problem): Given {
  const cache = (rows: Float32Array) => {
    const all = new Float32Array(p.kvHeads * p.capacity * p.headDim);
    for (let head = 0; head < p.kvHeads; head++) all.set(rows, head * p.capacity * p.headDim);
    return packKv(all, p.dtype);
  };
  const [keys, values] = [cache(trace.k), cache(trace.v)];
  return { keys: () => keys, values: () => values };
}

/** The inputs of a trace's map. Maps of KV heads serve each of the KV heads that the trace became. */
export function mapGiven(map: LearnedMap, p: Problem): Given {
  const shared: LearnedMap = p.sharing === "head"
    ? map
    : { ...map, shape: { ...map.shape, sharing: p.sharing } };
  const copies = p.sharing === "head" ? 1 : p.kvHeads;
  const joined = joinMapHeads(Array<LearnedMap>(copies).fill(shared));
  const { query_map, key_map } = packMap(joined, p);
  return { query_map: () => query_map, key_map: () => key_map };
}

/** Query heads per KV head of the arrangement. */
export function arrangedGroup({ shape }: Arrangement): number {
  return groupSize(shape as Problem);
}
