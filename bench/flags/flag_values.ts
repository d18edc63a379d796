/** Readers of flag values: each takes a flag's name and text, or throws one sentence. */
import { decimalNumber } from "../results/csv_lines.ts";
import { UsageError } from "../base/usage_error.ts";

/** Reads the value of a flag, which messages name. */
export type Reader<T> = (name: string, text: string) => T;

/** The largest number that a shader's u32 holds. */
export const MAX_U32 = 0xffffffff;

/** A value as it stands, such as a path. */
export function asWritten(_name: string, text: string): string {
  return text;
}

/** The entries of a comma list, each once. */
export function list(name: string, text: string): string[] {
  return [...new Set(entriesOf(name, text))];
}

/** A reader of a comma list of what `read` takes; of equal values it keeps one. */
export function listOf<T>(read: Reader<T>): Reader<T[]> {
  return (name, text) => [...new Set(sequenceOf(read)(name, text))];
}

/** A reader of a comma list of what `read` takes, equal values and all. */
export function sequenceOf<T>(read: Reader<T>): Reader<T[]> {
  return (name, text) => entriesOf(name, text).map((entry) => read(name, entry));
}

/** The entries of a comma list as they stand. */
export function entriesOf(name: string, text: string): string[] {
  const entries = text.split(",").map((entry) => entry.trim());
  if (entries.includes("")) throw new UsageError(`--${name} has an empty entry in "${text}".`);
  return entries;
}

// A leading zero is refused: in a comma list it is half of a number such as 131,072.
const WHOLE = /^(0|[1-9]\d*)$/;

/** A reader of a whole number within bounds. */
export function wholeNumber(min: number, max: number): Reader<number> {
  return (name, text) => {
    const value = WHOLE.test(text) ? Number(text) : NaN;
    if (value >= min && value <= max) return value;
    throw new UsageError(`--${name} takes a whole number from ${min} to ${max}, not "${text}".`);
  };
}

/** What the letters behind a number of tokens stand for. */
const TOKEN_UNITS: Readonly<Record<string, number>> = { "": 1, k: 1024, m: 1024 ** 2 };

/** What help texts say of {@linkcode tokenCount}. */
export const TOKENS_NOTE = "Numbers of tokens may end in K for 1,024, such as 8K.";

/**
 * A reader of a number of tokens within bounds: `8192`, or `8K` for 8 times 1,024; `M` is 1,024 K.
 */
export function tokenCount(min: number, max: number): Reader<number> {
  return (name, text) => {
    const [, digits = "", unit = ""] = /^(\d+)([km]?)$/i.exec(text) ?? [];
    const value = WHOLE.test(digits) ? Number(digits) * TOKEN_UNITS[unit.toLowerCase()] : NaN;
    if (value >= min && value <= max) return value;
    throw new UsageError(
      `--${name} takes a whole number of tokens from ${min} to ${max}, where 8K is 8192, ` +
        `not "${text}".`,
    );
  };
}

/** A reader of a decimal number within bounds, which `unit` names in the plural. */
export function decimal(min: number, max: number, unit?: string): Reader<number> {
  return (name, text) => {
    const value = decimalNumber(text);
    if (value >= min && value <= max) return value;
    const what = unit === undefined ? "a number" : `a number of ${unit}`;
    throw new UsageError(`--${name} takes ${what} from ${min} to ${max}, not "${text}".`);
  };
}

/** A reader of seconds: from a millisecond to a day. */
export const seconds: Reader<number> = decimal(0.001, 86_400, "seconds");

/** A reader of one of the `allowed` words. */
export function oneOf<T extends string>(...allowed: readonly T[]): Reader<T> {
  return (name, text) => {
    const found = allowed.find((value) => value === text);
    if (found !== undefined) return found;
    throw new UsageError(`--${name} takes one of ${allowed.join(", ")}, not "${text}".`);
  };
}
