/**
 * Runs `deno test` and counts its tests.
 * @module
 */
import { stripVTControlCharacters } from "node:util";

/** Numbers of checks or tests that passed and failed. */
export interface Counts {
  passed: number;
  failed: number;
}

/** Each test file opens its own device, and all devices share one GPU. */
const MOST_FILES_AT_A_TIME = 4;

const SUMMARY = /^(?:ok|FAILED) \| (\d+) passed(?: \([^)]*\))? \| (\d+) failed/gm;

/**
 * Reads the counts in the last summary line of `deno test`. A run that exits with an error but
 * counts no failed test (a crash, or a module that does not load) counts as one failure.
 */
export function countTests(output: string, exitCode: number): Counts {
  const summary = [...stripVTControlCharacters(output).matchAll(SUMMARY)].at(-1);
  const passed = Number(summary?.[1] ?? 0);
  const failed = Number(summary?.[2] ?? 0);
  const broken = summary === undefined || exitCode !== 0;
  return { passed, failed: broken ? Math.max(1, failed) : failed };
}

/**
 * Runs the tests and shows their output as it comes.
 *
 * @param jobs Files that run at a time.
 */
export async function runTests(
  extraArgs: readonly string[],
  jobs = Math.min(MOST_FILES_AT_A_TIME, navigator.hardwareConcurrency),
): Promise<Counts> {
  // Types are checked separately. Files run in parallel, because most tests spend their time in
  // compiling shaders, which uses one core.
  const args = ["test", "-A", "--no-check", "--parallel", ...extraArgs];
  const child = new Deno.Command(Deno.execPath(), {
    args,
    env: {
      DENO_JOBS: String(jobs),
      // A pipe would turn the colours off.
      ...(Deno.stdout.isTerminal() && !Deno.noColor ? { FORCE_COLOR: "1" } : {}),
    },
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  let output = "";
  const decoder = new TextDecoder();
  for await (const chunk of child.stdout) {
    await writeAll(chunk);
    // The summary is at the end, so earlier output is dropped.
    output = (output + decoder.decode(chunk, { stream: true })).slice(-10_000);
  }
  return countTests(output, (await child.status).code);
}

async function writeAll(bytes: Uint8Array): Promise<void> {
  let written = 0;
  while (written < bytes.length) written += await Deno.stdout.write(bytes.subarray(written));
}
