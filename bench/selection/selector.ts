/** What the methods of selection have in common. */
import type { TraceContext } from "../../fixtures/trace.ts";
import type { LearnedMap } from "../../kernels/maps/learned_map.ts";

/** One query of one head. */
export interface QueryRow {
  readonly head: number;
  /** Place among the trace's positions. */
  readonly query: number;
  /** Keys that the query attends: its position and one. */
  readonly length: number;
  readonly q: Float32Array;
  /** Dot products with those keys, in f64. */
  readonly dots: Float64Array;
  /** The middle: tokens that belong neither to the sink nor to the recent window. */
  readonly sinkEnd: number;
  readonly recentStart: number;
}

/** A method made ready for one context. */
export interface Selector {
  /** What it reads to decide, in bits per cached token and KV head. */
  readonly bitsPerToken: number;
  /** The kernels that chose, where a device did. */
  readonly variant?: string;
  /** A number per token; the middle tokens of least cost are taken. Null takes none. */
  costs(row: QueryRow): ArrayLike<number> | null;
  /**
   * The sparse output, where something else than this suite's f64 made it.
   *
   * @param budget Place of the budget among those that are measured.
   */
  output?(row: QueryRow, budget: number): ArrayLike<number>;
}

/** Tokens that are attended whatever the method. */
export interface EdgeWindows {
  readonly sink: number;
  readonly recent: number;
}

/** What a method may need beside the context itself. */
export interface MethodInputs {
  readonly seed: number;
  readonly windows: EdgeWindows;
  /** Middle tokens to take, ascending. */
  readonly budgets: readonly number[];
  /** A context to calibrate on; null without `--fit-trace`. */
  readonly fit: TraceContext | null;
  /** The learned map and the device to run its pipeline on; null without `--map`. */
  readonly learned: { readonly device: GPUDevice; readonly map: LearnedMap } | null;
  /** Called with the share of the preparation that is done. */
  onProgress?(fraction: number): void;
}

/** One way to choose tokens. */
export interface Method {
  readonly name: string;
  readonly description: string;
  /** The flag without which the method cannot run. */
  readonly needs?: "fit-trace" | "map";
  prepare(context: TraceContext, inputs: MethodInputs): Selector | Promise<Selector>;
}
