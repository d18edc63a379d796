/**
 * `deno task frontier`: measures the error and the time of methods of sparse attention, and says
 * which is the fastest for an error. Exits 0 when done and 1 if a step is wrong on this device,
 * otherwise with a code of `exit_codes.ts`.
 * @module
 */
import { checkShape } from "../../kernels/core/problem/check_problem.ts";
import { counted } from "../base/counted.ts";
import { commandOf } from "../base/command.ts";
import { SystemError } from "../base/system_error.ts";
import { UsageError } from "../base/usage_error.ts";
import { adapterChoice } from "../edge/adapters.ts";
import { EXIT } from "../edge/exit_codes.ts";
import { exitOnSignals } from "../edge/exit_on_signals.ts";
import { openFrontier } from "../edge/files/frontier_file.ts";
import { loadMap } from "../edge/files/map_file.ts";
import { writeWhole } from "../edge/files/output_file.ts";
import { shownPath } from "../edge/files/parse_file.ts";
import { SHIPPED_HEADS } from "../edge/files/shipped_heads.ts";
import { readTraceFile } from "../edge/files/trace_file.ts";
import { loadTuning } from "../edge/files/tuning_file.ts";
import { openAdapter } from "../edge/open_adapter.ts";
import { clockText } from "../base/clock_text.ts";
import { createProgress, type Progress } from "../edge/progress.ts";
import { readRevision, shortDigest } from "../edge/revision.ts";
import { runCommand } from "../edge/run_command.ts";
import { frontierSentences, lengthsSentence, pointGroups } from "../findings/frontier.ts";
import { describeAdapter } from "../measure/device/adapter.ts";
import { openSession } from "../measure/session.ts";
import { FRONTIER_COMMAND } from "./flags.ts";
import { type FrontierOptions, parseFrontierOptions } from "./options.ts";
import { type FrontierOutcome, type MappedTrace, runFrontier } from "../frontier_runner/run.ts";
import { truthOf } from "../frontier_runner/truth.ts";
import type { FrontierRow } from "../results/frontier_rows.ts";

async function main(args: readonly string[]): Promise<number> {
  const options = parseFrontierOptions(args);
  const revision = readRevision();
  const progress = createProgress();
  const traces = await readTraces(options, progress);
  const host = await openAdapter({ driver: options.driver, ...await adapterChoice(options) });
  const file = openFrontier(options.outDir, {
    fresh: !options.outGiven,
    commit: revision.commit,
  });
  console.log(describeAdapter(host.info));
  exitOnSignals(() => {
    progress.clear();
    console.log(
      `Stopped: ${counted(file.rows, "new row")} in ${file.path}; the same command goes on.`,
    );
  });
  const session = await openSession(host, {
    hot: false,
    layers: options.layers,
    noisePct: options.noisePct,
    maxTimeMs: options.maxTimeMs,
    timer: options.timer,
    memoryBytes: options.memoryBytes,
    seed: options.seed,
    ...revision,
    tuning: loadTuning(null),
    onProgress: () => {},
  });
  for (const note of session.notes) console.log(note);
  const { methods, budgets, kvLens, shape, windows } = options;
  const measure = () =>
    runFrontier({
      session,
      methods,
      budgets,
      kvLens,
      shape,
      windows,
      traces,
      earlier: file.earlier,
      onRows: file.append,
      onProgress: (message, fraction, leftMs) =>
        progress.update(`about ${clockText(leftMs)} left, ${message}`, fraction),
    });
  const outcome = await measure().finally(() => progress.clear()).catch((error) => {
    if (!(error instanceof SystemError)) throw error;
    throw new SystemError(`${error.message} What is measured is kept in ${file.path}.`, {
      cause: error,
    });
  });
  const code = await report(options, outcome, file);
  file.close();
  return code;
}

/** Reads the traces with their maps, and computes the exact attention of their last queries. */
async function readTraces(options: FrontierOptions, progress: Progress): Promise<MappedTrace[]> {
  const files = options.traces ?? SHIPPED_HEADS.map(({ trace, map, hataMap }) => (
    { trace, maps: { map, "hata-map": hataMap } }
  ));
  const found: MappedTrace[] = [];
  for (const [i, { trace: path, maps }] of files.entries()) {
    const trace = await readTraceFile(path);
    const name = shownPath(path).split(/[/\\]/).at(-1)!.replace(/\.safetensors$/, "");
    checkHeadDim(name, trace.headDim, options);
    if (found.some(({ truth }) => truth.name === name)) {
      throw new UsageError(`--traces names two files that are called ${name}.`);
    }
    const map = maps.map === null ? null : await loadMap(maps.map);
    const hataMap = maps["hata-map"] === null ? null : await loadMap(maps["hata-map"]);
    const bytes = (file: string | URL | null) => file === null ? null : Deno.readFileSync(file);
    const update = (fraction: number) =>
      progress.update(`${name}: exact attention`, (i + fraction) / files.length);
    const truth = await truthOf(name, trace, update).finally(() => progress.clear());
    if (truth === null) {
      throw new UsageError(
        `The trace ${name} has no query in its last quarter, which begins at position ` +
          `${Math.ceil(3 * trace.kvLen / 4)}.`,
      );
    }
    found.push({
      truth,
      maps: { map, "hata-map": hataMap },
      dataDigest: shortDigest([
        ["trace", bytes(path)],
        ["map", bytes(maps.map)],
        ["hata-map", bytes(maps["hata-map"])],
      ]),
    });
  }
  return found;
}

function checkHeadDim(name: string, headDim: number, { shape }: FrontierOptions): void {
  checkShape(shape);
  if (headDim === shape.headDim) return;
  throw new UsageError(
    `The trace ${name} has a head dim of ${headDim}, and --shape one of ${shape.headDim}: an error ` +
      "and a time that stand together are of one head dim.",
  );
}

/** Prints the sentences, writes the figures and the page, and returns the exit code. */
async function report(
  { maxError }: FrontierOptions,
  { rows, kept, leftOut, failures }: FrontierOutcome,
  { dir, path }: { readonly dir: string; readonly path: string },
): Promise<number> {
  for (const reason of leftOut) console.error(`Left out: ${reason}.`);
  if (kept > 0) console.log(`Kept ${counted(kept, "row")} of an earlier run of this commit.`);
  console.log(`Results: ${path}`);
  if (rows.length > 0) await writeFigures(dir, rows, maxError);
  const groups = pointGroups(rows);
  for (const group of groups) {
    console.log("");
    for (const sentence of frontierSentences(group, maxError)) console.log(sentence);
  }
  if (groups.length > 0) console.log(`\n${lengthsSentence(groups.at(-1)!)}`);
  for (const failure of failures) console.error(`FAILED: ${failure}.`);
  if (failures.length > 0) return EXIT.failed;
  return rows.length === 0 ? EXIT.usage : EXIT.ok;
}

async function writeFigures(
  dir: string,
  rows: readonly FrontierRow[],
  maxError: number,
): Promise<void> {
  // Imported only now, so that none of it runs during a measurement.
  const { frontierSvgs } = await import("../chart/frontier_plot.ts");
  const { reportHtml } = await import("../page/report_html.ts");
  for (const [name, svg] of frontierSvgs(rows, maxError)) {
    writeWhole(`${dir}/${name}.svg`, svg);
    console.log(`Figure: ${dir}/${name}.svg`);
  }
  const page = `${dir}/frontier.html`;
  const data = {
    rows: [],
    peers: new Map(),
    quality: [],
    tuning: [],
    frontier: { rows, maxError },
  };
  writeWhole(page, reportHtml(data, commandOf("frontier", Deno.args)));
  console.log(`Page: ${page}`);
}

if (import.meta.main) Deno.exit(await runCommand(main, Deno.args, FRONTIER_COMMAND));
