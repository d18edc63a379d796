/** Programs that use the package as others do: each with a lock of its own. */
import { run } from "../process.ts";

const ROOT = new URL("../../", import.meta.url).pathname;

/** How the programs of a folder are installed and run, given the folder of one. */
const FOLDERS: Readonly<Record<string, (path: string) => readonly (readonly string[])[]>> = {
  "testing/npm/": (path) => [
    ["npm", "--prefix", path, "ci", "--no-audit", "--no-fund", "--loglevel", "error"],
    ["npm", "--prefix", path, "test"],
  ],
  "examples/": (path) => [[Deno.execPath(), "task", "--cwd", path, "test"]],
};

/** Installs and runs the programs. Returns whether all succeeded. */
export async function checkConsumers(): Promise<boolean> {
  const counts = { passed: 0, failed: 0 };
  for (const [folder, commandsOf] of Object.entries(FOLDERS)) {
    for (const name of foldersIn(`${ROOT}${folder}`)) {
      console.log(`\n== ${folder}${name}`);
      counts[await runAll(commandsOf(`${ROOT}${folder}${name}`)) ? "passed" : "failed"]++;
    }
  }
  console.log(`\n${counts.passed} passed, ${counts.failed} failed`);
  return counts.failed === 0;
}

function foldersIn(path: string): string[] {
  return Array.from(Deno.readDirSync(path))
    .filter(({ isDirectory }) => isDirectory).map(({ name }) => name).sort();
}

/** Runs the commands up to the first that fails. Returns whether none did. */
async function runAll(commands: readonly (readonly string[])[]): Promise<boolean> {
  for (const command of commands) {
    if (await run(command) !== 0) return false;
  }
  return true;
}
