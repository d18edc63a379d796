/** The `// @param` constants that follow from a problem, and the values that they may have. */
import { hasPlainCache, kvStridesOf } from "./cache_layout.ts";
import {
  binsOf,
  centresKeys,
  codeHeads,
  distanceBytes,
  groupSize,
  isRotated,
  kvBytes,
  listCapacity,
  listHeads,
  maxDistance,
  planesOf,
  prefixOf,
  queriesPerCode,
  queriesPerList,
  rotationSeedOf,
  tiesOf,
  valueDimOf,
} from "./derived.ts";
import type { Problem } from "./problem.ts";

/** Values a `// @param` constant may take: a list, or a range of whole numbers. */
export type ParamRange = readonly number[] | { readonly min: number; readonly max: number };

/** Parameter values by `// @param` name. */
export type Params = Readonly<Record<string, number>>;

/** Value of the KV_DTYPE and MAP_DTYPE parameters. */
export const DTYPE_CODE = { f32: 0, f16: 1, bf16: 2 } as const;

/** Value of the TIES parameter. */
export const TIE_CODE = { lower: 0, higher: 1 } as const;

/** Strides of K and V in 16-byte loads, which are 0 for the usual layout, and the tokens of a page. */
function cacheParams(p: Problem): Record<(typeof CACHE_ROWS)[number], number> {
  const { outer, head, token } = hasPlainCache(p)
    ? { outer: 0, head: 0, token: 0 }
    : kvStridesOf(p);
  const load = 16 / kvBytes(p.dtype);
  return {
    OUTER_STRIDE: outer / load,
    HEAD_STRIDE: head / load,
    TOKEN_STRIDE: token / load,
    TABLE_BITS: p.kvPages ? Math.log2(p.kvPages.tokens) : 0,
  };
}

/** Every `// @param` value that follows from a problem. */
export function problemParams(p: Problem): Params {
  return {
    HEAD_DIM: p.headDim,
    VALUE_DIM: valueDimOf(p),
    BATCH: p.batch,
    GROUP: groupSize(p),
    Q_HEADS: p.qHeads,
    KV_HEADS: p.kvHeads,
    CAPACITY: p.capacity,
    PREFIX: prefixOf(p),
    KV_DTYPE: DTYPE_CODE[p.dtype],
    ...cacheParams(p),
    BITS: p.bits,
    PLANES: planesOf(p),
    BINS: binsOf(p).count,
    RANGE: binsOf(p).range,
    SEED: rotationSeedOf(p),
    CENTRE: Number(centresKeys(p)),
    FACTORS: Number(isRotated(p)),
    CODE_HEADS: codeHeads(p),
    QUERIES_PER_CODE: queriesPerCode(p),
    SEQUENCE_LISTS: listHeads(p),
    QUERIES_PER_LIST: queriesPerList(p),
    LIST_CAPACITY: listCapacity(p),
    LAST: maxDistance(p),
    DISTANCE_BYTES: distanceBytes(p),
    TIES: TIE_CODE[tiesOf(p)],
    SINK: p.sink,
    RECENT: p.recent,
    K_COUNT: "count" in p.topK ? p.topK.count : 0,
    SPARSITY: "count" in p.topK ? 0 : p.topK.sparsity,
    MAP_LAYERS: p.map.layers,
    MAP_HIDDEN: p.map.hidden,
    MAP_DTYPE: DTYPE_CODE[p.map.dtype],
  };
}

/** Elements that a row of K or V may have. */
export const HEAD_DIMS = [64, 80, 96, 112, 128, 192, 256] as const;

/** Tokens that a page of a paged cache may have. */
export const KV_PAGE_TOKENS = [16, 32, 64, 128, 256] as const;

/** The parameters of `shared/cache_strides.wgsl`. */
export const CACHE_ROWS = ["OUTER_STRIDE", "HEAD_STRIDE", "TOKEN_STRIDE", "TABLE_BITS"] as const;

/** Query heads that a KV head may have. */
export const MOST_GROUP = 64;

const GROUP: ParamRange = { min: 1, max: MOST_GROUP };
const HEADS: ParamRange = { min: 1, max: 65535 };
const ANY_U32: ParamRange = { min: 0, max: 0xffffffff };

/** Valid values of the parameters that follow from a problem. */
export const PROBLEM_RANGES = {
  HEAD_DIM: HEAD_DIMS,
  VALUE_DIM: HEAD_DIMS,
  BATCH: { min: 1, max: 65535 },
  GROUP,
  Q_HEADS: HEADS,
  KV_HEADS: HEADS,
  CAPACITY: { min: 16, max: 1 << 21 },
  PREFIX: { min: 0, max: 1 << 21 },
  KV_DTYPE: [0, 1, 2],
  OUTER_STRIDE: ANY_U32,
  HEAD_STRIDE: ANY_U32,
  TOKEN_STRIDE: ANY_U32,
  TABLE_BITS: [0, 4, 5, 6, 7, 8],
  BITS: [32, 64, 128],
  PLANES: [0, 1, 2, 3],
  BINS: [16, 32, 64, 128, 256],
  RANGE: { min: 1, max: 16 },
  SEED: ANY_U32,
  CENTRE: [0, 1],
  CODE_HEADS: HEADS,
  QUERIES_PER_CODE: GROUP,
  SEQUENCE_LISTS: HEADS,
  QUERIES_PER_LIST: HEADS,
  LIST_CAPACITY: { min: 1, max: 1 << 21 },
  LAST: { min: 1, max: 65535 },
  DISTANCE_BYTES: [1, 2],
  TIES: [0, 1],
  SINK: ANY_U32,
  RECENT: ANY_U32,
  K_COUNT: ANY_U32,
  SPARSITY: ANY_U32,
  MAP_LAYERS: [1, 2, 3],
  MAP_HIDDEN: [64, 128, 256],
  MAP_DTYPE: [0, 1],
} as const satisfies Record<string, ParamRange>;

/** The ranges of the named problem parameters, for a kernel's `params`. */
export function ranges(
  ...names: readonly (keyof typeof PROBLEM_RANGES)[]
): Record<string, ParamRange> {
  return Object.fromEntries(names.map((name) => [name, PROBLEM_RANGES[name]]));
}
