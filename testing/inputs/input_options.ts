/** What every maker of inputs takes: the options, and the number of its random stream. */
import type { CodeKind, KvKind } from "../../fixtures/generate.ts";

/** Contents of input buffers by name. */
export type Inputs = Readonly<Record<string, ArrayBufferView<ArrayBuffer>>>;

/** Options of `makeInputs()`. */
export interface InputOptions {
  readonly seed: number;
  /** Tokens of each sequence. */
  readonly lengths: readonly number[];
  readonly kind?: KvKind;
  readonly codeKind?: CodeKind;
  /** Fills every row of K and V that no list has selected with NaN (attend only). */
  readonly poisonUnselected?: boolean;
}

/** Numbers of the random streams, different from those of `generateKv`. */
export const STREAM = {
  maps: 101,
  sinks: 102,
  partials: 103,
  prompts: 104,
  factors: 105,
  scores: 106,
  centroids: 107,
  index: 108,
  decays: 109,
  slots: 110,
  gates: 111,
  compress: 112,
} as const;
