/** The roofline of a step, computed from the times of a case's probes. */
import type { Cost } from "../../kernels/core/variant.ts";

/** Times to read `bytes` in one dependent dispatch, in ascending order of size. */
export type Ladder = readonly { readonly bytes: number; readonly us: number }[];

/** The operations of a step, by kind. */
export interface Operations {
  readonly popcounts?: number;
  readonly flops?: number;
}

/** The work of one step of a probe, and its time. */
export interface ProbeTime {
  readonly name: string;
  readonly bytes: number;
  /** Popcounts of 32-bit words or floating-point operations; empty for probes of memory. */
  readonly operations: Operations;
  readonly us: number;
}

/** The device's roofline. */
export interface Roofline {
  readonly stream: Ladder;
  /** Gathers of rows as long as those of the case. */
  readonly gather: Ladder;
  readonly dispatchUs: number;
  /** f32 operations per microsecond. A fused multiply-add counts as two. */
  readonly flopsPerUs: number;
  /** Popcounts of 32-bit words per microsecond. */
  readonly popcountsPerUs: number;
  /** Operations of matrix units per microsecond; absent if no probe of them ran. */
  readonly matrixFlopsPerUs?: number;
}

/** The probe of a dependent dispatch. */
export const CHAIN = "probe/chain";
/** The probe of f32 multiply-adds. */
export const FMA = "probe/fma";
/** The probe of matrix units. */
export const MATRIX = "probe/matrix";
/** The probe of popcounts. */
export const POPCOUNT = "probe/popcount";

/** The probe of streaming `bytes`. */
export function streamName(bytes: number): string {
  return `probe/stream ${bytes >> 10} KiB`;
}

/** The probe of gathering `bytes` in rows of `rowBytes`. */
export function gatherName(bytes: number, rowBytes: number): string {
  return `probe/gather ${bytes >> 10} KiB of ${rowBytes} B`;
}

/** The roofline from the probes of a case. Their sizes must ascend. */
export function rooflineOf(probes: readonly ProbeTime[]): Roofline {
  const only = (wanted: string) => probes.find(({ name }) => name === wanted)!;
  const ladder = (kind: string) => probes.filter(({ name }) => name.startsWith(kind));
  const chain = only(CHAIN);
  // Noise must not make the dispatch's share more than half of the time.
  const rate = ({ operations: { flops, popcounts }, us }: ProbeTime) =>
    (flops ?? popcounts!) / Math.max(us - chain.us, us / 2);
  const matrix = probes.find(({ name }) => name === MATRIX);
  return {
    stream: ladder("probe/stream"),
    gather: ladder("probe/gather"),
    dispatchUs: chain.us,
    flopsPerUs: rate(only(FMA)),
    popcountsPerUs: rate(only(POPCOUNT)),
    ...(matrix ? { matrixFlopsPerUs: rate(matrix) } : {}),
  };
}

/** Time to move `bytes`, without the dispatch, by linear interpolation between the probes. */
export function moveUs(ladder: Ladder, dispatchUs: number, bytes: number): number {
  if (bytes <= 0) return 0;
  const points = [{ bytes: 0, us: dispatchUs }, ...ladder];
  let right = points.findIndex((point) => point.bytes >= bytes);
  if (right < 1) right = points.length - 1;
  const [a, b] = [points[right - 1], points[right]];
  const us = a.us + (b.us - a.us) * (bytes - a.bytes) / (b.bytes - a.bytes);
  return Math.max(0, us - dispatchUs);
}

/**
 * The least time in which this device can do a step: its bytes, its floating-point operations or its
 * popcounts at the probes' rates, whichever take longest, plus its dispatches.
 */
export function rooflineUs(
  roofline: Roofline,
  cost: Cost,
  dispatches: number,
): number {
  const bytesUs = moveUs(roofline.stream, roofline.dispatchUs, cost.streamBytes + cost.writeBytes) +
    moveUs(roofline.gather, roofline.dispatchUs, cost.gatherBytes);
  const flopsPerUs = cost.onMatrices ? roofline.matrixFlopsPerUs : roofline.flopsPerUs;
  if (flopsPerUs === undefined) throw new RangeError(`${MATRIX} did not run`);
  const arithmeticUs = Math.max(
    cost.flops / flopsPerUs,
    (cost.popcounts ?? 0) / roofline.popcountsPerUs,
  );
  return Math.max(bytesUs, arithmeticUs) + dispatches * roofline.dispatchUs;
}
