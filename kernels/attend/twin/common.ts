/**
 * The parts that the TypeScript twins of `select_gather.wgsl` and `select_gather_group.wgsl` share.
 *
 * A twin is not a reference: it does the same steps as its kernel in the same order, up to the tokens
 * that a workgroup attends, so that each phase can be tested alone and without a GPU. Functions and
 * variables have their WGSL names. A function that no kernel has is a part of `main`. A function for
 * one thread takes the thread or its block as an argument. A function for the whole workgroup loops
 * over the threads, and the end of the loop is a barrier. Numbers are u32: `>>> 0` wraps them around
 * as in WGSL.
 */
import { popcount } from "../../core/bits.ts";
import type { Windows } from "../../core/problem/derived.ts";

/** Two counts or masks, as vec2<u32>. */
export type Pair = readonly [x: number, y: number];

/** Four counts, as vec4<u32>. */
export type Quad = readonly [x: number, y: number, z: number, w: number];

/** The parameters that both kernels have, and the device's subgroup size. */
export interface TwinParams {
  readonly CAPACITY: number;
  readonly LIST_CAPACITY: number;
  readonly LAST: number;
  readonly BLOCK: number;
  readonly SUBGROUP_MIN: number;
  readonly WORKGROUP: number;
  readonly SPLITS: number;
  readonly TIES: number;
  /** The device's subgroup size, at least SUBGROUP_MIN. It is not a parameter of the kernels. */
  readonly subgroup_lanes: number;
}

/** The result of the score for a list: its tokens, and their distances packed into words. */
export interface ScoredList {
  readonly length: number;
  readonly windows: Windows;
  readonly distances: Uint32Array;
  readonly newest_distance: number;
}

/** The places [begin, end) of a list that a split attends. */
export interface Share {
  readonly begin: number;
  readonly end: number;
}

/** Marks a slot of the share that no thread has written. */
export const UNWRITTEN = 0xffffffff;

// Functions of WGSL.

export function firstLeadingBit(word: number): number {
  return 31 - Math.clz32(word);
}

export function firstTrailingBit(word: number): number {
  return 31 - Math.clz32(word & -word);
}

export function clamp(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high);
}

/** Quotient of two u32. */
export function div(a: number, b: number): number {
  return Math.floor(a / b);
}

// Functions that both kernels have.

export function bits_from(count: number): number {
  return count > 31 ? 0 : (0xffffffff << Math.min(count, 31)) >>> 0;
}

export function window_tokens(
  first: number,
  after: number,
  { sinkEnd: sink_end, recentStart: recent_start }: Windows,
): number {
  const in_sink = Math.max(Math.min(after, sink_end), first) - first;
  return in_sink + after - clamp(recent_start, first, after);
}

export function window_mask(
  first: number,
  { sinkEnd: sink_end, recentStart: recent_start }: Windows,
): number {
  const in_sink = ~bits_from(Math.max(first, sink_end) - first);
  return (in_sink | bits_from(Math.max(first, recent_start) - first)) >>> 0;
}

export function first_bits(mask: number, count: number): number {
  let kept = count === 0 ? 0 : mask;
  while (popcount(kept) > count) {
    kept = (kept & ~(1 << firstLeadingBit(kept))) >>> 0;
  }
  return kept;
}

export function picks_of_ties(
  { TIES }: Pick<TwinParams, "TIES">,
  count: number,
  tie_bound: number,
): number {
  const first = Math.min(count, tie_bound);
  return TIES === 1 ? count - first : first;
}

export function mask_tie_picks(
  { TIES }: Pick<TwinParams, "TIES">,
  tie_mask: number,
  before: number,
  tie_bound: number,
): number {
  const first = first_bits(tie_mask, tie_bound - Math.min(before, tie_bound));
  return TIES === 1 ? (tie_mask & ~first) >>> 0 : first;
}

/** The number of the tie before which ties are picks, or with TIES = 1 from which on. */
export function tie_bound_of(
  { TIES }: Pick<TwinParams, "TIES">,
  ties: number,
  all: number,
): number {
  return TIES === 1 ? all - ties : ties;
}

/** The share of a split. */
export function share_of(
  { SPLITS }: Pick<TwinParams, "SPLITS">,
  split: number,
  attended: number,
): Share {
  const share = div(attended + SPLITS - 1, SPLITS);
  const begin = Math.min(split * share, attended);
  return { begin, end: Math.min(begin + share, attended) };
}

/** The bin of the newest token, or BINS if it is in a window or already in the histograms. */
export function newest_bin_of(
  BINS: number,
  lacks_newest: boolean,
  { length, windows, newest_distance }: ScoredList,
): number {
  const newest_is_middle = lacks_newest && windows.recentStart === length &&
    windows.sinkEnd < length;
  return newest_is_middle ? newest_distance : BINS;
}

/** `subgroupExclusiveAdd` in every subgroup of the workgroup. */
export function subgroupExclusiveAdd(values: readonly Pair[], lanes: number): Pair[] {
  let sum: Pair = [0, 0];
  return values.map((value, thread) => {
    if (thread % lanes === 0) sum = [0, 0];
    const before = sum;
    sum = [sum[0] + value[0], sum[1] + value[1]];
    return before;
  });
}

export function countPair(masks: Pair): Pair {
  return [popcount(masks[0]), popcount(masks[1])];
}

export function addPairs(a: Pair, b: Pair | Quad): Pair {
  return [(a[0] + b[0]) >>> 0, (a[1] + b[1]) >>> 0];
}

export function unwrittenTokens({ LIST_CAPACITY, SPLITS }: TwinParams): Uint32Array {
  return new Uint32Array(div(LIST_CAPACITY + SPLITS - 1, SPLITS)).fill(UNWRITTEN);
}
