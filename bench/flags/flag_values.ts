/** Readers of flag values: each parses the text of a flag, or throws one sentence. */
import { decimalNumber } from "../results/csv_lines.ts";
import { UsageError } from "../base/usage_error.ts";

/** Parses the text of a flag; messages name the flag. */
export type Reader<T> = (name: string, text: string) => T;

/** The largest number that a shader's u32 holds. */
export const MAX_U32 = 0xffffffff;

/** The text unchanged, such as a path. */
export function asWritten(_name: string, text: string): string {
  return text;
}

/** The distinct entries of a comma-separated list. */
export function list(name: string, text: string): string[] {
  return [...new Set(entriesOf(name, text))];
}

/** A reader of a comma-separated list; keeps one of equal values. */
export function listOf<T>(read: Reader<T>): Reader<T[]> {
  return (name, text) => [...new Set(sequenceOf(read)(name, text))];
}

/** A reader of a comma-separated list; keeps all of equal values. */
export function sequenceOf<T>(read: Reader<T>): Reader<T[]> {
  return (name, text) => entriesOf(name, text).map((entry) => read(name, entry));
}

/** All entries of a comma-separated list. */
export function entriesOf(name: string, text: string): string[] {
  const entries = text.split(",").map((entry) => entry.trim());
  if (entries.includes("")) throw new UsageError(`--${name} has an empty entry in "${text}".`);
  return entries;
}

// A leading zero is refused, since a list with it may be a number such as 131,072.
const WHOLE = /^(0|[1-9]\d*)$/;

/** A reader of a whole number within bounds. */
export function wholeNumber(min: number, max: number): Reader<number> {
  return (name, text) => {
    const value = WHOLE.test(text) ? Number(text) : NaN;
    if (value >= min && value <= max) return value;
    throw new UsageError(`--${name} takes a whole number from ${min} to ${max}, not "${text}".`);
  };
}

/** The factors of the letters after a number of tokens. */
const TOKEN_UNITS: Readonly<Record<string, number>> = { "": 1, k: 1024, m: 1024 ** 2 };

/** The sentence of help texts on {@linkcode tokenCount}. */
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

/** A reader of a decimal number within bounds; messages name its unit, a plural. */
export function decimal(min: number, max: number, unit?: string): Reader<number> {
  return (name, text) => {
    const value = decimalNumber(text);
    if (value >= min && value <= max) return value;
    const kind = unit === undefined ? "a number" : `a number of ${unit}`;
    throw new UsageError(`--${name} takes ${kind} from ${min} to ${max}, not "${text}".`);
  };
}

/** A reader of seconds, from a millisecond to a day. */
export const seconds: Reader<number> = decimal(0.001, 86_400, "seconds");

/** A reader of one of the `allowed` words. */
export function oneOf<T extends string>(...allowed: readonly T[]): Reader<T> {
  return (name, text) => {
    const found = allowed.find((value) => value === text);
    if (found !== undefined) return found;
    throw new UsageError(`--${name} takes one of ${allowed.join(", ")}, not "${text}".`);
  };
}
