/** Reads files of traces; `fixtures/trace.ts` parses them. */
import { parseFile } from "./parse_file.ts";
import { SHIPPED_HEADS } from "./shipped_heads.ts";
import {
  type NamedContext,
  parseContexts,
  parseTrace,
  type Trace,
} from "../../../fixtures/trace.ts";

/** The shipped trace: 5,632 tokens of sympy, described in `fixtures/README.md`. */
export const SHIPPED_TRACE: URL = SHIPPED_HEADS[0].trace;

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
