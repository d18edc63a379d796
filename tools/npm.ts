/**
 * Builds the npm package: one ES module with the WGSL inside, its types, and what npm needs.
 * @module
 */
import config from "../deno.json" with { type: "json" };
import { UsageError } from "../bench/base/usage_error.ts";
import { EXIT, exitTerms } from "../bench/edge/exit_codes.ts";
import { runCommand } from "../bench/edge/run_command.ts";
import type { Command } from "../bench/flags/flag_table.ts";
import { asWritten } from "../bench/flags/flag_values.ts";
import { parseFlags } from "../bench/flags/parse_flags.ts";
import { bundle } from "./bundle.ts";
import { checkConsumers } from "./npm/consumers.ts";
import { PACKAGE_ENTRY, stageSources } from "./npm/stage.ts";
import { writeTypes } from "./npm/types.ts";

const COMMAND = {
  purpose: "Builds the npm package: one ES module with the WGSL inside, and its types.",
  usage: "deno task npm [flags]",
  sections: {
    Flags: {
      out: { value: "DIR", default: "dist/npm", read: asWritten, help: "folder to write" },
      check: {
        help:
          "also install and run the programs that use the package, in testing/npm/ and examples/",
        contradicts: ["out"],
      },
    },
  },
  notes: [exitTerms("done", "a program that uses the package failed")],
} as const satisfies Command;

const ROOT = new URL("../", import.meta.url);
/** Name of the module in the package. */
const MODULE = "hashattention.js";

/**
 * Reads the command line.
 *
 * @throws {UsageError} in one sentence, for the first mistake.
 */
export function parseNpmOptions(args: readonly string[]) {
  return parseFlags(COMMAND, args).values;
}

async function main(args: readonly string[]): Promise<number> {
  const { out, check } = parseNpmOptions(args);
  await buildPackage(out);
  console.log(`Written: ${out}`);
  return check && !await checkConsumers() ? EXIT.failed : EXIT.ok;
}

/** Builds the package into the folder `out`, which is emptied first. */
export async function buildPackage(out: string): Promise<void> {
  emptyFolder(out);
  const staged = await Deno.makeTempDir();
  try {
    const [shaken, plain] = ["shaken", "plain"].map((name) => `${staged}/${name}`);
    stageSources(shaken, true);
    stageSources(plain, false);
    await Promise.all([
      bundle(`${shaken}/${PACKAGE_ENTRY}`, `${out}/${MODULE}`, {
        minify: false,
        config: `${shaken}/deno.json`,
      }),
      writeTypes(plain, `${out}/types`),
    ]);
  } finally {
    await Deno.remove(staged, { recursive: true });
  }
  Deno.writeTextFileSync(`${out}/package.json`, `${JSON.stringify(manifest(), null, 2)}\n`);
  Deno.copyFileSync(new URL("LICENSE", ROOT), `${out}/LICENSE`);
  Deno.copyFileSync(new URL("docs/npm.md", ROOT), `${out}/README.md`);
}

/** An earlier package may have files that this one lacks. Other folders are not emptied. */
function emptyFolder(path: string): void {
  try {
    const names = Array.from(Deno.readDirSync(path), ({ name }) => name);
    if (names.length > 0 && !names.includes(MODULE)) {
      throw new UsageError(`--out ${path} holds other files than a package.`);
    }
    Deno.removeSync(path, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  Deno.mkdirSync(path, { recursive: true });
}

function manifest() {
  const entry = (types: string) => ({ types: `./types/${types}`, default: `./${MODULE}` });
  return {
    name: config.name,
    version: config.version,
    description: "Sparse decode attention (HashAttention) and dense baselines as WebGPU kernels.",
    license: config.license,
    type: "module",
    sideEffects: false,
    exports: { ".": entry("mod.d.ts"), "./kernels": entry("kernels/mod.d.ts") },
    types: "./types/mod.d.ts",
    files: [MODULE, "types"],
    // Float16Array, which maps in f16 need, is the newest thing that it uses.
    engines: { node: ">=24" },
    peerDependencies: { "@webgpu/types": "*" },
    peerDependenciesMeta: { "@webgpu/types": { optional: true } },
  };
}

if (import.meta.main) Deno.exit(await runCommand(main, Deno.args, COMMAND));
