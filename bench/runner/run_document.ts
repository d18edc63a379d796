/** The JSON document of a session's rows. */
import type { Session } from "../measure/session.ts";
import type { ResultRow, SampleRecord } from "../results/row.ts";
import { runJson } from "../results/run_json.ts";

/** The parts of a session that its document records. */
export interface DocumentedSession extends Pick<Session, "facts" | "inputBytes"> {
  readonly timer: Pick<Session["timer"], "kind">;
  readonly settings: Pick<
    Session["settings"],
    "suiteVersion" | "commit" | "hot" | "layers" | "seed" | "noisePct" | "maxTimeMs"
  >;
}

/** The document of rows that were measured now, with their samples. */
export function runDocument(
  { facts, settings, timer, inputBytes }: DocumentedSession,
  rows: readonly ResultRow[],
  samples: readonly SampleRecord[],
): string {
  return runJson(
    {
      written: new Date().toISOString(),
      suite: { version: settings.suiteVersion, commit: settings.commit },
      device: { ...facts, timer: timer.kind },
      settings: {
        hot: settings.hot || facts.software,
        layers: settings.layers,
        seed: settings.seed,
        noise_pct: settings.noisePct,
        max_time_s: settings.maxTimeMs / 1000,
        memory_bytes: inputBytes,
      },
    },
    rows,
    samples,
  );
}
