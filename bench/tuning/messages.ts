/** The messages between a tuner and its measuring child process: one JSON value per line. */
import type { Params } from "../../kernels/core/problem/constants.ts";
import type { Problem } from "../../kernels/core/problem/problem.ts";
import type { TimerChoice } from "../measure/clock/timer.ts";
import type { AdapterRequest } from "../measure/device/adapter.ts";
import type { GpuChoice } from "../measure/device/gpu_choice.ts";

/** The phases: few samples of every candidate, then the finalists in full. */
export const PHASES = ["explore", "final"] as const;

/** The phase of a measurement. */
export type Phase = (typeof PHASES)[number];

/** The start of a kernel's tuning, before the first candidate. */
export interface Opened {
  /** The kernel's default parameters on this device. */
  readonly defaults: Params;
}

/** The measurement of one candidate. */
export interface Measured {
  readonly phase: Phase;
  readonly params: Params;
  /** Median microseconds per step; null if the candidate failed. */
  readonly us: number | null;
  /** The lower limit of the median's 95% interval; null if the candidate failed. */
  readonly low: number | null;
  /** The upper limit; null if the candidate failed. */
  readonly high: number | null;
  readonly samples: number;
  /** The reason if the candidate failed; null if it is right. */
  readonly failure: string | null;
}

/** A candidate that could not be measured through no fault of its own. */
export interface Unmeasured {
  readonly params: Params;
  /** The reason; never empty. */
  readonly why: string;
}

/** The job of the child: one kernel and one problem. */
export interface TuneJob {
  readonly kernel: string;
  readonly problem: Problem;
  readonly seed: number;
  /** Milliseconds for the job, including the opening of the device. */
  readonly budgetMs: number;
  /** Most candidates of one timing call; 1 to find which one of several hangs. */
  readonly batch: number;
  /** GPU memory for inputs, in bytes. */
  readonly memoryBytes: number;
  /** The clock that times the candidates. */
  readonly timer: TimerChoice;
  /** Sampling stops when half of a finalist's 95% interval is at most this percentage. */
  readonly noisePct: number;
  /** The request that selects the adapter; undefined for the default one. */
  readonly request: AdapterRequest | undefined;
  /** The implementation of WebGPU; undefined for Deno's own. */
  readonly gpu: GpuChoice | undefined;
  /** Measurements of the log, which are not repeated except in the final phase. */
  readonly known: readonly Measured[];
  /** Candidates to leave out, since they could not be measured. */
  readonly leftOut: readonly Params[];
}

/** A message of the child. Every message is a sign of life. */
export type TuneMessage =
  /** The device is open: a failure from now on may be the kernel's fault. */
  | { readonly type: "ready" }
  | ({ readonly type: "opened" } & Opened)
  /** These candidates run next: if no message follows, they have hung. */
  | { readonly type: "trying"; readonly candidates: readonly Params[] }
  | { readonly type: "beat" }
  /** A sentence for the user. */
  | { readonly type: "note"; readonly note: string }
  | ({ readonly type: "measured" } & Measured)
  | ({ readonly type: "unmeasured" } & Unmeasured)
  /** The kernel cannot run here at all. */
  | { readonly type: "refused"; readonly why: string }
  | { readonly type: "done" };

/** The measurement of a candidate that failed. */
export function failed(params: Params, failure: string): Measured {
  return { phase: "explore", params, us: null, low: null, high: null, samples: 0, failure };
}
