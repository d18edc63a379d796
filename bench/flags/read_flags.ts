/** Splits a command line into switches, texts of values, and words. Does not parse the texts. */
import { parseArgs } from "@std/cli/parse-args";
import { UsageError } from "../base/usage_error.ts";

/** A split command line. */
export interface Flags<Switch extends string> {
  readonly switches: Readonly<Record<Switch, boolean>>;
  /** The texts of the given flags that take a value. */
  readonly texts: ReadonlyMap<string, string>;
  /** The arguments that are not flags, in order; empty unless words are allowed. */
  readonly words: readonly string[];
}

/** Switches of every command, which `helpOrVersion` answers before the others are parsed. */
const COMMON = ["help", "version"] as const;

const HINT = "--help lists the flags";

/**
 * Splits the arguments. `-h` stands for `--help`; a switch may be spelled `--NAME=true` or
 * `--NAME=false`.
 *
 * @param names Flags that take no value, without the common ones.
 * @param values Flags that take a value.
 * @param allowed Whether arguments that are not flags are allowed, such as file names.
 * @throws {UsageError} for a word or flag that is unknown, given twice, or without its value.
 */
export function readFlags<Switch extends string>(
  args: readonly string[],
  names: readonly Switch[],
  values: readonly string[],
  allowed: { readonly words: boolean } = { words: false },
): Flags<Switch> {
  const switchNames: readonly string[] = [...COMMON, ...names];
  const words: string[] = [];
  const flags: Record<string, unknown> & { _: (string | number)[] } = parseArgs(
    spelledOut(args, switchNames, values),
    {
      boolean: switchNames,
      string: values,
      collect: values,
      alias: { help: "h" },
      unknown: (arg, key) => {
        if (key !== undefined) throw unknownFlag(arg);
        words.push(arg);
        return false;
      },
    },
  );
  // `unknown` is not called for the words after a bare "--".
  words.push(...flags._.map(String));
  if (words.includes("")) throw new UsageError(`An argument is empty; ${HINT}.`);
  if (!allowed.words && words.length > 0) {
    throw new UsageError(`"${words[0]}" is not a flag; ${HINT}.`);
  }
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

/**
 * Respells the arguments so that `parseArgs` cannot misread them. It would take `-5` for a flag,
 * `""` for a word, `--hot=maybe` for on, and `--no-tuned=true` for a value of `--tuned`.
 */
function spelledOut(
  args: readonly string[],
  switchNames: readonly string[],
  values: readonly string[],
): string[] {
  const end = args.indexOf("--");
  const flags = end < 0 ? args : args.slice(0, end);
  const spelled: string[] = [];
  for (let i = 0; i < flags.length; i++) {
    const [, name, value] = /^--([^=]+)(?:=(.*))?$/s.exec(flags[i]) ?? [];
    if (name === undefined) {
      spelled.push(flags[i]);
    } else if (switchNames.includes(name)) {
      if (isOn(name, value ?? "true")) spelled.push(`--${name}`);
    } else if (!values.includes(name)) {
      throw unknownFlag(flags[i]);
    } else if (value === "" || (value === undefined && flags[i + 1] === "")) {
      throw new UsageError(`--${name} is given an empty value.`);
    } else if (value === undefined && isNegative(flags[i + 1])) {
      spelled.push(`--${name}=${flags[++i]}`);
    } else {
      spelled.push(flags[i]);
    }
  }
  return end < 0 ? spelled : [...spelled, ...args.slice(end)];
}

function isOn(name: string, value: string): boolean {
  if (value === "true" || value === "false") return value === "true";
  throw new UsageError(`--${name} takes true or false, or no value, not "${value}".`);
}

/** Whether an argument is a negative number; no flag has such a name. */
function isNegative(arg: string | undefined): boolean {
  return arg !== undefined && /^-\.?\d/.test(arg);
}

function unknownFlag(arg: string): UsageError {
  return new UsageError(`Unknown flag ${arg.split("=")[0]}; ${HINT}.`);
}
