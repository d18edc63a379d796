/** Reads and checks the flags of `deno task quality`, without touching a file or a GPU. */
import { parseFlags } from "../flags/parse_flags.ts";
import { UsageError } from "../base/usage_error.ts";
import type { Budget, QuerySet } from "../results/quality_rows.ts";
import { gpuChoiceOf } from "../flags/measure_flags.ts";
import type { GpuChoice } from "../measure/device/gpu_choice.ts";
import { QUALITY_COMMAND } from "./flags.ts";
import { METHODS } from "../selection/methods/methods.ts";
import type { EdgeWindows, Method } from "../selection/selector.ts";

/** The options of one call. */
export interface QualityOptions {
  /** Path of the trace. */
  readonly trace: string;
  readonly map: string | null;
  readonly fitTrace: string | null;
  readonly methods: readonly Method[];
  /** Methods that are left out because a flag that they need is not given. */
  readonly leftOut: readonly Method[];
  readonly sparsities: readonly number[];
  readonly budget: Budget;
  readonly querySet: QuerySet;
  readonly windows: EdgeWindows;
  readonly seed: number;
  /** Where learned and rotated codes are computed. */
  readonly compute: "device" | "f64";
  /** The implementation of WebGPU. */
  readonly gpu: GpuChoice;
  /** Number or part of the name of the adapter to use; null for the fastest. */
  readonly adapter: string | null;
  readonly csv: string | null;
  readonly svg: string | null;
}

/**
 * Reads the command line.
 *
 * @throws {UsageError} in one sentence, for the first wrong flag.
 */
export function parseQualityOptions(args: readonly string[]): QualityOptions {
  const { values, given } = parseFlags(QUALITY_COMMAND, args);
  const { trace, csv, svg } = values;
  if (csv !== null && csv === svg) {
    throw new UsageError(`--csv and --svg name the same file ${csv}.`);
  }
  return {
    trace,
    map: values.map,
    fitTrace: values["fit-trace"],
    ...chooseMethods(values.methods, given),
    sparsities: values.sparsity.sort((a, b) => a - b),
    budget: values.budget,
    querySet: values.queries,
    windows: { sink: values.sink, recent: values.recent },
    seed: values.seed,
    compute: values.compute,
    gpu: gpuChoiceOf(values),
    adapter: values.adapter,
    csv,
    svg,
  };
}

/** The methods that `--methods` names, or all whose flags are given. */
function chooseMethods(
  names: readonly string[] | null,
  given: ReadonlySet<string>,
): Pick<QualityOptions, "methods" | "leftOut"> {
  const lacks = ({ needs }: Method) => needs !== undefined && !given.has(needs);
  if (names === null) {
    const { ready = [], lacking = [] } = Object.groupBy(
      METHODS,
      (method) => lacks(method) ? "lacking" : "ready",
    );
    return { methods: ready, leftOut: lacking };
  }
  const methods = METHODS.filter(({ name }) => names.includes(name));
  const lacking = methods.find(lacks);
  if (lacking !== undefined) {
    throw new UsageError(`The method ${lacking.name} needs --${lacking.needs} FILE.`);
  }
  return { methods, leftOut: [] };
}
