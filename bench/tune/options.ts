/** Flags of `deno task tune`, read and checked. Nothing here touches a file or a GPU. */
import { type BenchCase, casesOf } from "../cases/cases.ts";
import { parseOptions, seconds } from "../flags/options.ts";
import { readFlags } from "../flags/read_flags.ts";
import type { TimerChoice } from "../measure/clock/timer.ts";
import { UsageError } from "../base/usage_error.ts";
import { OWN_TUNING } from "../edge/files/tuning_file.ts";

/** What one call is to do. */
export interface TuneOptions {
  /** Names of the models whose shapes are tuned for. */
  readonly models: readonly string[];
  readonly cases: readonly BenchCase[];
  /** Milliseconds for all kernels and cases together. */
  readonly budgetMs: number;
  readonly resume: boolean;
  /** Milliseconds of silence after which a candidate counts as hung. */
  readonly silenceMs: number;
  /** Path of the tuning file that the winners go to. */
  readonly tunedFile: string;
  /** Folder of the log. */
  readonly outDir: string;
  /** Whether the caller named `outDir`: another run may have written there. */
  readonly outGiven: boolean;
  readonly memoryBytes: number;
  readonly noisePct: number;
  /** Which clock times the kernels. */
  readonly timer: TimerChoice;
  readonly seed: number;
  /** Driver name for systems that do not tell it. */
  readonly driver: string | undefined;
  /** Number or part of the name of the adapter to use; null for the fastest. */
  readonly adapter: string | null;
}

const SWITCHES = ["resume", "force"] as const;

/** Flags that mean what they mean to `bench`. */
// deno-fmt-ignore
const OF_BENCH = [
  "models", "shape", "kv", "batch", "set", "kernels", "dtype", "bits", "sharing", "map", "k",
  "sparsity", "sink", "recent", "noise", "timer", "memory", "seed", "driver", "adapter", "out",
] as const;

const OWN = ["budget", "silence", "tuned"] as const;

/**
 * Reads the command line.
 *
 * @param now Names the folder where `--out` does not.
 * @throws {UsageError} one sentence on the first thing that is wrong.
 */
export function parseTuneOptions(args: readonly string[], now: Date = new Date()): TuneOptions {
  const { switches, texts } = readFlags(args, SWITCHES, [...OF_BENCH, ...OWN]);
  if (switches.resume && !texts.has("out")) {
    throw new UsageError("--resume needs the --out of the run that it goes on with.");
  }
  const shared = OF_BENCH.filter((name) => texts.has(name))
    .map((name) => `--${name}=${texts.get(name)}`);
  const bench = parseOptions(switches.force ? [...shared, "--force"] : shared, now);
  const take = <T>(
    name: (typeof OWN)[number],
    fallback: T,
    read: (name: string, text: string) => T,
  ): T => texts.has(name) ? read(name, texts.get(name)!) : fallback;
  return {
    resume: switches.resume,
    models: bench.models,
    cases: casesOf(bench),
    budgetMs: 1000 * take("budget", 300, seconds),
    silenceMs: 1000 * take("silence", 30, seconds),
    tunedFile: texts.get("tuned") ?? OWN_TUNING,
    outGiven: bench.outGiven,
    outDir: texts.has("out") ? bench.outDir : `${bench.outDir}-tune`,
    memoryBytes: bench.memoryBytes,
    noisePct: bench.noisePct,
    seed: bench.seed,
    timer: bench.timer,
    driver: bench.driver,
    adapter: bench.adapter,
  };
}
