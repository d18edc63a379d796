/** Traces from the file system: the Deno edge of `trace.ts`. */
import { parseFile } from "./parse_file.ts";
import {
  type NamedContext,
  parseContexts,
  parseTrace,
  type Trace,
} from "../../../fixtures/trace.ts";

/** The trace that comes with the suite: 5,632 tokens of sympy, described in README.md. */
export const SHIPPED_TRACE: URL = new URL(
  "../../../fixtures/traces/sympy-L7-kv1-5632.safetensors",
  import.meta.url,
);

/**
 * Reads the trace at `path`.
 *
 * @throws {InvalidFileError} naming the file, if it cannot be read or is no trace.
 */
export function readTraceFile(path: string | URL): Promise<Trace> {
  return parseFile(path, "trace", parseTrace);
}

/**
 * Reads the contexts of the trace at `path`; those of files to fit maps on have no values.
 *
 * @throws {InvalidFileError} naming the file, if it cannot be read or is no trace.
 */
export function readContextsFile(path: string | URL): Promise<NamedContext[]> {
  return parseFile(path, "trace", parseContexts);
}
