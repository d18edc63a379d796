/** Reads and checks the flags of `deno task frontier`, without touching a file or a GPU. */
import type { Shape } from "../../kernels/core/problem/problem.ts";
import { counted } from "../base/counted.ts";
import { UsageError } from "../base/usage_error.ts";
import { type MeasureOptions, measureOptionsOf } from "../flags/measure_flags.ts";
import { parseFlags } from "../flags/parse_flags.ts";
import { resultsFolder } from "../flags/results_folder.ts";
import type { EdgeWindows } from "../selection/selector.ts";
import { FRONTIER_COMMAND, NO_MAP } from "./flags.ts";
import {
  FRONTIER_METHODS,
  type FrontierMethod,
  MAP_KINDS,
  type MapKind,
  QUICK_BUDGETS,
  QUICK_KV_LEN,
  QUICK_METHODS,
} from "../frontier_runner/methods.ts";

/** A trace's file and those of its maps. */
export interface TraceFiles {
  readonly trace: string;
  readonly maps: Readonly<Record<MapKind, string | null>>;
}

/** The options of one call. */
export interface FrontierOptions extends MeasureOptions {
  readonly quick: boolean;
  readonly methods: readonly FrontierMethod[];
  readonly budgets: readonly number[];
  readonly kvLens: readonly number[];
  readonly shape: Shape;
  /** The traces to measure; null for those that ship with the suite. */
  readonly traces: readonly TraceFiles[] | null;
  readonly windows: EdgeWindows;
  /** Least number of input sets that steps rotate over. */
  readonly layers: number;
  readonly maxTimeMs: number;
  readonly maxError: number;
  readonly outGiven: boolean;
  readonly outDir: string;
}

/**
 * Reads the command line.
 *
 * @throws {UsageError} in one sentence, for the first wrong flag.
 */
export function parseFrontierOptions(
  args: readonly string[],
  now: Date = new Date(),
): FrontierOptions {
  const parsed = parseFlags(FRONTIER_COMMAND, args);
  const { values } = parsed;
  const names = values.quick ? QUICK_METHODS : values.methods;
  const ascending = (numbers: readonly number[]) => [...numbers].sort((a, b) => a - b);
  const kvLens = ascending(values.quick ? [QUICK_KV_LEN] : values.kv);
  const budgets = ascending(values.quick ? QUICK_BUDGETS : values.budgets);
  const none = budgets.find((budget) => budget > kvLens[0]);
  if (none !== undefined) {
    throw new UsageError(`--budgets ${none} picks none of the ${kvLens[0]} tokens of --kv.`);
  }
  return {
    ...measureOptionsOf(parsed),
    quick: values.quick,
    methods: FRONTIER_METHODS.filter(({ name }) => names === null || names.includes(name)),
    budgets,
    kvLens,
    shape: values.shape,
    traces: values.traces === null ? null : traceFiles(values.traces, {
      map: values.maps,
      "hata-map": values["hata-maps"],
    }),
    windows: { sink: values.sink, recent: values.recent },
    layers: values.layers,
    maxTimeMs: 1000 * values["max-time"],
    maxError: values["max-error"],
    outGiven: values.out !== null,
    outDir: values.out ?? resultsFolder(now),
  };
}

/** Joins traces and their maps by their order. */
function traceFiles(
  traces: readonly string[],
  maps: Readonly<Record<MapKind, readonly string[] | null>>,
): TraceFiles[] {
  for (const kind of MAP_KINDS) {
    const count = maps[kind]?.length ?? traces.length;
    if (count === traces.length) continue;
    throw new UsageError(
      `--${kind}s names ${counted(count, "map")} for ${
        counted(traces.length, "trace")
      }; ${NO_MAP} ` +
        "stands for no map.",
    );
  }
  const fileOf = (kind: MapKind, i: number) => {
    const file = maps[kind]?.[i] ?? NO_MAP;
    return file === NO_MAP ? null : file;
  };
  return traces.map((trace, i) => ({
    trace,
    maps: { map: fileOf("map", i), "hata-map": fileOf("hata-map", i) },
  }));
}
