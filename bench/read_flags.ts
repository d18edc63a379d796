/** Command lines split into switches and values, before anybody looks at what the values say. */
import { parseArgs } from "@std/cli/parse-args";
import { UsageError } from "./usage_error.ts";

/** A command line, split. */
export interface Flags<Switch extends string> {
  readonly switches: Readonly<Record<Switch, boolean>>;
  /** Texts of the flags that take a value, of those that are given. */
  readonly texts: ReadonlyMap<string, string>;
  /** What is no flag, in order; empty unless words are allowed. */
  readonly words: readonly string[];
}

/**
 * Splits the arguments. `-h` stands for a switch `help`.
 *
 * @param names Flags that take no value.
 * @param values Flags that take one.
 * @param allowed Whether words that are no flags may stand among them, such as names of files.
 * @throws {UsageError} for a word or flag that is unknown, given twice, or without its value.
 */
export function readFlags<Switch extends string>(
  args: readonly string[],
  names: readonly Switch[],
  values: readonly string[],
  allowed: { readonly words: boolean } = { words: false },
): Flags<Switch> {
  const words: string[] = [];
  const flags: Record<string, unknown> & { _: (string | number)[] } = parseArgs([...args], {
    boolean: names as readonly string[],
    string: values,
    collect: values,
    alias: { help: "h" },
    unknown: (arg, key) => {
      if (key === undefined && allowed.words) {
        words.push(arg);
        return false;
      }
      throw new UsageError(
        key === undefined
          ? `"${arg}" is not a flag; --help lists the flags.`
          : `Unknown flag ${arg.split("=")[0]}; --help lists the flags.`,
      );
    },
  });
  // What follows a bare "--" comes here without being asked about.
  if (!allowed.words && flags._.length > 0) {
    throw new UsageError(`"${flags._[0]}" is not a flag.`);
  }
  words.push(...flags._.map(String));
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
