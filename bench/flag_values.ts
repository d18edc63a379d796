/** Readers of flag values: each takes a flag's name and text, or throws one sentence. */
import { UsageError } from "./usage_error.ts";

/** The entries of a comma list, each once. */
export function list(name: string, text: string): string[] {
  return [...new Set(entriesOf(name, text))];
}

/** The entries of a comma list as they stand. */
export function entriesOf(name: string, text: string): string[] {
  const entries = text.split(",").map((entry) => entry.trim());
  if (entries.includes("")) throw new UsageError(`--${name} has an empty entry in "${text}".`);
  return entries;
}

/** A whole number within bounds. */
export function wholeNumber(name: string, text: string, min: number, max: number): number {
  const value = /^\d+$/.test(text) ? Number(text) : NaN;
  if (!(value >= min && value <= max)) {
    throw new UsageError(`--${name} takes a whole number from ${min} to ${max}, not "${text}".`);
  }
  return value;
}

/** A decimal number above 0. */
export function positiveNumber(name: string, text: string): number {
  const value = /^\d*\.?\d+$/.test(text) ? Number(text) : 0;
  if (value <= 0) throw new UsageError(`--${name} takes a number above 0, not "${text}".`);
  return value;
}

/** A reader of one of the `allowed` words. */
export function oneOf<T extends string>(
  ...allowed: readonly T[]
): (name: string, text: string) => T {
  return (name, text) => {
    const found = allowed.find((value) => value === text);
    if (found === undefined) {
      throw new UsageError(`--${name} takes one of ${allowed.join(", ")}, not "${text}".`);
    }
    return found;
  };
}
