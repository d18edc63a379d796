/** Parses a command line by a command's flag table. Touches no file and no GPU. */
import { UsageError } from "../base/usage_error.ts";
import {
  type Flag,
  flagsOf,
  type FlagTable,
  type Sections,
  type ValueFlag,
  type Values,
} from "./flag_table.ts";
import { readFlags } from "./read_flags.ts";

/** A parsed command line. */
export interface Parsed<S extends Sections> {
  readonly values: Values<S>;
  /** Names of the flags that the caller gave. */
  readonly given: ReadonlySet<string>;
  /** The values as the caller wrote them, in the order of the table. */
  readonly texts: ReadonlyMap<string, string>;
  /** The arguments that are not flags, in order; empty unless the table allows them. */
  readonly words: readonly string[];
}

type NamedFlags = readonly (readonly [string, Flag])[];

/**
 * Parses a command line.
 *
 * @throws {UsageError} in one sentence, for the first mistake.
 */
export function parseFlags<S extends Sections>(
  table: FlagTable<S>,
  args: readonly string[],
): Parsed<S> {
  const flags = flagsOf(table.sections);
  const [switchNames, valueNames] = [false, true].map((takesValue) =>
    flags.filter(([, flag]) => isValueFlag(flag) === takesValue).map(([name]) => name)
  );
  const allowed = { words: table.words !== undefined };
  const { switches, texts, words } = readFlags(args, switchNames, valueNames, allowed);
  const names = flags.map(([name]) => name);
  const given = new Set(names.filter((name) => switches[name] || texts.has(name)));
  checkTogether(flags, given);
  checkComplete(flags, given);
  const values = flags.map(([name, flag]) => [
    name,
    isValueFlag(flag) ? readValue(name, flag, texts.get(name)) : switches[name],
  ]);
  return { values: Object.fromEntries(values) as Values<S>, given, texts, words };
}

function isValueFlag(flag: Flag): flag is ValueFlag {
  return flag.read !== undefined;
}

/** Refuses flags that exclude each other. */
function checkTogether(flags: NamedFlags, given: ReadonlySet<string>): void {
  const present = flags.filter(([name]) => given.has(name));
  for (const [name, { contradicts = [] }] of present) {
    const other = contradicts.find((each) => given.has(each));
    if (other !== undefined) {
      throw new UsageError(`--${other} and --${name} contradict each other.`);
    }
  }
  const [alone] = present.find(([, flag]) => flag.alone) ?? [];
  const [beside] = present.find(([name]) => name !== alone) ?? [];
  if (alone !== undefined && beside !== undefined) {
    throw new UsageError(`--${alone} stands alone: --${beside} would change nothing.`);
  }
}

/** Refuses a command line without a flag that is required, or that another flag needs. */
function checkComplete(flags: NamedFlags, given: ReadonlySet<string>): void {
  for (const [name, flag] of flags) {
    if (isValueFlag(flag) && flag.required && !given.has(name)) {
      const value = flag.value.replace(/,\.\.$/, "");
      throw new UsageError(`--${name} ${value} is needed; --help lists the flags.`);
    }
  }
  for (const [name, { needs = {} }] of flags.filter(([name]) => given.has(name))) {
    for (const [other, words] of Object.entries(needs)) {
      if (!given.has(other)) throw new UsageError(`--${name} needs ${words}.`);
    }
  }
}

function readValue(name: string, flag: ValueFlag, given: string | undefined): unknown {
  const text = given ?? flag.default;
  return text === undefined ? null : flag.read(name, text);
}
