/**
 * Checks the checks: plants one wrong sign in each kernel in turn and demands that the tests of
 * every variant that runs it fail, and that the main job lists each of them as FAILED, leaves its
 * times empty and exits 1. Works on a copy of the tree. Arguments name the kernels to break instead
 * of all (`deno task mutate merge/merge`); exits 1 if any was missed.
 *
 * Probes are left out: they time the device and nobody reads their results, so there is no wrong
 * one. (`probe/fill` only makes inputs, and any input will do.) The checks of the device have
 * mutants in tests of their own.
 * @module
 */
import { parse } from "@std/csv";
import { casesOf } from "../bench/cases/cases.ts";
import { eligible } from "../bench/measure/session.ts";
import { exitTerms } from "../bench/edge/exit_codes.ts";
import { helpOrVersion } from "../bench/edge/help_or_version.ts";
import { matching } from "../bench/cases/kernel_globs.ts";
import { parseCaseOptions } from "../bench/flags/case_flags.ts";
import type { Command } from "../bench/flags/flag_table.ts";
import { helpText } from "../bench/flags/help_text.ts";
import { parseFlags } from "../bench/flags/parse_flags.ts";
import { terminalWidth } from "../bench/edge/terminal.ts";
import { runCommand } from "../bench/edge/run_command.ts";
import { UsageError } from "../bench/base/usage_error.ts";
import { openTestDevice } from "../testing/testing.ts";
import { VARIANTS } from "../kernels/core/registry.ts";
import { MUTANTS, plant } from "./mutants.ts";

/** The main job's problem: long enough for several blocks and runs, so that it runs every kernel. */
const PROBLEM = ["--shape", "4x1x64", "--kv", "5000"];

/** That of a prompt's attention, which a software adapter would be at for minutes. */
const PROMPT_PROBLEM = PROBLEM.with(3, "700");

/** That of a code which the group shares: some variants take no other. */
const SHARED_PROBLEM = [...PROBLEM, "--sharing", "group", "--map", "random"];

/** Times do not matter: the main job is to be done soon. */
const BRIEFLY = ["--max-time", "0.2"];

/** A kernel that spins where a sign is wrong must not stop the rest. */
const MOST_MS = 180_000;

const ROOT = `${import.meta.dirname}/..`;

/** Every kernel with a file, `STAGE/NAME`, but probes and checks of the device. */
export function kernelFiles(): string[] {
  const names = (path: string) => Array.from(Deno.readDirSync(path), ({ name }) => name).sort();
  return names(`${ROOT}/kernels`).filter((stage) => !/\.|^(probe|check|shared)$/.test(stage))
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

/** The problem that shows what variants of one kind do. */
function problemOf(variants: readonly string[]): readonly string[] {
  if (variants.every((name) => name.startsWith("prefill/"))) return PROMPT_PROBLEM;
  return variants.every((name) => name.endsWith("_group")) ? SHARED_PROBLEM : PROBLEM;
}

/** Kernels that run only where no workgroup may join what others left. */
const JOINING = ["merge/join_splits"];

function benchmark(
  copy: string,
  variants: readonly string[],
  results: string,
  more: readonly string[] = [],
) {
  const problem = problemOf(variants);
  const flags = [...problem, ...BRIEFLY, "--kernels", variants.join(), "--out", results, ...more];
  return deno(copy, "run", "-A", "--no-check", "bench/run/main.ts", ...flags);
}

/** Runs the tests against the reference; says which variants let the mutant pass, and why. */
async function runTests(
  copy: string,
  kernel: string,
  variants: readonly string[],
): Promise<string[]> {
  const stages = new Set(variants.map((name) => name.split("/")[0]));
  const files = Array.from(stages, (stage) => `kernels/${stage}/${stage}_test.ts`);
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
): Promise<string[]> {
  const results = await Deno.makeTempDir({ dir: copy, prefix: "results-" });
  const more = JOINING.includes(kernel) ? ["--hand-over", "dispatch"] : [];
  const { code, out, err } = await benchmark(copy, variants, results, more);
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

/**
 * Copies a tree without what git or a package manager keeps there.
 *
 * @param skip Name of an entry at the top that is left out, too.
 */
function copyTree(from: string, to: string, skip?: string): void {
  Deno.mkdirSync(to, { recursive: true });
  for (const { name, isDirectory, isFile } of Deno.readDirSync(from)) {
    if (/^(\..*|node_modules)$/.test(name) || name === skip) continue;
    if (isDirectory) copyTree(`${from}/${name}`, `${to}/${name}`);
    else if (isFile) Deno.copyFileSync(`${from}/${name}`, `${to}/${name}`);
  }
}

/** The variants that run each kernel on this device. */
async function variantsByKernel(): Promise<Map<string, string[]>> {
  const { device, features, limits } = await openTestDevice();
  device.destroy();
  const users = new Map<string, string[]>();
  for (const variant of VARIANTS) {
    const { problem } = casesOf(parseCaseOptions(problemOf([variant.name])))[0];
    if (eligible({ features, limits }, problem, [variant]).able.length === 0) continue;
    const names = (["barrier", "dispatch"] as const).flatMap((handOver) => {
      const params = variant.defaults(problem, { ...limits, handOver });
      return variant.plan(problem, params).dispatches.map(({ kernel }) => kernel.name);
    });
    for (const name of new Set(names)) {
      users.set(name, [...users.get(name) ?? [], variant.name]);
    }
  }
  return users;
}

/** Plants the kernel's mutant, looks who notices, and takes it out again; says what was missed. */
async function tryMutant(copy: string, kernel: string, users: readonly string[]) {
  const mutant = MUTANTS.find((mutant) => mutant.kernel === kernel);
  if (!mutant) return ["tools/mutants.ts has no mutant of it"];
  if (users.length === 0) return ["no variant runs it on this device"];
  const file = `${copy}/kernels/${kernel}.wgsl`;
  const source = await Deno.readTextFile(file);
  try {
    await Deno.writeTextFile(file, plant(source, mutant));
    const [tests, bench] = await Promise.all([
      runTests(copy, kernel, users),
      // One run has one problem: variants of another kind are left to the tests.
      runBench(copy, kernel, users.filter((name) => problemOf([name]) === problemOf([users[0]]))),
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
  purpose: "Checks the checks: plants a wrong sign in each kernel in turn, which tests and bench " +
    "must catch.",
  usage: "deno task mutate [KERNEL...]",
  words: ["KERNEL", "break these kernels alone: globs such as merge/merge, 'dense/*' or dense"],
  sections: { Flags: {} },
  notes: [
    "Works on a copy of the tree, for minutes per kernel on a CPU.",
    exitTerms("all caught", "some were missed"),
  ],
} as const satisfies Command;

/**
 * The kernels to break: those that the command line names, or all.
 *
 * @throws {UsageError} one sentence, for a flag or a glob that fits no kernel.
 */
export function chooseKernels(args: readonly string[]): string[] {
  const known = kernelFiles().map((name) => ({ name }));
  const { words } = parseFlags(MUTATE_COMMAND, args);
  for (const word of words) {
    if (matching(known, [word]).length > 0) continue;
    const names = known.map(({ name }) => name).join(", ");
    throw new UsageError(`No kernel is called ${word}; the kernels are ${names}.`);
  }
  return (words.length > 0 ? matching(known, words) : known).map(({ name }) => name);
}

async function main(args: readonly string[]): Promise<number> {
  const answer = helpOrVersion(args, helpText(MUTATE_COMMAND, terminalWidth()));
  if (answer !== null) {
    console.log(answer);
    return 0;
  }
  const kernels = chooseKernels(args);
  const users = await variantsByKernel();
  const copy = await Deno.makeTempDir({ prefix: "mutate-" });
  let missed = 0;
  try {
    // The folder of results at the top; `bench/results/` is code.
    copyTree(ROOT, copy, "results");
    const all = [...new Set(kernels.flatMap((kernel) => users.get(kernel) ?? []))];
    for (const alike of Map.groupBy(all, (name) => problemOf([name])).values()) {
      const results = await Deno.makeTempDir({ dir: copy, prefix: "results-" });
      const { code, err } = await benchmark(copy, alike, results);
      if (code !== 0) {
        console.error(`Unchanged, the main job exits ${code} already:\n${err}`);
        return 1;
      }
    }
    for (const kernel of kernels) {
      const begin = performance.now();
      const whys = await tryMutant(copy, kernel, users.get(kernel) ?? []);
      missed += Number(whys.length > 0);
      const seconds = `${((performance.now() - begin) / 1000).toFixed(0)} s`.padStart(5);
      const by = users.get(kernel)?.join(", ");
      console.log(
        `${kernel.padEnd(28)}${seconds}  ` +
          (whys.length === 0 ? `caught by tests and bench of ${by}` : `MISSED: ${whys.join("; ")}`),
      );
    }
  } finally {
    await Deno.remove(copy, { recursive: true });
  }
  console.log(`${kernels.length - missed} caught, ${missed} missed`);
  return missed > 0 ? 1 : 0;
}

if (import.meta.main) Deno.exit(await runCommand(main, Deno.args));
