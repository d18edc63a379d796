/** Reads files of traces; `fixtures/trace.ts` parses them. */
import { parseFile } from "./parse_file.ts";
import {
  type NamedContext,
  parseContexts,
  parseTrace,
  type Trace,
} from "../../../fixtures/trace.ts";

/** The shipped trace: 5,632 tokens of sympy, described in `fixtures/README.md`. */
export const SHIPPED_TRACE: URL = new URL(
  "../../../fixtures/traces/sympy-L7-kv1-5632.safetensors",
  import.meta.url,
);

/**
 * Reads the trace at `path`.
 *
 * @throws {InvalidFileError} naming the file, if it cannot be read or is not a trace.
 */
export function readTraceFile(path: string | URL): Promise<Trace> {
  return parseFile(path, "trace", parseTrace);
}

/**
 * Reads the contexts of the trace at `path`. Contexts of files for `fit` may lack values.
 *
 * @throws {InvalidFileError} naming the file, if it cannot be read or is not a trace.
 */
export function readContextsFile(path: string | URL): Promise<NamedContext[]> {
  return parseFile(path, "trace", parseContexts);
}
