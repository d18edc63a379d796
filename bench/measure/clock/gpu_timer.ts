/** What times passes, whichever clock it goes by. */
import type { RecordPass } from "../../../kernels/core/run/run.ts";

/** Times compute passes on one device. */
export interface GpuTimer {
  readonly kind: "timestamp" | "wall";
  /** Nanoseconds of a tick; null for wall time. */
  readonly nsPerTick: number | null;
  /** Nanoseconds between neighbouring values of a timestamp; null for wall time. */
  readonly grainNs: number | null;
  /** The smallest meaningful difference of two times, in microseconds. */
  readonly resolutionUs: number;
  /** One sentence for the user if this timer is unusual, else null. */
  readonly note: string | null;
  /** The wall clock, by which time limits are kept. */
  nowMs(): number;
  /**
   * Runs `before` untimed, then times each of `passes`.
   *
   * @returns microseconds of each pass, above 0 and finite; null if the clock gave no such time.
   */
  time(passes: readonly RecordPass[], before?: readonly RecordPass[]): Promise<(number | null)[]>;
}
