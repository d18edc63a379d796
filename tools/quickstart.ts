/**
 * Finds or installs an adapter, runs the benchmark in its quick profile, and draws error against
 * time.
 * @module
 */
import { EXIT } from "../bench/edge/exit_codes.ts";
import { printedHelp } from "../bench/edge/help_or_version.ts";
import type { Command } from "../bench/flags/flag_table.ts";
import { resultsFolder } from "../bench/flags/results_folder.ts";
import { run } from "./process.ts";
import { ensureAdapter } from "./setup.ts";

const COMMAND = {
  purpose:
    "Finds a WebGPU adapter, or installs a software driver, then runs deno task bench --quick and " +
    "deno task frontier --quick, which share a page.",
  usage: "deno task quickstart [flags]",
  words: [
    "flags",
    "those of deno task bench, such as --out DIR (deno task bench --help lists them)",
  ],
  sections: { Flags: {} },
  notes: [`Exit code: that of bench, then of frontier; ${EXIT.system} where there is no adapter.`],
} as const satisfies Command;

if (printedHelp(Deno.args, COMMAND)) Deno.exit(EXIT.ok);

if (await ensureAdapter() === null) Deno.exit(EXIT.system);

// Signals are passed on so that a command can close its files. It receives a terminal's Ctrl-C
// twice.
const forward: readonly Deno.Signal[] = Deno.build.os === "windows"
  ? ["SIGINT"]
  : ["SIGINT", "SIGTERM"];

/** Runs a command of the suite, and returns its exit code. */
async function runTask(name: string, args: readonly string[]): Promise<number> {
  const main = `${import.meta.dirname}/../bench/${name}/main.ts`;
  return await run([Deno.execPath(), "run", "-A", main, ...args], { forward });
}

/** The values of a flag, written `--name value` or `--name=value`; none if it is not given. */
function valuesOf(name: string): string[] {
  return Deno.args.flatMap((arg, i) => {
    if (arg.startsWith(`--${name}=`)) return [arg.slice(name.length + 3)];
    return arg === `--${name}` && i + 1 < Deno.args.length ? [Deno.args[i + 1]] : [];
  });
}

/** Flags that the commands share, as they were given. */
function shared(...names: readonly string[]): string[] {
  return names.flatMap((name) => valuesOf(name).map((value) => `--${name}=${value}`));
}

// Flags that print something without measuring: those that only list allow no other flag.
const lists = Deno.args.some((arg) => /^--(list(-adapters)?)$/.test(arg));
const prints = Deno.args.some((arg) => /^--(version|dry-run|print-wgsl(=.*)?)$/.test(arg));
if (lists || prints) {
  Deno.exit(await runTask("run", [...lists ? [] : ["--quick"], ...Deno.args]));
}

const given = valuesOf("out").at(-1);
const out = given ?? resultsFolder(new Date());
const folder = given === undefined ? [`--out=${out}`] : [];
const benchCode = await runTask("run", ["--quick", ...Deno.args, ...folder]);
if (benchCode !== EXIT.ok) Deno.exit(benchCode);
console.log("");
const device = shared(
  "gpu",
  "dawn-toggles",
  "limits",
  "adapter",
  "driver",
  "timer",
  "memory",
  "seed",
);
const frontierCode = await runTask("frontier", ["--quick", `--out=${out}`, ...device]);
if (frontierCode === EXIT.ok) {
  // The page of the benchmark takes up the chart.
  const page = [`--frontier=${out}`, `--out=${out}/report.html`, ...shared("peers")];
  Deno.exit(await runTask("report", [out, ...page]));
}
Deno.exit(frontierCode);
