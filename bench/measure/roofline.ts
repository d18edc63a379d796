/** The rooflines that every result is compared with, from what the probes of a case took. Pure. */
import type { Cost } from "../../kernels/core/variant.ts";

/** Time of reading so many bytes in one dependent dispatch, for growing sizes. */
export type Ladder = readonly { readonly bytes: number; readonly us: number }[];

/** How many operations of which kind a step does. */
export interface Operations {
  readonly popcounts?: number;
  readonly flops?: number;
}

/** What a probe does in a step, and how long that took. */
export interface ProbeTime {
  readonly name: string;
  readonly bytes: number;
  /** Popcounts of 32-bit words, or floating-point operations; none of probes of memory. */
  readonly operations: Operations;
  readonly us: number;
}

/** The device's roofline. */
export interface Roofline {
  readonly stream: Ladder;
  /** For rows of the case's size. */
  readonly gather: Ladder;
  readonly dispatchUs: number;
  /** f32 operations per microsecond, two to a fused multiply-add. */
  readonly flopsPerUs: number;
}

/** The probe of a dependent dispatch. */
export const CHAIN = "probe/chain";
/** The probe of f32 multiply-adds. */
export const FMA = "probe/fma";
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

/** The roofline that the probes of a case tell, smaller ones first. */
export function rooflineOf(probes: readonly ProbeTime[]): Roofline {
  const only = (wanted: string) => probes.find(({ name }) => name === wanted)!;
  const ladder = (kind: string) => probes.filter(({ name }) => name.startsWith(kind));
  const [chain, fma] = [only(CHAIN), only(FMA)];
  return {
    stream: ladder("probe/stream"),
    gather: ladder("probe/gather"),
    dispatchUs: chain.us,
    // At least half of the time is work, whatever noise does to the dispatch's share.
    flopsPerUs: fma.operations.flops! / Math.max(fma.us - chain.us, fma.us / 2),
  };
}

/** Time beyond a bare dispatch of moving `bytes`, by linear interpolation between the probes. */
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
 * The least time of a cost on this device: its bytes or its arithmetic at the probes' rates,
 * whichever takes longer, plus its dispatches.
 */
export function rooflineUs(
  roofline: Roofline,
  cost: Cost,
  dispatches: number,
): number {
  const bytesUs = moveUs(roofline.stream, roofline.dispatchUs, cost.streamBytes + cost.writeBytes) +
    moveUs(roofline.gather, roofline.dispatchUs, cost.gatherBytes);
  return Math.max(bytesUs, cost.flops / roofline.flopsPerUs) + dispatches * roofline.dispatchUs;
}
