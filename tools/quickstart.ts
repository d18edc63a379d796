/**
 * Finds or installs an adapter, then runs the benchmark in its quick profile.
 * @module
 */
import { EXIT } from "../bench/edge/exit_codes.ts";
import { printedHelp } from "../bench/edge/help_or_version.ts";
import type { Command } from "../bench/flags/flag_table.ts";
import { run } from "./process.ts";
import { ensureAdapter } from "./setup.ts";

const COMMAND = {
  purpose:
    "Finds a WebGPU adapter, or installs a software driver, then runs deno task bench --quick.",
  usage: "deno task quickstart [flags]",
  words: [
    "flags",
    "those of deno task bench, such as --out DIR (deno task bench --help lists them)",
  ],
  sections: { Flags: {} },
  notes: [`Exit code: that of bench; ${EXIT.system} where there is no adapter.`],
} as const satisfies Command;

if (printedHelp(Deno.args, COMMAND)) Deno.exit(EXIT.ok);

if (await ensureAdapter() === null) Deno.exit(EXIT.system);

const main = `${import.meta.dirname}/../bench/run/main.ts`;
// Signals are passed on so that the benchmark can close its files. It receives a terminal's Ctrl-C
// twice.
const forward: readonly Deno.Signal[] = Deno.build.os === "windows"
  ? ["SIGINT"]
  : ["SIGINT", "SIGTERM"];
// Flags that only list something allow no other flag.
const profile = Deno.args.some((arg) => /^--list(-adapters)?$/.test(arg)) ? [] : ["--quick"];
Deno.exit(await run([Deno.execPath(), "run", "-A", main, ...profile, ...Deno.args], { forward }));
