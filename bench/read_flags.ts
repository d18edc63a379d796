/** Command lines split into switches and values, before anybody looks at what the values say. */
import { parseArgs } from "@std/cli/parse-args";
import { UsageError } from "./usage_error.ts";

/** A command line, split. */
export interface Flags<Switch extends string> {
  readonly switches: Readonly<Record<Switch, boolean>>;
  /** Texts of the flags that take a value, of those that are given. */
  readonly texts: ReadonlyMap<string, string>;
  /** What is no flag, where that is allowed. */
  readonly words: readonly string[];
}

/**
 * Splits the arguments. `-h` stands for a switch `help`.
 *
 * @param names Flags that take no value.
 * @param values Flags that take one.
 * @param allow Whether there may be words besides flags.
 * @throws {UsageError} for a word or flag that is unknown, given twice, or without its value.
 */
export function readFlags<Switch extends string>(
  args: readonly string[],
  names: readonly Switch[],
  values: readonly string[],
  allow: { readonly words: boolean } = { words: false },
): Flags<Switch> {
  const flags: Record<string, unknown> & { _: (string | number)[] } = parseArgs([...args], {
    boolean: names as readonly string[],
    string: values,
    collect: values,
    alias: { help: "h" },
    unknown: (arg, key) => {
      if (key === undefined && allow.words) return true;
      throw new UsageError(
        key === undefined
          ? `"${arg}" is not a flag; --help lists the flags.`
          : `Unknown flag ${arg.split("=")[0]}; --help lists the flags.`,
      );
    },
  });
  // What follows a bare "--" comes here without being asked about.
  const words = flags._.map(String);
  if (words.length > 0 && !allow.words) throw new UsageError(`"${words[0]}" is not a flag.`);
  const texts = new Map<string, string>();
  for (const name of values) {
    const given = flags[name] as string[];
    if (given.length > 1) throw new UsageError(`--${name} is given twice.`);
    if (given[0] === "") throw new UsageError(`--${name} needs a value.`);
    if (given.length === 1) texts.set(name, given[0]);
  }
  const switches = Object.fromEntries(names.map((name) => [name, flags[name] === true]));
  return { switches: switches as Record<Switch, boolean>, texts, words };
}
