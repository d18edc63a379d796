/**
 * Describes one decode step: shapes, dtypes and the selection rule. Every kernel, reference and
 * measurement is made for a {@linkcode Problem}.
 */

/** Element type of the K and V caches; arithmetic is always f32. */
export type KvDtype = "f16" | "bf16" | "f32";

/**
 * Who owns a code, and who owns a selection. `head`: each query head both (HashAttention). `kv`: a
 * code for each KV head, a selection for each query head. `group`: each KV head both, with
 * distances summed over its group (HATA).
 */
export type CodeSharing = "head" | "kv" | "group";

/** Which of the tokens at the threshold a selection takes: those of the lowest or highest index. */
export type TieRule = "lower" | "higher";

/** How many middle tokens to take: a count, or floor(length / sparsity) of each sequence. */
export type TopK = { readonly count: number } | { readonly sparsity: number };

/** The map to Hamming space: `layers` linear layers with SiLU between them, or a rotation. */
export interface MapShape {
  /** 0 (rotation, which nobody trains), 1 (random projection, HATA), 2 or 3 (HashAttention). */
  readonly layers: number;
  /** Width between layers; unused with less than two layers. */
  readonly hidden: number;
  /** Element type of weights and biases; unused without layers. */
  readonly dtype: "f16" | "f32";
}

/** The rotation as a map: signs, then the Hadamard transform. It has no weights. */
export const ROTATION: MapShape = { layers: 0, hidden: 64, dtype: "f32" };

/**
 * How scores of rotated codes become distances. Scores from 0 to `range` standard deviations fall
 * into `count` bins of equal width; the best bin is distance 0.
 */
export interface Bins {
  /** 16, 32, 64, 128 or 256. */
  readonly count: number;
  /** 1 to 16. */
  readonly range: number;
}

/** Bins that lose no attention mass against exact scores. */
export const DEFAULT_BINS: Bins = { count: 64, range: 6 };

/** How rows of K and V lie in memory, in elements. Both caches have the same strides. */
export interface KvStrides {
  /** From a sequence to the next; in a paged cache from a page to the next. */
  readonly outer: number;
  /** From a KV head to the next. */
  readonly head: number;
  /** From a token to the next. */
  readonly token: number;
}

/** A cache whose tokens lie in pages of a pool that all sequences share. */
export interface KvPages {
  /** Tokens of a page: 16, 32, 64, 128 or 256. */
  readonly tokens: number;
  /** Pages of the pool (default: as many as full sequences need together). */
  readonly count?: number;
}

/**
 * The order of a cache without gaps: KV heads before tokens, or tokens before KV heads. In a paged
 * cache it is the order within a page.
 */
export type KvLayout = "bhnd" | "bnhd";

/** Shapes and settings of one decode step over `batch` sequences. */
export interface Problem {
  /** Sequences, B. */
  readonly batch: number;
  /** Query heads, Hq: a multiple of `kvHeads`, at most 64 for each. */
  readonly qHeads: number;
  /** KV heads, Hkv. */
  readonly kvHeads: number;
  /** Elements of a row of K or V: 64, 80, 96, 112, 128, 192 or 256. */
  readonly headDim: number;
  /**
   * Elements of a row of V and of the output, as `headDim` (default: `headDim`). Other lengths than
   * those of K run in variants with `unequalRows` only.
   */
  readonly valueDim?: number;
  /** KV length: tokens of the longest sequence, the new token included. Costs and checks use it. */
  readonly kvLen: number;
  /** Tokens of each sequence, [B]; without it, every sequence has `kvLen`. */
  readonly lengths?: readonly number[];
  /**
   * Whether sequences may be of unequal lengths that only the GPU knows (default: as `lengths` says).
   * A decoder of several sequences assumes so unless this is false.
   * It decides which parameters are the defaults. Every variant computes the same in either case.
   */
  readonly ragged?: boolean;
  /** Tokens that a sequence's cache can hold: a multiple of 16 (see {@linkcode roundCapacity}). */
  readonly capacity: number;
  /**
   * The first tokens of every sequence, which all sequences share (default 0: none): a multiple of 16
   * below the length of each. The caches hold them once, in front of what each sequence has of its
   * own, as layout.ts says. Lengths and `capacity` count them. Only variants that name
   * `sharedPrefix` take such a problem.
   */
  readonly prefix?: number;
  /** Element type of K and V. */
  readonly dtype: KvDtype;
  /**
   * Where rows of K and V lie (default: layout `bhnd` without gaps, see {@linkcode kvStridesFor}).
   * Each is a multiple of 16 bytes.
   */
  readonly kvStrides?: KvStrides;
  /**
   * The pages of K and V (default: each sequence lies in one piece). A page table stands behind the
   * lengths in `lengths`.
   */
  readonly kvPages?: KvPages;
  /** Element type of the queries (default `f32`). With `f16` they are what lies in `q`, exactly. */
  readonly qDtype?: "f32" | "f16";
  /**
   * Element type of the output (default `f32`). Sums stay in f32; with `f16` the result is rounded
   * once, up or down as the device does it. Beyond 65,504 WGSL promises nothing.
   */
  readonly outDtype?: "f32" | "f16";
  /**
   * What dots of queries and keys are multiplied by, from 1e-6 to 1e6 (default 1 / sqrt(headDim)).
   * Selections do not depend on it, since it keeps the order of scores.
   */
  readonly scale?: number;
  /**
   * A soft cap of the scaled logits, from 1e-3 to 1e6: softCap * tanh(logit / softCap), as in Gemma 2
   * (default: none). Sink logits are not capped, and selections do not depend on it either.
   */
  readonly softCap?: number;
  /** Bits of a code: 32, 64 or 128. */
  readonly bits: number;
  /** Whether the query heads of a group share a code, and a selection. */
  readonly sharing: CodeSharing;
  /**
   * Whether all query heads of a sequence share one selection (default false). It is of scores that
   * no code gives: steps of other systems set it for their own stages.
   */
  readonly singleList?: boolean;
  /** The map that makes codes. With {@linkcode ROTATION}, KV heads share codes (`kv`). */
  readonly map: MapShape;
  /** Seed of the rotation's signs (default 1). Codes made with another seed are unusable. */
  readonly rotationSeed?: number;
  /**
   * Whether the prompt's mean key is subtracted from keys before they are rotated (default false).
   * The order of scores does not change, but codes tell keys apart better that have much in common.
   */
  readonly centre?: boolean;
  /** Bins of rotated codes' scores (default {@linkcode DEFAULT_BINS}). */
  readonly bins?: Bins;
  /**
   * Magnitude planes of a query code, 0 to 3 (default 0; of a decoder without `map` 2). Without
   * planes a distance counts the bits that differ. With P planes each bit weighs 0 to 2^P - 1, by
   * the magnitude of the query there.
   */
  readonly planes?: number;
  /** Middle tokens to take. */
  readonly topK: TopK;
  /**
   * Which tokens at the threshold are taken (default `lower`, the paper's rule; of a decoder without
   * `map` `higher`).
   */
  readonly ties?: TieRule;
  /** First tokens, always attended. */
  readonly sink: number;
  /** Last tokens, always attended. */
  readonly recent: number;
}

/** The names of all fields of a problem. */
export const PROBLEM_FIELDS: readonly string[] = Object.keys(
  {
    batch: 0,
    qHeads: 0,
    kvHeads: 0,
    headDim: 0,
    valueDim: 0,
    kvLen: 0,
    lengths: 0,
    ragged: 0,
    capacity: 0,
    prefix: 0,
    dtype: 0,
    kvStrides: 0,
    kvPages: 0,
    qDtype: 0,
    outDtype: 0,
    scale: 0,
    softCap: 0,
    bits: 0,
    sharing: 0,
    singleList: 0,
    map: 0,
    rotationSeed: 0,
    centre: 0,
    bins: 0,
    planes: 0,
    topK: 0,
    ties: 0,
    sink: 0,
    recent: 0,
  } satisfies Record<keyof Problem, 0>,
);

/**
 * The code of a decoder whose problem names no map: rotated codes of 128 bits and two planes. Of the
 * tokens at the threshold the newest are taken, which keep more of the attention on real traces.
 */
export const ROTATED_CODE = {
  bits: 128,
  sharing: "kv",
  map: ROTATION,
  planes: 2,
  ties: "higher",
} as const satisfies Partial<Problem>;

/** The part of a {@linkcode Problem} that a model fixes. */
export type Shape = Pick<Problem, "qHeads" | "kvHeads" | "headDim">;
