/**
 * Runs the tests in a browser. They need a Chromium, and nothing is installed for them.
 * @module
 */
import { EXIT } from "../bench/edge/exit_codes.ts";
import { runCommand } from "../bench/edge/run_command.ts";
import type { Command } from "../bench/flags/flag_table.ts";
import { findChromium } from "../testing/browser/chromium.ts";
import { runTests } from "./tests.ts";

const COMMAND = {
  purpose:
    "Runs the tests of the page and of the npm package in a Chromium. The variable CHROMIUM may " +
    "name it.",
  usage: "deno task test:browser [flags]",
  words: ["flags", "those of deno test, such as --filter NAME"],
  sections: { Flags: {} },
  notes: [
    "Debian and Ubuntu have a Chromium as a package: apt-get install chromium. Its software " +
    "adapter is enough.",
    `Exit code: 0 if all passed, 1 if a test failed, ${EXIT.system} without a Chromium.`,
  ],
} as const satisfies Command;

const TESTS = new URL("../testing/browser/", import.meta.url);

async function main(args: readonly string[]): Promise<number> {
  if (findChromium() === null) {
    console.error("No Chromium was found; on Debian and Ubuntu, apt-get install chromium.");
    return EXIT.system;
  }
  const files = Array.from(Deno.readDirSync(TESTS), ({ name }) => name)
    .filter((name) => name.endsWith(".browser.ts"))
    .map((name) => `${import.meta.dirname}/../testing/browser/${name}`);
  // Browsers side by side would take each other's time.
  const { passed, failed } = await runTests([...args, ...files.sort()], 1);
  console.log(`${passed} passed, ${failed} failed`);
  return failed > 0 ? EXIT.failed : EXIT.ok;
}

if (import.meta.main) Deno.exit(await runCommand(main, Deno.args, COMMAND));
