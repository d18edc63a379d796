/** Interfaces of the methods that select tokens. */
import type { TraceContext } from "../../fixtures/trace.ts";
import type { TieRule, TopK } from "../../kernels/core/problem/problem.ts";
import type { LearnedMap } from "../../kernels/maps/learned_map.ts";

/** One query of one head. */
export interface QueryRow {
  readonly head: number;
  /** Index into the trace's positions. */
  readonly query: number;
  /** Number of keys that the query attends: its position plus one. */
  readonly length: number;
  readonly q: Float32Array;
  /** Dot products with those keys, in f64. */
  readonly dots: Float64Array;
  /** First token of the middle, which follows the sink. */
  readonly sinkEnd: number;
  /** First token of the recent window, which follows the middle. */
  readonly recentStart: number;
}

/** A method prepared for one context. */
export interface Selector {
  /** Bits per cached token and KV head that the method reads to select tokens. */
  readonly bitsPerToken: number;
  /** The variant that selected, if a device did. */
  readonly variant?: string;
  /** Which of the tokens of equal cost are selected first (default `lower`). */
  readonly ties?: TieRule;
  /** A cost per token. The cheapest middle tokens are selected; null selects none. */
  costs(row: QueryRow): ArrayLike<number> | null;
  /**
   * The sparse output, if it was not computed in f64 on the CPU.
   *
   * @param budget Index of the measured budget.
   */
  output?(row: QueryRow, budget: number): ArrayLike<number>;
}

/** First and last tokens, which every method attends. */
export interface EdgeWindows {
  readonly sink: number;
  readonly recent: number;
}

/** Inputs of a method besides the context. */
export interface MethodInputs {
  readonly seed: number;
  readonly windows: EdgeWindows;
  /** Numbers of middle tokens to select, ascending. */
  readonly budgets: readonly TopK[];
  /** A context for calibration; null without `--fit-trace`. */
  readonly fit: TraceContext | null;
  /** The learned map; null without `--map`. */
  readonly map: LearnedMap | null;
  /** The device; null if no method runs on it. */
  readonly device: GPUDevice | null;
  /** Called with the share of the preparation that is done. */
  onProgress?(fraction: number): void;
}

/** A method that selects tokens. */
export interface Method {
  readonly name: string;
  /** A shorter name by which a user may ask for the method. */
  readonly alias?: string;
  readonly description: string;
  /** The flag that the method needs. */
  readonly needs?: "fit-trace" | "map";
  /** Whether the method runs on a device. */
  readonly onDevice?: true;
  prepare(context: TraceContext, inputs: MethodInputs): Selector | Promise<Selector>;
}
