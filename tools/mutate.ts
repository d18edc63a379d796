/**
 * Checks the checks: plants one wrong sign in each kernel in turn and demands that the tests of
 * every variant that runs it fail, and that the main job lists each of them as FAILED, leaves its
 * times empty and exits 1. Works on a copy of the tree. Arguments name the kernels to break instead
 * of all (`deno task mutate merge/merge`); exits 1 if any was missed. With `--random N` it tries N
 * random changes of each kernel on its tests instead, and exits 1 if fewer than 95% are noticed.
 *
 * Probes are left out: they time the device and nobody reads their results, so there is no wrong
 * one. (`probe/fill` only makes inputs, and any input will do.) The checks of the device have
 * mutants in tests of their own, and so has `core/deal`, which problems as small as these never run.
 * @module
 */
import { parse } from "@std/csv";
import { exitTerms } from "../bench/edge/exit_codes.ts";
import { runCommand } from "../bench/edge/run_command.ts";
import type { Command } from "../bench/flags/flag_table.ts";
import { ADAPTER_FLAG, gpuChoiceOf } from "../bench/flags/measure_flags.ts";
import type { GpuChoice } from "../bench/measure/device/gpu_choice.ts";
import { list, wholeNumber } from "../bench/flags/flag_values.ts";
import { matching } from "../bench/cases/kernel_globs.ts";
import { parseFlags } from "../bench/flags/parse_flags.ts";
import { UsageError } from "../bench/base/usage_error.ts";
import { kernelUsers, problemOf } from "./mutation/kernel_users.ts";
import { MUTANTS, plant } from "./mutation/mutants.ts";
import { stageTests } from "./mutation/kernel_tests.ts";
import { mutateAtRandom } from "./mutation/random.ts";

/** Times do not matter: the main job is to be done soon. */
const BRIEFLY = ["--max-time", "0.2"];

/** A kernel that spins where a sign is wrong must not stop the rest. */
const MOST_MS = 180_000;

const ROOT = `${import.meta.dirname}/..`;

/** Every kernel of a stage with a file, `STAGE/NAME`. */
export function kernelFiles(): string[] {
  const names = (path: string) => Array.from(Deno.readDirSync(path), ({ name }) => name).sort();
  return names(`${ROOT}/kernels`).filter((stage) => !/\.|^(probe|check|core|shared)$/.test(stage))
    .flatMap((
      stage,
    ) =>
      names(`${ROOT}/kernels/${stage}`).filter((file) => file.endsWith(".wgsl"))
        .map((file) => `${stage}/${file.replace(/\.wgsl$/, "")}`)
    );
}

/** What the failed tests of a TAP report said, by the variant that their names begin with. */
export function failures(tap: string): Map<string, string> {
  const found = tap.matchAll(/^not ok \d+ - ([^:\n]+): [^\n]*\n +---\n(.*)$/gm);
  return new Map(Array.from(found, ([, variant, message]) => [variant, message]));
}

/** Why a variant's tests do not count as having caught a mutant; null if they do. */
export function missedByTests(message: string | undefined): string | null {
  if (message === undefined) return "no test failed";
  if (/does not compile|makes no pipeline/.test(message)) return "does not compile";
  return message.includes("relative error") ? null : `failed for another reason: ${message}`;
}

/** Why a variant's row does not count as having caught a mutant; null if it does. */
export function missedByRow(row: Readonly<Record<string, string | undefined>> | undefined) {
  if (row === undefined) return "no row";
  return row.verified === "false" && row.median_us === "" && row.failure !== "" ? null : "verified";
}

async function deno(cwd: string, ...args: string[]) {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args,
    cwd,
    // Mesa's software driver spends most of its time on optimising shaders that run once.
    env: { NO_COLOR: "1", GALLIVM_PERF: "nopt" },
    signal: AbortSignal.timeout(MOST_MS),
  }).output();
  const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  return { code, out, err };
}

/** Kernels that run only where no workgroup may join what others left. */
const JOINING = [
  "merge/join_splits",
  "merge/join_ragged",
  "merge/nsa_gates",
  "select/radix_finish",
];

function benchmark(
  copy: string,
  variants: readonly string[],
  results: string,
  more: readonly string[],
  kernel?: string,
) {
  const problem = problemOf(variants, kernel);
  const flags = [...problem, ...BRIEFLY, "--kernels", variants.join(), "--out", results, ...more];
  return deno(copy, "run", "-A", "--no-check", "bench/run/main.ts", ...flags);
}

/** Runs the tests against the reference; says which variants let the mutant pass, and why. */
async function runTests(
  copy: string,
  kernel: string,
  variants: readonly string[],
): Promise<string[]> {
  const files = stageTests(variants);
  const test = JOINING.includes(kernel)
    ? "computes the same with a hand-over by dispatch"
    // The grid of whole steps is of short sequences; sorting takes several runs to go wrong.
    : "(equals the reference|several blocks and codes that tie)";
  const filter = `/^(${variants.join("|")}): ${test}/`;
  const flags = ["-A", "--no-check", "--reporter=tap", "--filter", filter];
  const { code, out, err } = await deno(copy, "test", ...flags, ...files);
  const failed = failures(out);
  const missed = variants.map((name) => [name, missedByTests(failed.get(name))])
    .filter(([, why]) => why !== null).map(([name, why]) => `${name}: ${why}`);
  return code === 0 && missed.length === 0 ? [`deno test exits 0: ${err}`] : missed;
}

/** Runs the main job; says which variants it does not list as FAILED, and why. */
async function runBench(
  copy: string,
  kernel: string,
  variants: readonly string[],
  more: readonly string[],
): Promise<string[]> {
  if (variants.length === 0) return [];
  const results = await Deno.makeTempDir({ dir: copy, prefix: "results-" });
  const flags = [...more, ...JOINING.includes(kernel) ? ["--hand-over", "dispatch"] : []];
  const { code, out, err } = await benchmark(copy, variants, results, flags, kernel);
  const missed: string[] = [];
  if (code !== 1) missed.push(`exit code ${code}: ${err.trim().split("\n").at(-1)}`);
  if (!err.includes(`FAILED: ${variants.join(", ")}\n`)) missed.push("not said on stderr");
  const rows = parse(await Deno.readTextFile(`${results}/results.csv`), { skipFirstRow: true });
  for (const name of variants) {
    // The names of the table's columns: kernel, stage, median.
    const listed = new RegExp(`^${name} +\\w+ +FAILED`, "m").test(out);
    const why = missedByRow(rows.find(({ kernel }) => kernel === name)) ??
      (listed ? null : "not FAILED in the table");
    if (why !== null) missed.push(`${name}: ${why}`);
  }
  return missed;
}

/** Copies a tree without what git or a package manager keeps there, and without a run's results. */
export function copyTree(
  from: string,
  to: string,
  leftOut = /^(\..*|node_modules|results)$/,
): void {
  Deno.mkdirSync(to, { recursive: true });
  for (const { name, isDirectory, isFile } of Deno.readDirSync(from)) {
    if (leftOut.test(name)) continue;
    // Results of runs lie at the root; bench/results/ is code.
    if (isDirectory) copyTree(`${from}/${name}`, `${to}/${name}`, /^(\..*|node_modules)$/);
    else if (isFile) Deno.copyFileSync(`${from}/${name}`, `${to}/${name}`);
  }
}

/** Whether a run of the main job may have both variants. */
function isAlike(one: string, other: string): boolean {
  return problemOf([one]) === problemOf([other]);
}

/** Plants the kernel's mutant, looks who notices, and takes it out again; says what was missed. */
async function tryMutant(
  copy: string,
  kernel: string,
  users: readonly string[],
  benched: readonly string[],
  more: readonly string[],
) {
  const mutant = MUTANTS.find((mutant) => mutant.kernel === kernel);
  if (!mutant) return ["tools/mutation/mutants.ts has no mutant of it"];
  if (users.length === 0) return ["no variant runs it on this device"];
  const file = `${copy}/kernels/${kernel}.wgsl`;
  const source = await Deno.readTextFile(file);
  try {
    await Deno.writeTextFile(file, plant(source, mutant));
    const [tests, bench] = await Promise.all([
      runTests(copy, kernel, users),
      // One run has one problem: variants of another kind are left to the tests.
      runBench(copy, kernel, benched.filter((name) => isAlike(name, benched[0])), more),
    ]);
    return [...tests.map((why) => `tests: ${why}`), ...bench.map((why) => `bench: ${why}`)];
  } catch (error) {
    return [error instanceof Error ? error.message : String(error)];
  } finally {
    await Deno.writeTextFile(file, source);
  }
}

/** `deno task mutate`. */
export const MUTATE_COMMAND = {
  purpose: "Checks the checks: plants wrong signs in kernels, which tests must catch.",
  usage: "deno task mutate [KERNEL...] [flags]",
  words: ["KERNEL", "mutate these kernels alone: globs such as merge/merge, 'dense/*' or dense"],
  sections: {
    Flags: {
      kernels: { value: "GLOB,..", read: list, help: "the same, as a comma list" },
      random: {
        value: "N",
        read: wholeNumber(1, 1000),
        help: "try N random changes of each kernel on its tests, in place of the chosen one that " +
          "tests and bench must catch; at least 95% must fail a test",
      },
      seed: {
        value: "S",
        read: wholeNumber(0, 0xffffffff),
        help: "which random changes",
        defaultNote: "1",
        needs: { random: "--random" },
      },
      gpu: { ...ADAPTER_FLAG.gpu, help: "the implementation of WebGPU that bench runs on" },
      "dawn-toggles": ADAPTER_FLAG["dawn-toggles"],
      limits: ADAPTER_FLAG.limits,
    },
  },
  notes: [
    "Without --random it works on a copy of the tree, for minutes per kernel on a CPU.",
    "Tests emulate features that the device lacks, such as matrices; bench then leaves the variant " +
    "out, unless --gpu dawn names an implementation that has them.",
    "Random changes that survive are listed; tools/mutation/equivalent_mutants.json holds those that change " +
    "nothing, with the reason.",
    exitTerms("all caught, or with --random 95%", "too many were missed"),
  ],
} as const satisfies Command;

/** What a command line asks for. */
export interface MutateOptions {
  readonly kernels: readonly string[];
  /** Random mutants per kernel; null for the chosen one. */
  readonly random: number | null;
  readonly seed: number;
  /** What the main job runs on. */
  readonly gpu: GpuChoice;
}

/**
 * Reads a command line.
 *
 * @throws {UsageError} one sentence, for a flag or a glob that fits no kernel.
 */
export function readMutateOptions(args: readonly string[]): MutateOptions {
  const { values, words } = parseFlags(MUTATE_COMMAND, args);
  return {
    kernels: chooseKernels([...words, ...values.kernels ?? []]),
    random: values.random,
    seed: values.seed ?? 1,
    gpu: gpuChoiceOf(values),
  };
}

/**
 * The kernels that names or globs fit; all for none.
 *
 * @throws {UsageError} one sentence, for one that fits no kernel.
 */
export function chooseKernels(globs: readonly string[]): string[] {
  const known = kernelFiles().map((name) => ({ name }));
  for (const glob of globs) {
    if (matching(known, [glob]).length > 0) continue;
    const names = known.map(({ name }) => name).join(", ");
    throw new UsageError(`No kernel is called ${glob}; the kernels are ${names}.`);
  }
  return (globs.length > 0 ? matching(known, globs) : known).map(({ name }) => name);
}

async function main(args: readonly string[]): Promise<number> {
  const { kernels, random, seed, gpu } = readMutateOptions(args);
  return random === null
    ? await plantChosen(kernels, gpu)
    : await mutateAtRandom(kernels, random, seed);
}

/** Plants the chosen mutant of each kernel, one after another; returns the exit code. */
async function plantChosen(kernels: readonly string[], gpu: GpuChoice): Promise<number> {
  const known = await kernelUsers();
  const usersOf = (kernel: string) => known.get(kernel)?.variants ?? [];
  const benchedOf = (kernel: string) => {
    const emulated = gpu.gpu === "dawn" ? [] : known.get(kernel)?.emulated ?? [];
    return usersOf(kernel).filter((name) => !emulated.includes(name));
  };
  const toggles = gpu.toggles.length > 0 ? ["--dawn-toggles", gpu.toggles.join()] : [];
  const more = ["--gpu", gpu.gpu, "--limits", gpu.limits, ...toggles];
  const copy = await Deno.makeTempDir({ prefix: "mutate-" });
  let missed = 0;
  try {
    copyTree(ROOT, copy);
    const all = [...new Set(kernels.flatMap(benchedOf))];
    for (const alike of Map.groupBy(all, (name) => problemOf([name])).values()) {
      const results = await Deno.makeTempDir({ dir: copy, prefix: "results-" });
      const { code, err } = await benchmark(copy, alike, results, more);
      if (code !== 0) {
        console.error(`Unchanged, the main job exits ${code} already:\n${err}`);
        return 1;
      }
    }
    for (const kernel of kernels) {
      const begin = performance.now();
      const benched = benchedOf(kernel);
      const whys = await tryMutant(copy, kernel, usersOf(kernel), benched, more);
      missed += Number(whys.length > 0);
      const seconds = `${((performance.now() - begin) / 1000).toFixed(0)} s`.padStart(5);
      const by = benched.length > 0
        ? `tests and bench of ${benched.join(", ")}`
        : `tests of ${usersOf(kernel).join(", ")}, which bench cannot run here`;
      console.log(
        `${kernel.padEnd(28)}${seconds}  ` +
          (whys.length === 0 ? `caught by ${by}` : `MISSED: ${whys.join("; ")}`),
      );
    }
  } finally {
    await Deno.remove(copy, { recursive: true });
  }
  console.log(`${kernels.length - missed} caught, ${missed} missed`);
  return missed > 0 ? 1 : 0;
}

if (import.meta.main) Deno.exit(await runCommand(main, Deno.args, MUTATE_COMMAND));
