/** Flags of `deno task quality`, read and checked. Nothing here touches a file or a GPU. */
import { list, tokenCount, wholeNumber } from "../flags/flag_values.ts";
import { readFlags } from "../flags/read_flags.ts";
import { UsageError } from "../base/usage_error.ts";
import { METHODS } from "./methods.ts";
import type { EdgeWindows, Method } from "../selection/selector.ts";

/** What one call is to do. */
export interface QualityOptions {
  /** Path of the trace. */
  readonly trace: string;
  readonly map: string | null;
  readonly fitTrace: string | null;
  readonly methods: readonly Method[];
  /** Methods that were not asked for by name and lack a flag that they need. */
  readonly leftOut: readonly Method[];
  readonly sparsities: readonly number[];
  readonly windows: EdgeWindows;
  readonly seed: number;
  /** Number or part of the name of the adapter to use; null for the fastest. */
  readonly adapter: string | null;
  readonly csv: string | null;
  readonly svg: string | null;
}

// deno-fmt-ignore
const VALUES = [
  "trace", "map", "fit-trace", "methods", "sparsity", "sink", "recent", "seed", "adapter", "csv", "svg",
] as const;

const MAX_U32 = 0xffffffff;

/**
 * Reads the command line.
 *
 * @throws {UsageError} one sentence on the first thing that is wrong.
 */
export function parseQualityOptions(args: readonly string[]): QualityOptions {
  const { texts } = readFlags(args, [], VALUES);
  const trace = texts.get("trace");
  if (trace === undefined) {
    throw new UsageError("--trace FILE is needed; --help lists the flags.");
  }
  if (texts.has("csv") && texts.get("csv") === texts.get("svg")) {
    throw new UsageError(`--csv and --svg name the same file ${texts.get("csv")}.`);
  }
  const tokens = (name: (typeof VALUES)[number], fallback: number) =>
    tokenCount(name, texts.get(name) ?? String(fallback), 0, MAX_U32);
  return {
    trace,
    map: texts.get("map") ?? null,
    fitTrace: texts.get("fit-trace") ?? null,
    ...chooseMethods(texts),
    sparsities: list("sparsity", texts.get("sparsity") ?? "8,16,32,64")
      .map((text) => wholeNumber("sparsity", text, 1, MAX_U32))
      .sort((a, b) => a - b),
    windows: { sink: tokens("sink", 128), recent: tokens("recent", 128) },
    seed: wholeNumber("seed", texts.get("seed") ?? "1", 0, MAX_U32),
    adapter: texts.get("adapter") ?? null,
    csv: texts.get("csv") ?? null,
    svg: texts.get("svg") ?? null,
  };
}

/** The methods named, or all that can run with the flags given. */
function chooseMethods(
  texts: ReadonlyMap<string, string>,
): Pick<QualityOptions, "methods" | "leftOut"> {
  const lacks = ({ needs }: Method) => needs !== undefined && !texts.has(needs);
  const text = texts.get("methods");
  if (text === undefined) {
    const { ready = [], lacking = [] } = Object.groupBy(
      METHODS,
      (method) => lacks(method) ? "lacking" : "ready",
    );
    return { methods: ready, leftOut: lacking };
  }
  const names = list("methods", text);
  for (const name of names) {
    const method = METHODS.find((each) => each.name === name);
    if (!method) {
      const known = METHODS.map((each) => each.name).join(", ");
      throw new UsageError(`--methods knows no "${name}"; the methods are ${known}.`);
    }
    if (lacks(method)) throw new UsageError(`The method ${name} needs --${method.needs} FILE.`);
  }
  return { methods: METHODS.filter(({ name }) => names.includes(name)), leftOut: [] };
}
