/** What a tuner and the child process that measures for it tell each other: JSON, a line each. */
import type { Params } from "../../kernels/core/variant.ts";
import type { Problem } from "../../kernels/core/problem.ts";
import type { TimerChoice } from "../measure/clock/timer.ts";
import type { AdapterRequest } from "../measure/device/adapter.ts";

/** The rounds: few samples of every candidate, then the finalists in full. */
export const PHASES = ["explore", "final"] as const;

/** How much of a measurement stands behind a median. */
export type Phase = (typeof PHASES)[number];

/** What is tried, told before the first candidate. */
export interface Opened {
  /** The kernel's own parameters on this device. */
  readonly defaults: Params;
}

/** What became of one candidate. */
export interface Measured {
  readonly phase: Phase;
  readonly params: Params;
  /** Median microseconds of a step; null where it failed. */
  readonly us: number | null;
  /** 95% interval of the median; null where it failed. */
  readonly low: number | null;
  readonly high: number | null;
  readonly samples: number;
  /** Why it failed; null where it is right. */
  readonly failure: string | null;
}

/** A candidate of which nothing is known: what failed was not the candidate. */
export interface Unmeasured {
  readonly params: Params;
  /** Why nothing was measured; never empty. */
  readonly why: string;
}

/** What the child is to do: one kernel and one problem. */
export interface TuneJob {
  readonly kernel: string;
  readonly problem: Problem;
  readonly seed: number;
  /** Milliseconds that it should take, the opening of the device among them. */
  readonly budgetMs: number;
  /** Most candidates of a timing call; 1 where a hang must be told to one of them. */
  readonly batch: number;
  /** Bytes of a GPU set aside for inputs. */
  readonly memoryBytes: number;
  /** Which clock times the candidates. */
  readonly timer: TimerChoice;
  /** Half the 95% interval of a finalist's median, in percent of it, that is good enough. */
  readonly noisePct: number;
  /** The kind of request that gets the adapter; undefined for the usual one. */
  readonly request: AdapterRequest | undefined;
  /** What is known already: not measured again but for its finals. */
  readonly known: readonly Measured[];
  /** Candidates that are left out, since they could not be measured. */
  readonly leftOut: readonly Params[];
}

/** What the child says. Any of them is a sign of life. */
export type TuneMessage =
  /** The device is open: what goes wrong from now on may be the kernel's own. */
  | { readonly type: "ready" }
  | ({ readonly type: "opened" } & Opened)
  /** What runs next: if nothing is heard after it, these are to blame. */
  | { readonly type: "trying"; readonly candidates: readonly Params[] }
  | { readonly type: "beat" }
  /** What the user should know, in one sentence. */
  | { readonly type: "note"; readonly note: string }
  | ({ readonly type: "measured" } & Measured)
  | ({ readonly type: "unmeasured" } & Unmeasured)
  /** The kernel cannot run here at all. */
  | { readonly type: "refused"; readonly why: string }
  | { readonly type: "done" };

/** A candidate that failed, as the log has it. */
export function failed(params: Params, failure: string): Measured {
  return { phase: "explore", params, us: null, low: null, high: null, samples: 0, failure };
}
