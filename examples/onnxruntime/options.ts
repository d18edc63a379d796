/** Reads the command line. */
import type { Shape } from "./model.ts";

/** What the program is asked for. */
export interface Options extends Shape {
  /** Tokens of the cache, the newest one included. */
  readonly lengths: readonly number[];
  /** The sparse step attends 1 / `sparsity` of the tokens, beside `sink` and `recent`. */
  readonly sparsity: number;
  /** Times that each step is measured. */
  readonly rounds: number;
}

/** What the user asked for cannot be done. The message is one sentence. */
export class Refusal extends Error {}

interface Flag {
  readonly help: string;
  readonly default: string;
  readonly least: number;
  readonly most: number;
}

const FLAGS = {
  lengths: { help: "tokens of the cache", default: "1024,4096", least: 2, most: 1 << 20 },
  heads: { help: "query heads", default: "32", least: 1, most: 1024 },
  "kv-heads": { help: "KV heads", default: "8", least: 1, most: 1024 },
  dim: { help: "dimensions of a head", default: "128", least: 1, most: 256 },
  sparsity: { help: "the sparse step attends 1/N", default: "32", least: 1, most: 4096 },
  rounds: { help: "times that each step is measured", default: "20", least: 1, most: 10_000 },
} as const satisfies Record<string, Flag>;

type FlagName = keyof typeof FLAGS;

/** The help text. */
export const HELP = [
  "Attends over one KV cache with ONNX Runtime Web and with a decoder, compares and times both.",
  "",
  "Usage: deno task start [--NAME VALUE ...]",
  "",
  ...Object.entries(FLAGS).map(([name, { help, default: value }]) =>
    `  --${name} ${name === "lengths" ? "N,N,..." : "N"}`.padEnd(22) + `${help} (default ${value})`
  ),
].join("\n");

/**
 * Reads `--NAME VALUE` and `--NAME=VALUE`.
 *
 * @throws {Refusal} for the first mistake.
 */
export function parseOptions(args: readonly string[]): Options {
  const given: Partial<Record<FlagName, string>> = {};
  const words = args.flatMap((arg) => /^--[^=]+=/.test(arg) ? split(arg) : [arg]);
  for (let i = 0; i < words.length; i += 2) {
    const name = words[i].slice(2);
    if (!words[i].startsWith("--") || !isFlag(name)) {
      const known = Object.keys(FLAGS).map((each) => `--${each}`).join(", ");
      throw new Refusal(`There is no flag ${words[i]}; the flags are ${known}.`);
    }
    if (words[i + 1] === undefined) throw new Refusal(`--${name} needs a value.`);
    if (given[name] !== undefined) throw new Refusal(`--${name} is given twice.`);
    given[name] = words[i + 1];
  }
  const text = (name: FlagName) => given[name] ?? FLAGS[name].default;
  const number = (name: FlagName) => wholeNumber(name, text(name));
  const [qHeads, kvHeads] = [number("heads"), number("kv-heads")];
  if (qHeads % kvHeads !== 0) {
    throw new Refusal(`--heads ${qHeads} is not a multiple of --kv-heads ${kvHeads}.`);
  }
  return {
    lengths: text("lengths").split(",").map((each) => wholeNumber("lengths", each)),
    qHeads,
    kvHeads,
    headDim: number("dim"),
    sparsity: number("sparsity"),
    rounds: number("rounds"),
  };
}

function split(arg: string): [string, string] {
  const at = arg.indexOf("=");
  return [arg.slice(0, at), arg.slice(at + 1)];
}

function isFlag(name: string): name is FlagName {
  return Object.hasOwn(FLAGS, name);
}

function wholeNumber(name: FlagName, text: string): number {
  const { least, most } = FLAGS[name];
  const number = Number(text);
  if (/^\d+$/.test(text) && number >= least && number <= most) return number;
  throw new Refusal(`--${name} takes whole numbers from ${least} to ${most}, not "${text}".`);
}
