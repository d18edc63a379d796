/** Flags of `deno task tune`, read and checked. Nothing here touches a file or a GPU. */
import type { Variant } from "../../kernels/core/variant.ts";
import { UsageError } from "../base/usage_error.ts";
import { type BenchCase, casesOf } from "../cases/cases.ts";
import { caseOptionsOf } from "../flags/case_flags.ts";
import { type MeasureOptions, measureOptionsOf } from "../flags/measure_flags.ts";
import { parseFlags } from "../flags/parse_flags.ts";
import { resultsFolder } from "../flags/results_folder.ts";
import type { Strategy } from "../tuning/strategies.ts";
import { TUNE_COMMAND } from "./flags.ts";

/** What one call is to do. */
export interface TuneOptions extends MeasureOptions {
  /** Names of the models whose shapes are tuned for. */
  readonly models: readonly string[];
  readonly cases: readonly BenchCase[];
  /** Milliseconds for all kernels and cases together. */
  readonly budgetMs: number;
  /** Null for the one that suits each kernel. */
  readonly strategy: Strategy | null;
  readonly resume: boolean;
  /** Two parameters to draw a heat map over; null for none. */
  readonly heatMap: readonly [string, string] | null;
  /** Milliseconds of silence after which a candidate counts as hung. */
  readonly silenceMs: number;
  /** Path of the tuning file that the winners go to. */
  readonly tunedFile: string;
  /** Folder of the log and the heat maps. */
  readonly outDir: string;
  /** Whether the caller named `outDir`: another run may have written there. */
  readonly outGiven: boolean;
}

/**
 * Reads the command line.
 *
 * @param now Names the folder where `--out` does not.
 * @throws {UsageError} one sentence on the first thing that is wrong.
 */
export function parseTuneOptions(args: readonly string[], now: Date = new Date()): TuneOptions {
  const parsed = parseFlags(TUNE_COMMAND, args);
  const { values } = parsed;
  const cases = caseOptionsOf(parsed);
  const heatMap = values["heat-map"];
  if (heatMap !== null) checkParameters(heatMap, cases.variants);
  return {
    ...measureOptionsOf(parsed),
    resume: values.resume,
    models: cases.models,
    cases: casesOf(cases),
    budgetMs: 1000 * values.budget,
    strategy: values.strategy,
    heatMap,
    silenceMs: 1000 * values.silence,
    tunedFile: values.tuned,
    outGiven: values.out !== null,
    outDir: values.out ?? `${resultsFolder(now)}-tune`,
  };
}

/** Demands that some kernel in hand has all the parameters. */
function checkParameters(names: readonly string[], variants: readonly Variant[]): void {
  if (variants.some(({ tunables }) => names.every((each) => each in tunables))) return;
  const known = new Set(variants.flatMap(({ tunables }) => Object.keys(tunables)));
  throw new UsageError(
    `--heat-map: no kernel has both ${names.join(" and ")}; there are ${[...known].join(", ")}.`,
  );
}
