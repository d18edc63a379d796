/** Parses the flags of `deno task tune`. Touches no file and no GPU. */
import { type BenchCase, casesOf } from "../cases/cases.ts";
import { caseOptionsOf } from "../flags/case_flags.ts";
import { type MeasureOptions, measureOptionsOf } from "../flags/measure_flags.ts";
import { parseFlags } from "../flags/parse_flags.ts";
import { resultsFolder } from "../flags/results_folder.ts";
import { TUNE_COMMAND } from "./flags.ts";

/** The options of one `deno task tune`. */
export interface TuneOptions extends MeasureOptions {
  /** Names of the models whose shapes are tuned. */
  readonly models: readonly string[];
  readonly cases: readonly BenchCase[];
  /** Milliseconds for all kernels and cases together. */
  readonly budgetMs: number;
  readonly resume: boolean;
  /** Milliseconds of silence after which a candidate counts as hung. */
  readonly silenceMs: number;
  /** Path of the tuning file for the winners. */
  readonly tunedFile: string;
  /** Folder of the log. */
  readonly outDir: string;
  /** Whether the caller named `outDir`: another run may have written there. */
  readonly outGiven: boolean;
}

/**
 * Parses the command line.
 *
 * @param now Names the folder if `--out` is not given.
 * @throws {UsageError} in one sentence, for the first mistake.
 */
export function parseTuneOptions(args: readonly string[], now: Date = new Date()): TuneOptions {
  const parsed = parseFlags(TUNE_COMMAND, args);
  const { values } = parsed;
  const cases = caseOptionsOf(parsed);
  return {
    ...measureOptionsOf(parsed),
    resume: values.resume,
    models: cases.models,
    cases: casesOf(cases),
    budgetMs: 1000 * values.budget,
    silenceMs: 1000 * values.silence,
    tunedFile: values.tuned,
    outGiven: values.out !== null,
    outDir: values.out ?? `${resultsFolder(now)}-tune`,
  };
}
