/** Finds the KV length from which on the sparse step is faster than dense attention. */

/** The speedup of the sparse step at one measured KV length. */
export interface LengthSpeedup {
  readonly kvLen: number;
  /** Time of dense attention over the time of the sparse step. */
  readonly speedup: number;
}

/** The result at the measured lengths. Nothing is inferred about other lengths. */
export type Crossing =
  /** Sparse is faster at every measured length; `fromKvLen` is the shortest of them. */
  | { readonly kind: "always"; readonly fromKvLen: number }
  /** Sparse is faster at no measured length; `toKvLen` is the longest of them. */
  | { readonly kind: "never"; readonly toKvLen: number }
  /**
   * Sparse is faster at `fromKvLen` and at every longer measured length, but not at `belowKvLen`,
   * the next shorter measured length.
   */
  | { readonly kind: "crossed"; readonly belowKvLen: number; readonly fromKvLen: number }
  /** Sparse is faster at some lengths, but not at the longest, `toKvLen`. */
  | { readonly kind: "mixed"; readonly toKvLen: number };

/**
 * The crossing of cases that differ only in KV length, in any order; null without any. If a length
 * has several points, the slowest counts, so that a win holds in all of them.
 */
export function crossingOf(points: readonly LengthSpeedup[]): Crossing | null {
  if (points.length === 0) return null;
  const slowest = new Map<number, number>();
  for (const { kvLen, speedup } of points) {
    slowest.set(kvLen, Math.min(speedup, slowest.get(kvLen) ?? Infinity));
  }
  const lengths = [...slowest].sort(([a], [b]) => a - b);
  const lastLoss = lengths.findLastIndex(([, speedup]) => !(speedup > 1));
  const [toKvLen] = lengths[lengths.length - 1];
  if (lastLoss < 0) return { kind: "always", fromKvLen: lengths[0][0] };
  if (lastLoss < lengths.length - 1) {
    return {
      kind: "crossed",
      belowKvLen: lengths[lastLoss][0],
      fromKvLen: lengths[lastLoss + 1][0],
    };
  }
  const anyWin = lengths.some(([, speedup]) => speedup > 1);
  return anyWin ? { kind: "mixed", toKvLen } : { kind: "never", toKvLen };
}
