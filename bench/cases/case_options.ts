/** What a run asks for: the part of its options that says which problems and kernels. */
import type { Variant } from "../../kernels/core/variant.ts";
import type { CodeSharing, KvDtype, MapShape, Shape, TopK } from "../../kernels/core/problem.ts";
import type { CaseSet } from "./case_sets.ts";

/** Which problems and kernels a run takes. */
export interface CaseOptions {
  /** A named set of cases, which brings shapes and settings of its own. */
  readonly set: CaseSet | null;
  /** Model names; empty where a shape or a trace alone is timed. */
  readonly models: readonly string[];
  readonly shape: Shape | null;
  /** KV lengths in tokens; null for those that suit each shape. */
  readonly kvLens: readonly number[] | null;
  /** Numbers of sequences: cases for each. */
  readonly batches: readonly number[];
  /** Tokens of each sequence of one batch, in place of `kvLens` and `batches`. */
  readonly lengths: readonly number[] | null;
  /** Cases that make little sense are run all the same. */
  readonly force: boolean;
  readonly dtype: KvDtype;
  readonly bits: number;
  readonly sharing: CodeSharing;
  readonly map: MapShape;
  readonly topK: TopK;
  readonly sink: number;
  readonly recent: number;
  readonly variants: readonly Variant[];
  /** Path of a trace to time. */
  readonly trace: string | null;
  /** Path of the trace's learned map; null for a random projection. */
  readonly traceMap: string | null;
}

/** What messages to users call the fields of a shape. */
export const SHAPE_WORDS = { qHeads: "query heads", kvHeads: "KV heads", headDim: "head dim" };
