/**
 * Runs `deno test` and counts its tests.
 * @module
 */
import { stripVTControlCharacters } from "node:util";

/** How many checks or tests came out which way. */
export interface Counts {
  passed: number;
  failed: number;
}

/** Each has a device of its own, and all share one GPU. */
const MOST_FILES_AT_A_TIME = 4;

const SUMMARY = /^(?:ok|FAILED) \| (\d+) passed(?: \([^)]*\))? \| (\d+) failed/gm;

/**
 * The counts in the last summary line of `deno test`. A run that exits with an error yet counts no
 * failed test (a crash, a module that does not load) counts as one failure.
 */
export function countTests(output: string, exitCode: number): Counts {
  const summary = [...stripVTControlCharacters(output).matchAll(SUMMARY)].at(-1);
  const passed = Number(summary?.[1] ?? 0);
  const failed = Number(summary?.[2] ?? 0);
  const broken = summary === undefined || exitCode !== 0;
  return { passed, failed: broken ? Math.max(1, failed) : failed };
}

/** Runs the tests with their output live on this terminal. */
export async function runTests(extraArgs: readonly string[]): Promise<Counts> {
  // Types are a check of their own. Files run side by side: most of a test is compiling shaders,
  // which keeps one core busy.
  const args = ["test", "-A", "--no-check", "--parallel", ...extraArgs];
  const child = new Deno.Command(Deno.execPath(), {
    args,
    env: {
      DENO_JOBS: String(Math.min(MOST_FILES_AT_A_TIME, navigator.hardwareConcurrency)),
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
    // The summary stands at the end; the rest need not be kept.
    output = (output + decoder.decode(chunk, { stream: true })).slice(-10_000);
  }
  return countTests(output, (await child.status).code);
}

async function writeAll(bytes: Uint8Array): Promise<void> {
  let written = 0;
  while (written < bytes.length) written += await Deno.stdout.write(bytes.subarray(written));
}
