/**
 * The hand-over of partials in the fused attention kernels: its buffers, its parameters, and the
 * dispatch that joins the partials if no workgroup may do so.
 */
import type { BufferSpec, DeviceLimits, Dispatch, HandOver, Kernel } from "../core/variant.ts";
import { type Params, ranges } from "../core/problem/constants.ts";
import { defineKernel } from "../core/define.ts";
import { dispatch } from "../core/dispatch.ts";
import { groupSize } from "../core/problem/derived.ts";
import type { Problem } from "../core/problem/problem.ts";
import { slicesFor } from "./merge.ts";
import raggedSource from "./join_ragged.wgsl" with { type: "text" };
import source from "./join_splits.wgsl" with { type: "text" };

/** Value of a kernel's HAND_OVER parameter for each hand-over. */
export const HAND_OVER_CODE: Readonly<Record<HandOver, number>> = {
  dispatch: 0,
  barrier: 1,
  atomics: 2,
};

/**
 * The hand-over with a value of the HAND_OVER parameter.
 *
 * @throws {RangeError} if no hand-over has this value.
 */
export function handOverOf(code: number): HandOver {
  const found = Object.entries(HAND_OVER_CODE).find(([, value]) => value === code);
  if (!found) throw new RangeError(`no hand-over has the code ${code}`);
  return found[0] as HandOver;
}

/** The HAND_OVER parameter of the fastest hand-over that a device's limits allow. */
export function handOverParam({ handOver = "dispatch" }: DeviceLimits): number {
  return HAND_OVER_CODE[handOver];
}

/** The reason that a device must not hand over with these parameters; undefined if it may. */
export function refusesHandOver(
  { HAND_OVER: code }: Params,
  { handOver = "dispatch" }: DeviceLimits,
): string | undefined {
  // A device that orders plain memory also orders atomics.
  const allowed: readonly number[] = {
    dispatch: [0],
    atomics: [0, 2],
    barrier: [0, 1, 2],
  }[handOver];
  if (!allowed.includes(code)) {
    return `its hand-over is ${handOverOf(code)}, this device's is ${handOver}`;
  }
}

/** The lists of a fused attention kernel, with their partials. */
export interface HandOverLists {
  readonly lists: number;
  /** Query heads of each list. */
  readonly heads: number;
  /** Splits of each list. */
  readonly splits: number;
  /** Whether the counters hold the splits of each list, because nobody counts arrivals. */
  readonly counted?: boolean;
}

/** Whether the counters of `hand_over` hold the splits of each list. */
export function countsSplits({ HAND_OVER, SHARES = 0 }: Params): boolean {
  return HAND_OVER === HAND_OVER_CODE.dispatch && SHARES > 0;
}

/** vec4f per cache line. Each list starts on a line of its own, so that no two lists share one. */
const LINE_QUADS = 8;

/**
 * Bytes of `hand_over` for `lists` lists, and partials of `blockQuads` vec4f in each of `blocks`
 * blocks.
 */
export function handOverBytes(lists: number, blockQuads: number, blocks = lists): number {
  const paddedQuads = Math.ceil(blockQuads / LINE_QUADS) * LINE_QUADS;
  // Up to 64 unused words pad the counters to a whole line, and an unused array takes one vec4f.
  return Math.ceil((4 * (lists + 64) + 16 * blocks * paddedQuads + 32) / 16) * 16;
}

/**
 * Spec of `hand_over`: a counter per list, then the partials as f32 words. Where no workgroup
 * counts arrivals, and lists have different numbers of splits, the counters hold these numbers.
 */
export function handOverSpec(
  p: Problem,
  { lists, heads, splits, counted }: HandOverLists,
): Record<string, BufferSpec> {
  return {
    hand_over: {
      bytes: handOverBytes(lists, heads * splits * (p.headDim / 4 + 1)),
      role: "scratch",
      ...(counted ? {} : { zeros: { offset: 0, bytes: 4 * lists } }),
    },
  };
}

/** The lists of a kernel whose workgroups share out the tokens of all sequences. */
export interface RaggedLists {
  /** Lists of a sequence. */
  readonly lists: number;
  /** Query heads of each list. */
  readonly heads: number;
  /** Shares of the tokens. */
  readonly splits: number;
}

/** Spec of `hand_over` for such a kernel: a counter per list and sequence, then the slots. */
export function raggedHandOverSpec(
  p: Problem,
  { lists, heads, splits }: RaggedLists,
): Record<string, BufferSpec> {
  const counters = p.batch * lists;
  const slots = lists * (splits + p.batch - 1);
  return {
    hand_over: {
      bytes: handOverBytes(counters, heads * (p.headDim / 4 + 1), slots),
      role: "scratch",
      zeros: { offset: 0, bytes: 4 * counters },
    },
  };
}

/** `join_splits.wgsl`. */
export const joinSplitsKernel: Kernel = defineKernel({
  name: "merge/join_splits",
  source,
  params: {
    ...ranges("HEAD_DIM", "BATCH", "GROUP", "Q_HEADS"),
    HEADS: { min: 1, max: 64 },
    SPLITS: { min: 1, max: 65535 },
    COUNTED: [0, 1],
    SLICES: [1, 2, 4, 8, 16],
    ZEROED: { min: 0, max: 0xffffffff },
    ZEROS_BEGIN: { min: 0, max: 0xffffffff },
  },
});

/** `join_ragged.wgsl`. */
export const joinRaggedKernel: Kernel = defineKernel({
  name: "merge/join_ragged",
  source: raggedSource,
  params: {
    ...ranges("HEAD_DIM", "BATCH", "GROUP", "Q_HEADS"),
    HEADS: { min: 1, max: 64 },
    TILE: { min: 1, max: 4096 },
    SPLITS: { min: 1, max: 65535 },
    SLICES: [1, 2, 4, 8, 16],
  },
});

/**
 * The dispatch that joins the portions after a kernel whose workgroups share out tiles of `tile`
 * tokens of all sequences; none if the kernel joins them itself.
 */
export function joinPortions(p: Problem, params: Params, tile: number): readonly Dispatch[] {
  if (params.HAND_OVER !== HAND_OVER_CODE.dispatch) return [];
  const values: Params = {
    HEADS: params.HEADS,
    TILE: tile,
    SPLITS: params.SPLITS,
    SLICES: slicesFor(p, params.SPLITS),
  };
  return [dispatch(joinRaggedKernel, p, values, [p.qHeads, p.batch, 1])];
}

/** A buffer with words that every step must leave at zero. */
export interface Zeroed {
  readonly buffer: string;
  readonly spec: BufferSpec;
}

/**
 * The dispatch that joins the splits after a fused kernel; none if the kernel joins them itself.
 */
export function joinSplits(
  p: Problem,
  params: Params,
  heads: number,
  zeroed?: Zeroed,
): { readonly buffers: Record<string, BufferSpec>; readonly dispatches: readonly Dispatch[] } {
  if (params.HAND_OVER !== HAND_OVER_CODE.dispatch) return { buffers: {}, dispatches: [] };
  const values: Params = {
    HEADS: heads,
    SPLITS: params.SPLITS,
    COUNTED: Number(countsSplits(params)),
    SLICES: slicesFor(p, params.SPLITS),
    ZEROED: (zeroed?.spec.zeros?.bytes ?? 0) / 4,
    ZEROS_BEGIN: (zeroed?.spec.zeros?.offset ?? 0) / 4,
  };
  const counters = zeroed?.buffer ?? "unused";
  return {
    buffers: zeroed ? {} : { unused: { bytes: 16, role: "scratch" } },
    dispatches: [
      dispatch(joinSplitsKernel, p, values, [p.qHeads, p.batch, 1], { counters }),
    ],
  };
}

/** Lists per KV head, if each list has `heads` query heads. */
export function listsPerKvHead(p: Problem, heads: number): number {
  return Math.ceil(groupSize(p) / heads);
}
