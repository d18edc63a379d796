/** Reads and writes tuning files: JSON with a schema number, whose every field is checked. */
import * as v from "valibot";
import { systemReason } from "../system_reason.ts";
import { DuplicateNameError, parseStrictJson } from "../../../kernels/maps/strict_json.ts";
import type { TunedEntry, TunedProblem, Tuning } from "../../../kernels/core/tuning.ts";
import { readAll } from "./append_file.ts";
import { withLock } from "./file_lock.ts";
import { shownPath } from "./parse_file.ts";
import { writeWhole } from "./output_file.ts";
import { SystemError } from "../../base/system_error.ts";
import { cannotWrite } from "../system_failure.ts";
import { UsageError } from "../../base/usage_error.ts";

/** Default path of the user's own entries. */
export const OWN_TUNING = "results/tuning.json";

/** The entries that ship with the suite, for adapters by name. */
export const SHIPPED_TUNING: URL = new URL("../../../fixtures/tuning.json", import.meta.url);

const SCHEMA = 1;

const text = v.pipe(v.string(), v.nonEmpty());
const count = v.pipe(v.number(), v.safeInteger(), v.minValue(1));
const time = v.pipe(v.number(), v.finite(), v.gtValue(0));

const PROBLEM = {
  batch: count,
  qHeads: count,
  kvHeads: count,
  headDim: count,
  kvLen: count,
  bits: count,
  dtype: v.picklist(["f16", "bf16", "f32"]),
  sharing: v.picklist(["head", "kv", "group"]),
  planes: v.optional(v.pipe(v.number(), v.safeInteger(), v.minValue(0)), 0),
} satisfies Record<keyof TunedProblem, v.GenericSchema>;

const ENTRIES = v.array(v.object(
  {
    adapter: text,
    driver: v.nullable(text),
    backend: v.nullable(text),
    compiler: v.optional(text),
    kernel: text,
    checksum: text,
    problem: v.object(PROBLEM),
    params: v.record(v.string(), v.pipe(v.number(), v.safeInteger(), v.minValue(0))),
    us: time,
    defaultUs: v.nullable(time),
  } satisfies Record<keyof TunedEntry, v.GenericSchema>,
));

/**
 * Parses the text of a tuning file.
 *
 * @param path Names the file in errors.
 * @throws {UsageError} in one sentence, for the first error in the text.
 */
export function parseTuning(json: string, path: string): Tuning {
  let value: unknown;
  try {
    value = parseStrictJson(json);
  } catch (error) {
    if (error instanceof DuplicateNameError) throw new UsageError(`${path}: ${error.message}.`);
    throw new UsageError(`${path} is not JSON, so it is not a tuning file.`);
  }
  const { schema, entries } = (value ?? {}) as { schema?: unknown; entries?: unknown };
  if (!Array.isArray(entries)) throw new UsageError(`${path} is not a tuning file.`);
  if (schema !== SCHEMA) {
    throw new UsageError(`${path} has schema ${schema}, this version reads ${SCHEMA}.`);
  }
  const { success, output, issues } = v.safeParse(ENTRIES, entries, { abortEarly: true });
  if (success) return { entries: output };
  const [{ key: index }, field] = issues[0].path!;
  throw new UsageError(`${path}: entry ${Number(index) + 1} has a wrong ${field?.key ?? "form"}.`);
}

/**
 * Reads a tuning file.
 *
 * @returns null if there is no file.
 * @throws {UsageError} in one sentence, with the reason why it cannot be read.
 */
export function readTuning(path: string | URL): Tuning | null {
  const name = shownPath(path);
  let json: string;
  try {
    json = Deno.readTextFileSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw new UsageError(`Cannot read ${name}: ${systemReason(error)}.`);
  }
  // A tuner that is killed right after it creates the file leaves it empty.
  return json === "" ? null : parseTuning(json, name);
}

/**
 * The user's own entries followed by the shipped ones, in the order in which `bench` applies them.
 *
 * @param path The file that the user names; null for the default one, which may be missing.
 * @throws {UsageError} if a named file is missing, or a file is damaged.
 */
export function loadTuning(path: string | null): Tuning {
  const own = readTuning(path ?? OWN_TUNING);
  if (path !== null && own === null) throw new UsageError(`There is no tuning file ${path}.`);
  return { entries: [own, readTuning(SHIPPED_TUNING)].flatMap((each) => each?.entries ?? []) };
}

/** Adds an entry, which replaces an older one for the same kernel, problem and adapter. */
export function withEntry(tuning: Tuning, entry: TunedEntry): Tuning {
  const subject = ({ adapter, driver, backend, compiler, kernel, problem }: TunedEntry) =>
    JSON.stringify([adapter, driver, backend, compiler, kernel, Object.entries(problem).sort()]);
  const others = tuning.entries.filter((each) => subject(each) !== subject(entry));
  return { entries: [...others, entry] };
}

/**
 * Changes a tuning file and creates it if it is missing. Readers see the old content or all of the
 * new. A lock keeps other tuners from writing between the read and the write.
 *
 * @throws {UsageError | SystemError} in one sentence, if it cannot be read or written.
 */
export function updateTuning(path: string, change: (tuning: Tuning) => Tuning): void {
  const write = (json: string) => {
    const before = json === "" ? { entries: [] } : parseTuning(json, path);
    const { entries } = change(before);
    writeWhole(path, `${JSON.stringify({ schema: SCHEMA, entries }, null, 2)}\n`);
  };
  const folder = path.replace(/[/\\]*[^/\\]+$/, "");
  try {
    if (folder !== "") Deno.mkdirSync(folder, { recursive: true });
    if (isDevice(path)) write("");
    else withLock(path, (file) => write(new TextDecoder().decode(readAll(file))));
  } catch (error) {
    if (error instanceof UsageError || error instanceof SystemError) throw error;
    throw cannotWrite(path, error);
  }
}

/** Whether a path is a pipe or a device, which is neither read nor replaced. */
function isDevice(path: string): boolean {
  try {
    const { isFile, isDirectory } = Deno.statSync(path);
    return !isFile && !isDirectory;
  } catch {
    // Opening the file reports the reason.
    return false;
  }
}
