/** Probes that measure the roofline of a device, and the fill of their inputs. */
import type { Dispatch, Kernel } from "../core/variant.ts";
import { defineKernel } from "../core/define.ts";
import chainSource from "./chain.wgsl" with { type: "text" };
import fillSource from "./fill.wgsl" with { type: "text" };
import fmaSource from "./fma.wgsl" with { type: "text" };
import { MATRIX_FEATURES } from "../core/subgroup_matrices.ts";
import gatherSource from "./gather.wgsl" with { type: "text" };
import matrixSource from "./matrix.wgsl" with { type: "text" };
import popcountSource from "./popcount.wgsl" with { type: "text" };
import streamSource from "./stream.wgsl" with { type: "text" };

const WORKGROUP = [64, 128, 256, 512] as const;

/** `stream.wgsl`. */
export const streamKernel: Kernel = defineKernel({
  name: "probe/stream",
  source: streamSource,
  params: { WORKGROUP, LOADS: [1, 2, 4, 8, 16] },
});

/** Whole subgroups that are whole rows for every head dim and dtype. */
const GATHER_WORKGROUPS: readonly number[] = [256, 224, 192, 160];

/** `gather.wgsl`. */
export const gatherProbeKernel: Kernel = defineKernel({
  name: "probe/gather",
  source: gatherSource,
  params: {
    WORKGROUP: GATHER_WORKGROUPS,
    LANES: [8, 10, 12, 14, 16, 20, 24, 28, 32, 48, 64],
    TOKENS: [1, 2, 4, 8, 16],
    ROWS: { min: 1, max: 0xffffffff },
  },
});

/** `chain.wgsl`. */
export const chainKernel: Kernel = defineKernel({
  name: "probe/chain",
  source: chainSource,
  params: {},
});

/** `popcount.wgsl`. */
export const popcountKernel: Kernel = defineKernel({
  name: "probe/popcount",
  source: popcountSource,
  params: { WORKGROUP, ROUNDS: { min: 1, max: 65536 }, UNROLLED: [1, 4, 16] },
});

/** `fma.wgsl`. */
export const fmaKernel: Kernel = defineKernel({
  name: "probe/fma",
  source: fmaSource,
  params: { WORKGROUP, ROUNDS: { min: 1, max: 4096 }, UNROLLED: [1, 4, 16], CHAINS: [1, 2, 4, 8] },
});

/** Multiply-adds in `workgroups` workgroups, with enough chains to hide the latency of any GPU. */
export function fmaDispatch(workgroups: number): Dispatch {
  const params = { WORKGROUP: 256, ROUNDS: 16, UNROLLED: 16, CHAINS: 4 };
  return { kernel: fmaKernel, params, workgroups: [workgroups, 1, 1] };
}

/** Floating-point operations of a dispatch of {@linkcode fmaDispatch}: two per multiply-add. */
export function fmaFlops({ params, workgroups: [workgroups] }: Dispatch): number {
  const { WORKGROUP: threads, ROUNDS: rounds, UNROLLED: unrolled, CHAINS: chains } = params;
  return 2 * 4 * workgroups * threads * rounds * unrolled * chains;
}

/** `matrix.wgsl`. */
export const matrixKernel: Kernel = defineKernel({
  name: "probe/matrix",
  source: matrixSource,
  params: {
    WORKGROUP: [64, 128, 256],
    ROUNDS: { min: 1, max: 4096 },
    UNROLLED: [1, 4, 8],
    CHAINS: [1, 4, 8],
  },
  features: MATRIX_FEATURES,
});

/** Products of matrices in `workgroups` workgroups, with enough chains to hide their latency. */
export function matrixDispatch(workgroups: number): Dispatch {
  const params = { WORKGROUP: 128, ROUNDS: 64, UNROLLED: 8, CHAINS: 8 };
  return { kernel: matrixKernel, params, workgroups: [workgroups, 1, 1] };
}

/** Floating-point operations of a dispatch of {@linkcode matrixDispatch}. */
export function matrixFlops({ params, workgroups: [workgroups] }: Dispatch): number {
  const { WORKGROUP: threads, ROUNDS: rounds, UNROLLED: unrolled, CHAINS: chains } = params;
  return 2 * 16 ** 3 * workgroups * threads / 32 * rounds * unrolled * chains;
}

/** The kinds of data that {@linkcode fillDispatch} writes. */
export const FILL_KIND = {
  bits: 0,
  f32: 1,
  f16: 2,
  bf16: 3,
  positive: 4,
  smallF32: 5,
  smallF16: 6,
} as const;

/** `fill.wgsl`. */
export const fillKernel: Kernel = defineKernel({
  name: "probe/fill",
  source: fillSource,
  params: { WORKGROUP, KIND: Object.values(FILL_KIND) },
});

/** The kernels of this folder. */
export const PROBE_KERNELS: readonly Kernel[] = [
  streamKernel,
  gatherProbeKernel,
  chainKernel,
  popcountKernel,
  fmaKernel,
  matrixKernel,
  fillKernel,
];

/** Reads about `bytes`, rounded up to whole workgroups; see {@linkcode streamBytes}. */
export function streamDispatch(bytes: number): Dispatch {
  const params = { WORKGROUP: 256, LOADS: bytes < 16 << 20 ? 4 : 8 };
  const perWorkgroup = 16 * params.WORKGROUP * params.LOADS;
  return { kernel: streamKernel, params, workgroups: [Math.ceil(bytes / perWorkgroup), 1, 1] };
}

/** Bytes that a dispatch of {@linkcode streamDispatch} reads. */
export function streamBytes(dispatch: Dispatch): number {
  return dispatch.workgroups[0] * 16 * dispatch.params.WORKGROUP * dispatch.params.LOADS;
}

/** Reads about `bytes` as rows of `rowBytes` from a table of `tableRows` rows. */
export function gatherProbeDispatch(
  bytes: number,
  rowBytes: number,
  tableRows: number,
): Dispatch {
  const lanes = rowBytes / 16;
  const workgroup = GATHER_WORKGROUPS.find((threads) => threads % lanes === 0)!;
  const params = { WORKGROUP: workgroup, LANES: lanes, TOKENS: 4, ROWS: tableRows };
  const perWorkgroup = 16 * workgroup * params.TOKENS;
  return { kernel: gatherProbeKernel, params, workgroups: [Math.ceil(bytes / perWorkgroup), 1, 1] };
}

/** Bytes that a dispatch of {@linkcode gatherProbeDispatch} reads. */
export function gatherProbeBytes(dispatch: Dispatch): number {
  return dispatch.workgroups[0] * 16 * dispatch.params.WORKGROUP * dispatch.params.TOKENS;
}

/** Fills `words` u32 of a buffer; the `range` buffer holds [words, seed]. */
export function fillDispatch(words: number, kind: number): Dispatch {
  const workgroups = Math.ceil(words / 256);
  const rows = Math.ceil(workgroups / 32768);
  return {
    kernel: fillKernel,
    params: { WORKGROUP: 256, KIND: kind },
    workgroups: [Math.ceil(workgroups / rows), rows, 1],
  };
}
