/** What came of a kernel's tuning: the default against the best. Pure. */
import type { Params, Variant } from "../../kernels/core/variant.ts";
import { tunableParams, type TunedEntry, tunedProblem } from "../../kernels/core/tuning.ts";
import type { BenchCase } from "../cases/cases.ts";
import type { Interval } from "../measure/clock/statistics.ts";
import {
  fitColumns,
  leftOutNote,
  micros,
  rule,
  type TextColumn,
  wrapText,
} from "../tables/text_table.ts";
import { candidateKey } from "./candidates.ts";
import type { LogSubject } from "./log.ts";
import type { Measured, Unmeasured } from "./messages.ts";

/** A candidate that was measured in full. */
export interface Finalist extends Interval {
  readonly params: Params;
  /** Median microseconds of a step. */
  readonly us: number;
}

/** What is known of a kernel and a case when its turn is over. */
export interface Outcome {
  readonly benchCase: BenchCase;
  readonly variant: Variant;
  readonly subject: LogSubject;
  /** The latest measurement of every candidate. */
  readonly latest: readonly Measured[];
  /** Candidates of which nothing is known, through no fault of their own. */
  readonly unmeasured: readonly Unmeasured[];
  readonly defaults: Params | null;
  /** Why nothing was measured, in a sentence; null if something was. */
  readonly refused: string | null;
  /** Why its turn ended before it was over, through no fault of the kernel; null if it did not. */
  readonly gaveUp: string | null;
}

/** What is to be said of a kernel when its turn is over. */
export type Standing = "tuned" | "refused" | "failed" | "unfinished";

/** Only what was checked and found wrong has failed. */
export function standingOf(outcome: Outcome): Standing {
  if (outcome.refused !== null) return "refused";
  if (entryOf(outcome) !== null) return outcome.gaveUp === null ? "tuned" : "unfinished";
  const { latest, unmeasured, gaveUp } = outcome;
  const wrong = latest.length > 0 && latest.every(({ us }) => us === null);
  return wrong && unmeasured.length === 0 && gaveUp === null ? "failed" : "unfinished";
}

/** Why a kernel's turn left something open, in a few words. */
export function openReason({ gaveUp, unmeasured }: Outcome): string {
  return gaveUp ?? unmeasured.at(-1)?.why ??
    "its time was over before anything was measured in full";
}

/** The latest measurement of each candidate, in the order in which they were first tried. */
export function latestOf(measured: readonly Measured[]): Measured[] {
  return [...new Map(measured.map((each) => [candidateKey(each.params), each])).values()];
}

/** The finalist that ran with the defaults, and the one to use; each null where there is none. */
export function winnerOf(
  { latest, defaults }: Pick<Outcome, "latest" | "defaults">,
): { readonly usual: Finalist | null; readonly best: Finalist | null } {
  const finals = latest.flatMap(({ phase, params, us, low, high }) =>
    phase === "final" && us !== null && low !== null && high !== null
      ? [{ params, us, low, high }]
      : []
  ).sort((a, b) => a.us - b.us);
  const key = defaults === null ? "" : candidateKey(defaults);
  const usual = finals.find(({ params }) => candidateKey(params) === key) ?? null;
  if (usual === null) {
    // What cannot be compared with defaults that are right proves nothing.
    const wrong = defaults === null ||
      latest.some(({ params, us }) => us === null && candidateKey(params) === key);
    return { usual, best: wrong ? finals[0] ?? null : null };
  }
  // A difference that noise could make is none.
  return { usual, best: finals.find(({ high }) => high < usual.low) ?? usual };
}

/** The tuning file's entry; null where nothing was measured in full. */
export function entryOf(outcome: Outcome): TunedEntry | null {
  const { usual, best } = winnerOf(outcome);
  if (best === null) return null;
  const { adapter, driver, backend, kernel, checksum } = outcome.subject;
  return {
    adapter,
    driver,
    backend,
    kernel,
    checksum,
    problem: tunedProblem(outcome.benchCase.problem),
    params: tunableParams(best.params),
    us: best.us,
    defaultUs: usual?.us ?? null,
  };
}

const COLUMNS: readonly TextColumn[] = [
  { heading: "kernel", words: true },
  { heading: "tried", importance: 2 },
  { heading: "failed", importance: 3 },
  { heading: "default us" },
  { heading: "95% interval", importance: 0 },
  { heading: "best us" },
  { heading: "95% interval", importance: 1 },
  { heading: "x" },
];

/**
 * The table that ends a run: a block for each case, what the best changes beneath each kernel.
 *
 * @param width Most characters of a line; the least important columns that do not fit are left out.
 */
export function formatOutcomes(outcomes: readonly Outcome[], width = Infinity): string {
  const cases = Map.groupBy(outcomes, ({ benchCase }) => benchCase.name);
  return Array.from(cases, ([name, all]) => {
    const shown = all.filter(({ refused }) => refused === null);
    const { lines, leftOut } = fitColumns(COLUMNS, shown.map(cells), width);
    const notes = leftOutNote(leftOut, "the log has all measurements");
    return [
      ...wrapText(name, width),
      "",
      lines[0],
      rule(lines),
      ...shown.flatMap((outcome, i) => {
        const changes = changesOf(outcome);
        return changes === ""
          ? [lines[i + 1]]
          : [lines[i + 1], ...wrapText(`    ${changes}`, width)];
      }),
      ...notes.flatMap((note) => wrapText(note, width)),
    ].join("\n");
  }).join("\n\n");
}

function cells(outcome: Outcome): string[] {
  const { usual, best } = winnerOf(outcome);
  const interval = (final: Finalist | null) =>
    final === null ? "" : `${micros(final.low)}-${micros(final.high)}`;
  return [
    outcome.variant.name,
    String(outcome.latest.length),
    String(outcome.latest.filter(({ us }) => us === null).length),
    usual === null ? usualName(outcome) : micros(usual.us),
    interval(usual),
    best === null ? "" : micros(best.us),
    interval(best),
    usual && best ? (usual.us / best.us).toFixed(2) : "",
  ];
}

/** What stands in place of the defaults' time. */
function usualName({ latest, defaults }: Outcome): string {
  const key = defaults === null ? "" : candidateKey(defaults);
  const own = latest.find(({ params }) => candidateKey(params) === key);
  return own !== undefined && own.us === null ? "FAILED" : "unmeasured";
}

/** The parameters in which the best differs from the defaults, as `NAME old -> new`. */
function changesOf(outcome: Outcome): string {
  const { best } = winnerOf(outcome);
  return Object.entries(best?.params ?? {})
    .filter(([name, value]) => value !== outcome.defaults?.[name])
    .map(([name, value]) => `${name} ${outcome.defaults?.[name] ?? "?"} -> ${value}`)
    .join(", ");
}
