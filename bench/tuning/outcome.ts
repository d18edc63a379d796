/** The outcome of a kernel's tuning: the best candidate against the defaults. */
import type { Params } from "../../kernels/core/problem/constants.ts";
import type { Variant } from "../../kernels/core/variant.ts";
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
  /** Median microseconds per step. */
  readonly us: number;
}

/** The results for a kernel and case when its tuning ends. */
export interface Outcome {
  readonly benchCase: BenchCase;
  readonly variant: Variant;
  readonly subject: LogSubject;
  /** The latest measurement of every candidate. */
  readonly latest: readonly Measured[];
  /** Candidates that could not be measured through no fault of their own. */
  readonly unmeasured: readonly Unmeasured[];
  readonly defaults: Params | null;
  /** The reason if the device or the budget refuses the kernel; null otherwise. */
  readonly refused: string | null;
  /** The reason if the job was given up through no fault of the kernel; null otherwise. */
  readonly gaveUp: string | null;
}

/** The state of a kernel when its tuning ends. */
export type Standing = "tuned" | "refused" | "failed" | "unfinished";

/** The state of an outcome. A kernel has failed only if its candidates were found to be wrong. */
export function standingOf(outcome: Outcome): Standing {
  if (outcome.refused !== null) return "refused";
  if (entryOf(outcome) !== null) return outcome.gaveUp === null ? "tuned" : "unfinished";
  const { latest, unmeasured, gaveUp } = outcome;
  const wrong = latest.length > 0 && latest.every(({ us }) => us === null);
  return wrong && unmeasured.length === 0 && gaveUp === null ? "failed" : "unfinished";
}

/** The reason why a kernel's tuning is unfinished, in a few words. */
export function openReason({ gaveUp, unmeasured }: Outcome): string {
  return gaveUp ?? unmeasured.at(-1)?.why ??
    "its time was over before anything was measured in full";
}

/** The latest measurement of each candidate, in the order of first tries. */
export function latestOf(measured: readonly Measured[]): Measured[] {
  return [...new Map(measured.map((each) => [candidateKey(each.params), each])).values()];
}

/** The defaults as a finalist, and the finalist to use; each is null if there is none. */
export function winnerOf(
  { latest, defaults }: Pick<Outcome, "latest" | "defaults">,
): { readonly baseline: Finalist | null; readonly best: Finalist | null } {
  const finals = latest.flatMap(({ phase, params, us, low, high }) =>
    phase === "final" && us !== null && low !== null && high !== null
      ? [{ params, us, low, high }]
      : []
  ).sort((a, b) => a.us - b.us);
  const key = defaults === null ? "" : candidateKey(defaults);
  const baseline = finals.find(({ params }) => candidateKey(params) === key) ?? null;
  if (baseline === null) {
    // Unless the defaults failed, a finalist proves nothing without a comparison with them.
    const wrong = defaults === null ||
      latest.some(({ params, us }) => us === null && candidateKey(params) === key);
    return { baseline, best: wrong ? finals[0] ?? null : null };
  }
  // A difference within the noise does not count.
  return { baseline, best: finals.find(({ high }) => high < baseline.low) ?? baseline };
}

/** The entry for the tuning file; null if there is no finalist to use. */
export function entryOf(outcome: Outcome): TunedEntry | null {
  const { baseline, best } = winnerOf(outcome);
  if (best === null) return null;
  const { adapter, driver, backend, compiler, kernel, checksum } = outcome.subject;
  return {
    adapter,
    driver,
    backend,
    compiler,
    kernel,
    checksum,
    problem: tunedProblem(outcome.benchCase.problem),
    params: tunableParams(best.params),
    us: best.us,
    defaultUs: baseline?.us ?? null,
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
 * The table at the end of a run: a block for each case, with the parameters that the best candidate
 * changes below each kernel.
 *
 * @param width Maximum characters per line; the least important columns are left out to fit it.
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
  const { baseline, best } = winnerOf(outcome);
  const interval = (final: Finalist | null) =>
    final === null ? "" : `${micros(final.low)}-${micros(final.high)}`;
  return [
    outcome.variant.name,
    String(outcome.latest.length),
    String(outcome.latest.filter(({ us }) => us === null).length),
    baseline === null ? missingDefaultText(outcome) : micros(baseline.us),
    interval(baseline),
    best === null ? "" : micros(best.us),
    interval(best),
    baseline && best ? (baseline.us / best.us).toFixed(2) : "",
  ];
}

/** The text in place of the defaults' time. */
function missingDefaultText({ latest, defaults }: Outcome): string {
  const key = defaults === null ? "" : candidateKey(defaults);
  const measured = latest.find(({ params }) => candidateKey(params) === key);
  return measured !== undefined && measured.us === null ? "FAILED" : "unmeasured";
}

/** The parameters in which the best differs from the defaults, as `NAME old -> new`. */
function changesOf(outcome: Outcome): string {
  const { best } = winnerOf(outcome);
  return Object.entries(best?.params ?? {})
    .filter(([name, value]) => value !== outcome.defaults?.[name])
    .map(([name, value]) => `${name} ${outcome.defaults?.[name] ?? "?"} -> ${value}`)
    .join(", ");
}
