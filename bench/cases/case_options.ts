/** The options of a run that choose its problems and kernels. */
import type { Variant } from "../../kernels/core/variant.ts";
import type {
  Bins,
  CodeSharing,
  KvDtype,
  KvLayout,
  MapShape,
  Shape,
  TieRule,
  TopK,
} from "../../kernels/core/problem/problem.ts";
import type { CaseSet } from "./case_sets.ts";

/** The scores that rank tokens: the paper's, one with magnitude planes, one of rotated codes. */
export const SCORES = ["hamming", "weighted", "rotated"] as const;

/** How the code of a query and the code of a key give the score of a token. */
export type Score = (typeof SCORES)[number];

/** Requests over one prefix, each with own tokens behind it. */
export interface SharedRequests {
  /** Tokens of the prefix. */
  readonly prefix: number;
  /** Numbers of requests. Each of them has its own cases. */
  readonly requests: readonly number[];
  /** Own tokens of each request. */
  readonly tail: number;
}

/** The problems and kernels of a run. */
export interface CaseOptions {
  /** A named set of cases, which has its own shapes and settings. */
  readonly set: CaseSet | null;
  /** Model names; empty if only a shape or a trace is timed. */
  readonly models: readonly string[];
  readonly shape: Shape | null;
  /** KV lengths in tokens; null for the default lengths of each shape. */
  readonly kvLens: readonly number[] | null;
  /** Numbers of sequences. Each of them has its own cases. */
  readonly batches: readonly number[];
  /** Tokens of each sequence of one batch, instead of `kvLens` and `batches`. */
  readonly lengths: readonly number[] | null;
  /** Requests that share a prefix, instead of `kvLens`, `batches` and `lengths`. */
  readonly shared: SharedRequests | null;
  /** Whether to run cases that make little sense. */
  readonly force: boolean;
  readonly dtype: KvDtype;
  /** The order of K and V; of a paged cache the order within a page. */
  readonly layout: KvLayout;
  /** Tokens of a page; null without pages. */
  readonly pageTokens: number | null;
  readonly bits: number;
  readonly sharing: CodeSharing;
  /** `ROTATION` for rotated codes. */
  readonly map: MapShape;
  /** Magnitude planes of a query code. */
  readonly planes: number;
  /** Bins of rotated codes' scores; unused with another map. */
  readonly bins: Bins;
  /** Whether rotated codes are of keys less their mean. */
  readonly centre: boolean;
  readonly topK: TopK;
  readonly ties: TieRule;
  readonly sink: number;
  readonly recent: number;
  readonly variants: readonly Variant[];
  /** Path of a trace to time. */
  readonly trace: string | null;
  /** Path of the trace's learned map; null for a random projection. */
  readonly traceMap: string | null;
}

/** Names of the fields of a shape in messages to users. */
export const SHAPE_WORDS = { qHeads: "query heads", kvHeads: "KV heads", headDim: "head dim" };
