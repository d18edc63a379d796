/** What a page offers to run: presets, and the flags that the fields of its form stand for. */
import { type BenchCase, casesOf, type NamedTrace } from "../cases/cases.ts";
import { quickCases } from "../cases/quick.ts";
import { caseOptionsOf, WORKLOAD_FLAGS } from "../flags/case_flags.ts";
import { MAX_TIME_FLAG, MEASURE_FLAGS, measureOptionsOf } from "../flags/measure_flags.ts";
import { type Parsed, parseFlags } from "../flags/parse_flags.ts";
import { quickOptions } from "../flags/quick_options.ts";
import { SELECTION_FLAGS } from "../flags/selection_flags.ts";

/** A run that a page offers by name. */
export interface Preset {
  readonly id: string;
  readonly label: string;
  /** What runs: cases of `bench`, or the quick profile of `frontier`. */
  readonly kind: "bench" | "frontier";
  /** Flags of `deno task bench`; the form's shape, lengths and score apply only if it has none. */
  readonly args: readonly string[] | null;
  /** Time limit of a case that is usual for it. */
  readonly seconds: number;
}

/** The presets, in the order of the list. The last one takes the form's own fields. */
export const PRESETS: readonly Preset[] = [
  {
    id: "quick",
    label: "Quick: one model, three lengths, a real trace",
    kind: "bench",
    args: ["--quick"],
    seconds: 10,
  },
  {
    id: "decode",
    label: "Decode: the cases of the published table",
    kind: "bench",
    args: ["--set", "decode"],
    seconds: 10,
  },
  {
    id: "frontier",
    label: "Frontier, quick: error against time, method by method",
    kind: "frontier",
    args: [],
    seconds: 1.5,
  },
  { id: "own", label: "Own shape and lengths", kind: "bench", args: null, seconds: 10 },
];

const TABLE = {
  sections: {
    workload: { quick: { help: "the quick profile", contradicts: ["set"] }, ...WORKLOAD_FLAGS },
    selection: SELECTION_FLAGS,
    measure: { ...MAX_TIME_FLAG, ...MEASURE_FLAGS },
  },
} as const;

/** A run as its flags describe it. */
export type PageOptions = ReturnType<typeof readPageOptions>;

/**
 * Reads the flags of a run.
 *
 * @throws {UsageError} in one sentence, for the first mistake.
 */
export function readPageOptions(args: readonly string[]) {
  const parsed: Parsed<typeof TABLE.sections> = parseFlags(TABLE, args);
  const { values } = parsed;
  const options = caseOptionsOf(parsed);
  return {
    quick: values.quick,
    cases: values.quick ? quickOptions(options, values.map !== null) : options,
    maxTimeMs: 1000 * values["max-time"],
    ...measureOptionsOf(parsed),
  };
}

/**
 * The cases of a run, fewer on a software adapter.
 *
 * @throws {UsageError} in one sentence, as {@linkcode casesOf} does.
 */
export function pageCases(
  { quick, cases }: PageOptions,
  trace: NamedTrace | undefined,
  software: boolean,
): readonly BenchCase[] {
  const all = casesOf(cases, trace);
  return quick ? quickCases(all, software) : all;
}
