/** Programs that use the package as others do: each with a lock of its own, installed by npm. */
import { run } from "../process.ts";

const FOLDER = new URL("../../testing/npm/", import.meta.url);

/** Installs and runs the programs of `testing/npm/`. Returns whether all succeeded. */
export async function checkConsumers(): Promise<boolean> {
  const names = Array.from(Deno.readDirSync(FOLDER))
    .filter(({ isDirectory }) => isDirectory).map(({ name }) => name).sort();
  const failed: string[] = [];
  for (const name of names) {
    console.log(`\n== testing/npm/${name}`);
    const npm = ["npm", "--prefix", `${FOLDER.pathname}${name}`];
    const done =
      await run([...npm, "ci", "--no-audit", "--no-fund", "--loglevel", "error"]) === 0 &&
      await run([...npm, "test"]) === 0;
    if (!done) failed.push(name);
  }
  console.log(`\n${names.length - failed.length} passed, ${failed.length} failed`);
  return failed.length === 0;
}
