/** The settings of samples. */
import type { RecordPass } from "../../../kernels/core/run/run.ts";

/** Whether the program has the machine's attention, which a hidden page has not. */
export interface Attention {
  /** Resolves as soon as work is worth timing. */
  ready(): Promise<void>;
  /** Begins to watch. The returned function says whether the attention lapsed since. */
  watch(): () => boolean;
}

/** When to stop, and how long a sample should be. */
export interface SampleSettings {
  /** Stop when half the 95% interval of every median is below this percentage of the median. */
  readonly noisePct: number;
  /** Time limit, the pilot included. The fewest samples of an interval may exceed it. */
  readonly maxTimeMs: number;
  /** Length of a sample, well above a pass's fixed cost (4 us). A coarse timer lengthens it. */
  readonly sampleUs: number;
  readonly minSamples: number;
  /** Untimed work submitted right before each batch of samples. */
  readonly warm: readonly RecordPass[];
  /** Fixed work, whose time shows the state of the clock; null on software adapters. */
  readonly clock: RecordPass | null;
  /** The shortest time of the fixed work in this run. Samples update it. */
  readonly bestClock: { us: number };
  /**
   * Sampling waits for the attention, and the waiting does not count as its time. Samples during
   * which it lapsed are dropped (default: it never lapses).
   */
  readonly attention?: Attention;
}
