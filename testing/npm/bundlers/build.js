// Bundles the package with esbuild and vite, and checks what a page would load.
import { gzipSync } from "node:zlib";
import { mkdirSync, writeFileSync } from "node:fs";
import { build as esbuild } from "esbuild";
import { build as vite } from "vite";

/**
 * Most bytes of each entry, compressed, in units of 1,024. The first is what a page should load, the
 * second the most that an engine can need: all steps. The last also has what only a comparison needs:
 * prompt attention, other systems, which are 20 of it, and the references of all kernels.
 */
const LIMITS = { decoder: 35, every_step: 61, everything: 100 };

async function withEsbuild(name) {
  const { outputFiles: [file] } = await esbuild({
    entryPoints: [`${name}.js`],
    bundle: true,
    minify: true,
    format: "esm",
    write: false,
    logLevel: "error",
  });
  return file.text;
}

async function withVite(name) {
  const result = await vite({
    logLevel: "error",
    configFile: false,
    build: {
      write: false,
      target: "esnext",
      minify: true,
      modulePreload: false,
      rollupOptions: { input: `${name}.js`, preserveEntrySignatures: "strict" },
    },
  });
  return [result].flat()[0].output[0].code;
}

let failed = false;
for (const [name, limit] of Object.entries(LIMITS)) {
  for (const [bundler, bundle] of Object.entries({ esbuild: withEsbuild, vite: withVite })) {
    const text = await bundle(name);
    const kilobytes = gzipSync(text, { level: 9 }).length / 1024;
    console.log(`${name}, ${bundler}: ${kilobytes.toFixed(1)} kB of at most ${limit}, compressed`);
    if (kilobytes > limit) failed = true;
    mkdirSync("out", { recursive: true });
    writeFileSync(`out/${name}.${bundler}.js`, text);
  }
}
if (failed) throw new Error("a bundle is too large");
