/**
 * How the workgroups of a list hand their partials to whoever joins them, as the fused attention
 * kernels have it: buffers, parameters and the dispatch that joins where no workgroup may.
 */
import type {
  BufferSpec,
  DeviceLimits,
  Dispatch,
  HandOver,
  Kernel,
  Params,
} from "../core/variant.ts";
import { defineKernel } from "../core/define.ts";
import { dispatch, ranges } from "../core/layout.ts";
import { groupSize, type Problem } from "../core/problem.ts";
import { slicesFor } from "./merge.ts";
import source from "./join_splits.wgsl" with { type: "text" };

/** Value of a kernel's HAND_OVER parameter for each hand-over. */
export const HAND_OVER_CODE: Readonly<Record<HandOver, number>> = {
  dispatch: 0,
  barrier: 1,
  atomics: 2,
};

/**
 * The hand-over that a HAND_OVER parameter stands for.
 *
 * @throws {RangeError} for a number that stands for none.
 */
export function handOverOf(code: number): HandOver {
  const found = Object.entries(HAND_OVER_CODE).find(([, value]) => value === code);
  if (!found) throw new RangeError(`no hand-over has the code ${code}`);
  return found[0] as HandOver;
}

/** The HAND_OVER parameter that a device's limits allow: the fastest. */
export function handOverParam({ handOver = "dispatch" }: DeviceLimits): number {
  return HAND_OVER_CODE[handOver];
}

/** Why a device must not hand over as these parameters say; undefined if it may. */
export function refusesHandOver(
  { HAND_OVER: code }: Params,
  { handOver = "dispatch" }: DeviceLimits,
): string | undefined {
  // Whoever orders plain memory orders atomics too.
  const allowed: readonly number[] = {
    dispatch: [0],
    atomics: [0, 2],
    barrier: [0, 1, 2],
  }[handOver];
  if (!allowed.includes(code)) {
    return `its hand-over is ${handOverOf(code)}, this device's is ${handOver}`;
  }
}

/** The lists of a fused attention kernel: how many, and how many query heads and splits each has. */
export interface HandOverLists {
  readonly lists: number;
  readonly heads: number;
  readonly splits: number;
}

/** vec4f of a cache line: each list begins one, so that no two lists share one. */
const LINE_QUADS = 8;

/** Bytes of `hand_over` where each of so many lists leaves so many vec4f. */
export function handOverBytes(lists: number, ownQuads: number): number {
  const listQuads = Math.ceil(ownQuads / LINE_QUADS) * LINE_QUADS;
  // Up to 64 unused words end the counters' last line; an unused array takes a quad.
  return Math.ceil((4 * (lists + 64) + 16 * lists * listQuads + 32) / 16) * 16;
}

/** Spec of `hand_over`: a counter per list, then the partials as f32 words. */
export function handOverSpec(
  p: Problem,
  { lists, heads, splits }: HandOverLists,
): Record<string, BufferSpec> {
  return {
    hand_over: {
      bytes: handOverBytes(lists, heads * splits * (p.headDim / 4 + 1)),
      role: "scratch",
      zeros: { offset: 0, bytes: 4 * lists },
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
    SLICES: [1, 2, 4, 8, 16],
    ZEROED: { min: 0, max: 0xffffffff },
    ZEROS_BEGIN: { min: 0, max: 0xffffffff },
  },
});

/** A buffer with words that a step leaves at zero. */
export interface Zeroed {
  readonly buffer: string;
  readonly spec: BufferSpec;
}

/** What follows a fused kernel: a dispatch that joins the splits, unless the kernel did so itself. */
export function joinSplits(
  p: Problem,
  params: Params,
  heads: number,
  zeroed?: Zeroed,
): { readonly buffers: Record<string, BufferSpec>; readonly dispatches: readonly Dispatch[] } {
  if (params.HAND_OVER !== HAND_OVER_CODE.dispatch) return { buffers: {}, dispatches: [] };
  const own: Params = {
    HEADS: heads,
    SPLITS: params.SPLITS,
    SLICES: slicesFor(p, params.SPLITS),
    ZEROED: (zeroed?.spec.zeros?.bytes ?? 0) / 4,
    ZEROS_BEGIN: (zeroed?.spec.zeros?.offset ?? 0) / 4,
  };
  const counters = zeroed?.buffer ?? "unused";
  return {
    buffers: zeroed ? {} : { unused: { bytes: 16, role: "scratch" } },
    dispatches: [
      dispatch(joinSplitsKernel, p, own, [p.qHeads, p.batch, 1], { counters }),
    ],
  };
}

/** Lists of a KV head, where each has `heads` of its query heads. */
export function listsPerKvHead(p: Problem, heads: number): number {
  return Math.ceil(groupSize(p) / heads);
}
