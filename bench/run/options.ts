/** Parses the flags of `deno task bench`. Touches no file and no GPU. */
import type { Variant } from "../../kernels/core/variant.ts";
import { UsageError } from "../base/usage_error.ts";
import type { CaseOptions } from "../cases/case_options.ts";
import { caseOptionsOf } from "../flags/case_flags.ts";
import { quickOptions } from "../flags/quick_options.ts";
import { type MeasureOptions, measureOptionsOf } from "../flags/measure_flags.ts";
import { type Parsed, parseFlags } from "../flags/parse_flags.ts";
import { resultsFolder } from "../flags/results_folder.ts";
import type { HandOverChoice } from "../measure/device/checked_device.ts";
import { BENCH_COMMAND } from "./flags.ts";

/** The options of one `deno task bench`. */
export interface BenchOptions extends CaseOptions, MeasureOptions {
  readonly list: boolean;
  readonly listAdapters: boolean;
  /** Whether to list the cases instead of measuring them. */
  readonly dryRun: boolean;
  /** The variant whose WGSL to print instead of timing anything. */
  readonly printWgsl: Variant | null;
  readonly quick: boolean;
  /** Paths of CSV files with other software's times to compare with. */
  readonly peers: readonly string[];
  readonly hot: boolean;
  /** Input sets that steps rotate over at least. */
  readonly layers: number;
  /** Time limit of a case's sampling. */
  readonly maxTimeMs: number;
  readonly handOver: HandOverChoice;
  readonly outDir: string;
  /** Whether the caller named `outDir`: another run may have written there. */
  readonly outGiven: boolean;
  /** Path of the run's JSON document; null to write none. */
  readonly json: string | null;
  /** Path of the tuning file; null for the default file, if it exists. */
  readonly tuned: string | null;
  /** Whether to time default parameters even if a tuning file exists. */
  readonly noTuned: boolean;
}

type ParsedBench = Parsed<typeof BENCH_COMMAND.sections>;

/**
 * Parses the command line.
 *
 * @param now Names the results folder if `--out` is not given.
 * @throws {UsageError} in one sentence, for the first mistake.
 */
export function parseOptions(args: readonly string[], now: Date = new Date()): BenchOptions {
  const parsed = parseFlags(BENCH_COMMAND, args);
  const { values } = parsed;
  checkTrace(parsed);
  return {
    ...benchCases(parsed),
    ...measureOptionsOf(parsed),
    quick: values.quick,
    hot: values.hot,
    layers: values.layers,
    list: values.list,
    listAdapters: values["list-adapters"],
    dryRun: values["dry-run"],
    printWgsl: values["print-wgsl"],
    peers: values.peers ?? [],
    maxTimeMs: 1000 * values["max-time"],
    handOver: values["hand-over"],
    tuned: values.tuned,
    noTuned: values["no-tuned"],
    json: values.json,
    outGiven: values.out !== null,
    outDir: values.out ?? resultsFolder(now),
  };
}

/** Whether a trace is the only thing to time. */
function isTraceAlone({ given }: ParsedBench): boolean {
  return given.has("trace") && !given.has("models") && !given.has("shape");
}

/** Refuses flags for properties that the trace or its map already determines. */
function checkTrace(parsed: ParsedBench): void {
  if (parsed.given.has("trace-map") && parsed.values.score === "rotated") {
    throw new UsageError(
      "--trace-map does not fit --score rotated, which has a rotation as map; hamming and weighted " +
        "take one.",
    );
  }
  if (!isTraceAlone(parsed)) return;
  const refuse = (names: readonly string[], owner: string) => {
    const name = names.find((each) => parsed.given.has(each));
    if (name === undefined) return;
    throw new UsageError(`--${name} needs --models or --shape, since a ${owner} brings its own.`);
  };
  refuse(["kv", "batch", "lengths", "map"], "trace");
  if (parsed.given.has("trace-map")) refuse(["bits", "sharing"], "map");
}

/** The flags with the score that kernels have over a shared prefix, where there is one. */
function withPrefixScore(parsed: ParsedBench): ParsedBench {
  const { values, given } = parsed;
  if (values.prefix === null || values.score === "rotated") return parsed;
  if (!given.has("score")) return { ...parsed, values: { ...values, score: "rotated" } };
  throw new UsageError(
    `--prefix takes --score rotated: no kernel scores ${values.score} codes over a shared prefix.`,
  );
}

/** The problems and kernels that the flags ask for. */
function benchCases(given: ParsedBench): CaseOptions {
  const parsed = withPrefixScore(given);
  const { values } = parsed;
  const options = caseOptionsOf(parsed);
  const { prefix, requests, tail } = values;
  const cases: CaseOptions = {
    ...options,
    models: isTraceAlone(parsed) ? [] : options.models,
    lengths: values.lengths,
    layout: values.layout,
    pageTokens: values["page-tokens"],
    shared: prefix === null ? null : { prefix, requests, tail },
    trace: values.trace,
    traceMap: values["trace-map"],
  };
  return values.quick ? quickOptions(cases, values.map !== null) : cases;
}
