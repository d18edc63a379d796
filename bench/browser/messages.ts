/** The messages between the page and the worker that measures. */
import type { Tuning } from "../../kernels/core/tuning.ts";
import type { ResultRow, SampleRecord } from "../results/row.ts";
import type { DocumentedSession } from "../runner/run_document.ts";
import type { FrontierRow } from "../results/frontier_rows.ts";
import type { Preset } from "./presets.ts";
import type { DeviceSummary } from "./adapter.ts";
import type { LookRequest, LookResult, LookTrace } from "./selection/look.ts";

/** What the build knows: `build.json` beside the page. */
export interface PageBuild {
  readonly suiteVersion: string;
  readonly commit: string;
  /** The attention heads that ship, in the order of their files in `data/`. */
  readonly heads: readonly ShippedFiles[];
  /** Name of the first one's trace. */
  readonly trace: string;
  /** Digest of its file and of its map, as results record it. */
  readonly dataDigest: string;
  /** The tuned parameters that ship with the suite. */
  readonly tuning: Tuning;
  /** Names of the results that ship with the suite, as files in `results/`. */
  readonly results: readonly string[];
}

/** A head's files in `data/`. */
export interface ShippedFiles {
  /** Name of the trace. */
  readonly name: string;
  readonly trace: string;
  readonly map: string;
  readonly hataMap: string;
  /** Digest of all of them, as `frontier` records it. */
  readonly dataDigest: string;
}

/** What to run. */
export interface RunRequest {
  readonly kind: Preset["kind"];
  /** Flags as `deno task bench` takes them. */
  readonly args: readonly string[];
  /** Memory that the buffers of a case may take together, in bytes. */
  readonly memoryBytes: number;
}

/** A trace of the user. */
export interface TraceFile {
  readonly name: string;
  readonly bytes: ArrayBuffer;
}

/** What the page sends. */
export type Request =
  | { readonly type: "describe" }
  | { readonly type: "run"; readonly run: RunRequest }
  /** The page was hidden or shown again. */
  | { readonly type: "attention"; readonly visible: boolean }
  /** Opens a trace to look into: that of a shipped head, by its number, or the user's. */
  | { readonly type: "trace"; readonly source: number | TraceFile }
  | { readonly type: "look"; readonly look: LookRequest };

/** Notes of a run that has ended. */
export interface RunNotes {
  /** Kernels that were left out, each with the reason. */
  readonly leftOut: readonly string[];
  /** Cases that this device cannot hold or cannot time, each with the reason. */
  readonly tooLarge: readonly string[];
  readonly tuned: readonly string[];
  readonly qualities: readonly string[];
}

/** What the worker sends. */
export type Reply =
  | { readonly type: "device"; readonly device: DeviceSummary }
  | {
    readonly type: "session";
    readonly session: DocumentedSession;
    readonly notes: readonly string[];
  }
  | { readonly type: "progress"; readonly message: string; readonly fraction: number }
  | {
    readonly type: "rows";
    readonly rows: readonly ResultRow[];
    readonly samples: readonly SampleRecord[];
  }
  | { readonly type: "frontier"; readonly rows: readonly FrontierRow[] }
  | { readonly type: "done"; readonly notes: RunNotes; readonly failure: string | null }
  /** The request cannot be done; nothing was measured. */
  | { readonly type: "refused"; readonly message: string }
  | { readonly type: "trace"; readonly trace: LookTrace }
  | { readonly type: "look"; readonly result: LookResult };
