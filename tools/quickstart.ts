/**
 * Finds or installs an adapter, then runs the main job in its quick profile.
 * @module
 */
import { helpOrVersion } from "../bench/help_or_version.ts";
import { run } from "./process.ts";
import { ensureAdapter } from "./setup.ts";

const HELP = `\
Finds a WebGPU adapter, or installs a software driver, then runs deno task bench --quick.

Usage: deno task quickstart [flags]

  flags       those of deno task bench, such as --out DIR (deno task bench --help lists them)
  --version   print the version, commit and runtime
  --help      print this text

Exit code: that of bench; 1 where there is no adapter.`;

const answer = helpOrVersion(Deno.args, HELP);
if (answer !== null) {
  console.log(answer);
  Deno.exit(0);
}

if (await ensureAdapter() === null) Deno.exit(1);

// A terminal's Ctrl-C reaches the benchmark too, which then closes its files; wait for that.
Deno.addSignalListener("SIGINT", () => {});

const main = `${import.meta.dirname}/../bench/main.ts`;
Deno.exit(await run([Deno.execPath(), "run", "-A", main, "--quick", ...Deno.args]));
