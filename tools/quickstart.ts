/**
 * Finds or installs an adapter, then runs the main job in its quick profile.
 * @module
 */
import { run } from "./process.ts";
import { ensureAdapter } from "./setup.ts";

if (await ensureAdapter() === null) Deno.exit(1);

// A terminal's Ctrl-C reaches the benchmark too, which then closes its files; wait for that.
Deno.addSignalListener("SIGINT", () => {});

const main = `${import.meta.dirname}/../bench/main.ts`;
Deno.exit(await run([Deno.execPath(), "run", "-A", main, "--quick", ...Deno.args]));
