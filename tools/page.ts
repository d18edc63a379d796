/**
 * Builds the page that runs the benchmark in a browser: static files for any web server, which load
 * nothing from elsewhere.
 * @module
 */
import { fileURLToPath } from "node:url";
import type { PageBuild } from "../bench/browser/messages.ts";
import { SHIPPED_HEADS } from "../bench/edge/files/shipped_heads.ts";
import { readTuning, SHIPPED_TUNING } from "../bench/edge/files/tuning_file.ts";
import { readRevision, shortDigest } from "../bench/edge/revision.ts";
import { EXIT, exitTerms } from "../bench/edge/exit_codes.ts";
import { UsageError } from "../bench/base/usage_error.ts";
import { systemReason } from "../bench/edge/system_reason.ts";
import { runCommand } from "../bench/edge/run_command.ts";
import type { Command } from "../bench/flags/flag_table.ts";
import { asWritten, wholeNumber } from "../bench/flags/flag_values.ts";
import { parseFlags } from "../bench/flags/parse_flags.ts";
import { STYLE } from "../bench/page/style.ts";
import { bundle } from "./bundle.ts";
import { type FolderServer, serveFolder } from "./serve_folder.ts";

const COMMAND = {
  purpose: "Builds the page that runs the benchmark in a browser, as static files for any web " +
    "server. They load nothing from elsewhere.",
  usage: "deno task page [flags]",
  sections: {
    Flags: {
      out: { value: "DIR", default: "dist/page", read: asWritten, help: "folder to write" },
      serve: { help: "serve the page on localhost until Ctrl-C" },
      port: {
        value: "N",
        default: "8080",
        read: wholeNumber(0, 65535),
        help: "port to serve it on; 0 takes any free one",
        needs: { serve: "--serve" },
      },
    },
  },
  notes: [
    "Browsers offer WebGPU to pages from localhost and over https alone.",
    exitTerms("done", null),
  ],
} as const satisfies Command;

const BROWSER = new URL("../bench/browser/", import.meta.url);
const RESULTS = new URL("../fixtures/results/", import.meta.url);

/**
 * Reads the command line.
 *
 * @throws {UsageError} in one sentence, for the first mistake.
 */
export function parsePageOptions(args: readonly string[]) {
  return parseFlags(COMMAND, args).values;
}

async function main(args: readonly string[]): Promise<number> {
  const { out, serve, port } = parsePageOptions(args);
  await buildPage(out);
  console.log(`Written: ${out}`);
  if (!serve) return EXIT.ok;
  const server = startServer(out, port);
  console.log(`Serving ${server.url} until Ctrl-C`);
  await server.finished;
  return EXIT.ok;
}

function startServer(folder: string, port: number): FolderServer {
  try {
    return serveFolder(folder, port);
  } catch (error) {
    throw new UsageError(`--port ${port} cannot be served: ${systemReason(error)}.`);
  }
}

/** Builds the page into the folder `out`. What else lies there stays. */
export async function buildPage(out: string): Promise<void> {
  for (const folder of ["data", "results"]) {
    Deno.mkdirSync(`${out}/${folder}`, { recursive: true });
  }
  const entry = (name: string) => fileURLToPath(new URL(name, BROWSER));
  await Promise.all([
    bundle(entry("main.ts"), `${out}/page.js`),
    bundle(entry("worker.ts"), `${out}/worker.js`),
  ]);
  Deno.copyFileSync(entry("index.html"), `${out}/index.html`);
  Deno.writeTextFileSync(`${out}/page.css`, STYLE + Deno.readTextFileSync(entry("page.css")));
  for (const head of SHIPPED_HEADS) {
    for (const file of Object.values(head)) {
      Deno.copyFileSync(file, `${out}/data/${dataName(file)}`);
    }
  }
  const build = buildFacts();
  for (const name of build.results) {
    Deno.copyFileSync(new URL(name, RESULTS), `${out}/results/${name}`);
  }
  Deno.writeTextFileSync(`${out}/build.json`, JSON.stringify(build));
}

/** The name of a file of a shipped head: traces and maps lie in two folders. */
function dataName(file: URL): string {
  return file.pathname.split("/").slice(-2).join("-");
}

function buildFacts(): PageBuild {
  const digest = (files: Readonly<Record<string, URL>>) =>
    shortDigest(
      Object.entries(files).map(([name, file]) => [name, Deno.readFileSync(file)] as const),
    );
  const nameOf = (trace: URL) => trace.pathname.split("/").at(-1)!.replace(/\.safetensors$/, "");
  const [first] = SHIPPED_HEADS;
  return {
    ...readRevision(),
    heads: SHIPPED_HEADS.map(({ trace, map, hataMap }) => ({
      name: nameOf(trace),
      trace: dataName(trace),
      map: dataName(map),
      hataMap: dataName(hataMap),
      dataDigest: digest({ trace, map, "hata-map": hataMap }),
    })),
    trace: nameOf(first.trace),
    dataDigest: digest({ trace: first.trace, map: first.map }),
    tuning: readTuning(SHIPPED_TUNING) ?? { entries: [] },
    results: Array.from(Deno.readDirSync(RESULTS), ({ name }) => name)
      .filter((name) => name.endsWith(".csv")).sort(),
  };
}

if (import.meta.main) Deno.exit(await runCommand(main, Deno.args, COMMAND));
