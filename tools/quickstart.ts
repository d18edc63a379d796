/**
 * Finds or installs an adapter, then runs the main job in its quick profile.
 * @module
 */
import { EXIT } from "../bench/exit_codes.ts";
import { run } from "./process.ts";
import { ensureAdapter } from "./setup.ts";

if (await ensureAdapter() === null) Deno.exit(EXIT.system);

// A terminal's Ctrl-C reaches the benchmark too, which then closes its files; wait for that.
Deno.addSignalListener("SIGINT", () => {});

const main = `${import.meta.dirname}/../bench/main.ts`;
Deno.exit(await run([Deno.execPath(), "run", "-A", main, "--quick", ...Deno.args]));
