/**
 * Finds or installs an adapter, then runs the main job in its quick profile.
 * @module
 */
import { EXIT } from "../bench/exit_codes.ts";
import { run } from "./process.ts";
import { ensureAdapter } from "./setup.ts";

if (await ensureAdapter() === null) Deno.exit(EXIT.system);

const main = `${import.meta.dirname}/../bench/main.ts`;
// The benchmark is told to stop, and closes its files; a terminal's Ctrl-C reaches it a second time.
const forward: readonly Deno.Signal[] = Deno.build.os === "windows"
  ? ["SIGINT"]
  : ["SIGINT", "SIGTERM"];
Deno.exit(await run([Deno.execPath(), "run", "-A", main, "--quick", ...Deno.args], { forward }));
