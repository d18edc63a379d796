/**
 * Runs the set-up, every check and all tests, and continues after a failure. The last line is
 * `N passed, N failed`. Arguments are passed on to `deno test`.
 * @module
 */
import { printedHelp } from "../bench/edge/help_or_version.ts";
import type { Command } from "../bench/flags/flag_table.ts";
import { swiftShader } from "../testing/device/swiftshader.ts";
import { run } from "./process.ts";
import { ensureAdapter } from "./setup.ts";
import { type Counts, runTests } from "./tests.ts";

const COMMAND = {
  purpose:
    "Runs the set-up, then format, lint, type, documentation and publish checks and all tests.",
  usage: "deno task test [flags and files]",
  words: [
    "flags, files",
    "those of deno test, such as --filter NAME or bench/tables/table_test.ts",
  ],
  sections: { Flags: {} },
  notes: ["Exit code: 0 if all passed, else 1."],
} as const satisfies Command;

if (printedHelp(Deno.args, COMMAND)) Deno.exit(0);

const CHECKS: readonly (readonly string[])[] = [
  ["fmt", "--check"],
  ["lint"],
  ["check"],
  ["doc", "--lint", "mod.ts", "kernels/mod.ts"],
  ["publish", "--dry-run", "--allow-dirty"],
];

const total: Counts = { passed: 0, failed: 0 };
const failures: string[] = [];

function count(name: string, { passed, failed }: Counts): void {
  total.passed += passed;
  total.failed += failed;
  if (failed > 0) failures.push(name);
}

function countCheck(name: string, ok: boolean): void {
  count(name, { passed: Number(ok), failed: Number(!ok) });
}

console.log("== set-up");
const adapter = await ensureAdapter();
if (adapter !== null) console.log(adapter);
countCheck("set-up", adapter !== null);

for (const args of CHECKS) {
  const name = `deno ${args.join(" ")}`;
  console.log(`\n== ${name}`);
  countCheck(name, await run([Deno.execPath(), ...args]) === 0);
}

console.log("\n== deno test");
count("deno test", await runTests(Deno.args));

console.log(
  swiftShader() === null
    ? "Dawn: all kernels were compiled, and none ran, since SwiftShader is not installed"
    : "Dawn: all kernels were compiled, and some ran on SwiftShader",
);
console.log("browser tests: not run; deno task test:browser runs them in a Chromium");
if (failures.length > 0) console.log(`Failed: ${failures.join("; ")}`);
console.log(`${total.passed} passed, ${total.failed} failed`);
Deno.exit(total.failed > 0 ? 1 : 0);
