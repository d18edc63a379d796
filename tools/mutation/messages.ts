/** What the worker reads on stdin and says on stdout, a JSON document a line. */
import type { RandomMutant } from "./draw.ts";

/** What the worker is asked: the kernel's next mutants. */
export interface Job {
  readonly kernel: string;
  readonly seed: number;
  /** How many mutants that compile. */
  readonly count: number;
  /** Place in the drawn order at which to begin. */
  readonly from: number;
}

/** How a mutant fared. */
export interface Verdict {
  readonly mutant: RandomMutant;
  /** What ended it; null for a survivor. */
  readonly killedBy: KilledBy | null;
  /** The test that failed; empty for a survivor. */
  readonly test: string;
}

/** Why a test failed: a wrong result, no end, or an error of another kind. */
export type KilledBy = "result" | "time" | "error";

/** What the worker says. */
export type Message =
  /** Nothing but that it is alive. */
  | { readonly type: "beat" }
  | { readonly type: "try"; readonly at: number; readonly mutant: RandomMutant }
  | { readonly type: "verdict"; readonly at: number; readonly verdict: Verdict }
  /** It does not compile: the next one takes its place. */
  | { readonly type: "redraw"; readonly at: number }
  /** A reason why nothing can be said. */
  | { readonly type: "fault"; readonly message: string }
  /** All mutants were tried, or no sites are left. */
  | { readonly type: "end" };
