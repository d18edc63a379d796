/**
 * The main job: times every stage and the whole sparse step against dense attention. Exits 0 if all
 * is verified, 1 if a kernel failed its check, 2 for wrong usage, 130 when stopped.
 * @module
 */
import { loadMap, SHIPPED_MAP } from "../fixtures/map_file.ts";
import { readTraceFile, SHIPPED_TRACE } from "../fixtures/trace_file.ts";
import { findContender } from "../kernels/registry.ts";
import { type BenchCase, casesOf, type NamedTrace } from "./cases.ts";
import { eligible, type MeasureContext, openContext } from "./context.ts";
import { exitOnSignals } from "./exit_on_signals.ts";
import { HELP } from "./help.ts";
import { describeAdapter, openAdapter } from "./host.ts";
import { measureCase } from "./measure.ts";
import { type BenchOptions, parseOptions } from "./options.ts";
import { listText, wgslText } from "./print_wgsl.ts";
import { type PeerTime, readPeers } from "./peers.ts";
import { createProgress } from "./progress.ts";
import { formatRatios, ratiosCsv } from "./ratio_table.ts";
import { caseTimes } from "./ratios.ts";
import { promptShares } from "./prompt_share.ts";
import { openResults, type ResultsWriter } from "./results.ts";
import { commandOf } from "./report/command.ts";
import { readRevision } from "./revision.ts";
import type { ResultRow } from "./row.ts";
import { formatTable } from "./table.ts";
import { loadTuning } from "./tune/tuning_file.ts";
import { describeQuality, measureTrace } from "./trace_case.ts";
import { runCommand } from "./run_command.ts";

const EXIT = { ok: 0, failed: 1, usage: 2 } as const;

async function main(args: readonly string[]): Promise<number> {
  const options = parseOptions(args);
  if (options.help || options.list) {
    console.log(options.help ? HELP : listText());
    return EXIT.ok;
  }
  const cases = casesOf(options, await readTrace(options));
  if (options.printWgsl === null) {
    return await measureAll(options, cases, readPeers(options.peers));
  }
  console.log(await wgslText(options.printWgsl, cases[0].problem));
  return EXIT.ok;
}

async function readTrace(
  { quick, trace, traceMap }: BenchOptions,
): Promise<NamedTrace | undefined> {
  const file = quick ? SHIPPED_TRACE : trace;
  if (file === null) return undefined;
  const map = quick ? SHIPPED_MAP : traceMap;
  const path = file instanceof URL ? file.pathname : file;
  const name = path.split(/[/\\]/).at(-1)!.replace(/\.safetensors$/, "");
  return {
    ...{ name, trace: await readTraceFile(file) },
    ...(map === null ? {} : { learnedMap: await loadMap(map) }),
  };
}

async function measureAll(
  options: BenchOptions,
  cases: readonly BenchCase[],
  peers: readonly PeerTime[],
): Promise<number> {
  const tuning = options.noTuned ? null : loadTuning(options.tuned);
  const host = await openAdapter({ driver: options.driver });
  console.log(describeAdapter(host.info));
  const results = openResults(options.outDir);
  const progress = createProgress();
  exitOnSignals(() => {
    progress.clear();
    console.log(`Stopped: ${results.rows} new rows are saved in ${results.csvPath}`);
  });
  let begun = 0;
  const context = await openContext(host, {
    hot: options.hot,
    noisePct: options.noisePct,
    maxTimeMs: options.maxTimeMs,
    memoryBytes: options.memoryBytes,
    seed: options.seed,
    ...readRevision(),
    ...(tuning ? { tuning } : {}),
    onProgress: (message, fraction) => progress.update(message, (begun + fraction) / cases.length),
  });

  const outcome: Outcome = {
    rows: [],
    leftOut: new Set(),
    tooLarge: [],
    tuned: [],
    qualities: [],
    results,
  };
  for (const benchCase of cases) {
    await measureInto(context, benchCase, outcome);
    begun++;
  }
  progress.clear();
  results.close();
  const labels = new Map(cases.map(({ caseId, label }) => [caseId, label]));
  const ratios = caseTimes(outcome.rows, peers, labels);
  if (ratios.length > 0) Deno.writeTextFileSync(`${options.outDir}/ratios.csv`, ratiosCsv(ratios));
  return await report(options, outcome, formatRatios(ratios), peers);
}

/** What has come of a run so far. */
interface Outcome {
  readonly rows: ResultRow[];
  /** Kernels that this device has no features, room or time for, and why. */
  readonly leftOut: Set<string>;
  /** Cases that this device cannot hold, and why. */
  readonly tooLarge: string[];
  /** Kernels that ran with tuned parameters or whose were stale: a line for each case. */
  readonly tuned: string[];
  /** What the sparse step made of each trace, in a line. */
  readonly qualities: string[];
  readonly results: ResultsWriter;
}

/** Measures one case; one that the device cannot hold must not cost the others. */
async function measureInto(
  context: MeasureContext,
  benchCase: BenchCase,
  to: Outcome,
): Promise<void> {
  const { name, problem, contenders } = benchCase;
  for (const { name, why } of eligible(context, problem, contenders).refused) {
    to.leftOut.add(`${name}: ${why}`);
  }
  const rows: ResultRow[] = [];
  try {
    const slow = await measureCase(context, benchCase, (row, samples) => {
      to.results.append(row);
      if (samples !== null) to.results.appendSamples(samples);
      rows.push(row);
      to.rows.push(row);
    }, (note) => to.tuned.push(`${name}, ${note}`));
    for (const { name, why } of slow) to.leftOut.add(`${name}: ${why}`);
    const quality = await traceQuality(context, benchCase, rows);
    if (quality !== null) to.qualities.push(`${name}: ${quality}`);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    to.tooLarge.push(`${name}: ${error.message}.`);
  }
}

/** What the fastest sparse step that is right keeps of dense attention; null without a trace. */
async function traceQuality(
  { device, facts, limits, settings }: MeasureContext,
  { trace, problem, learnedMap }: BenchCase,
  rows: readonly ResultRow[],
): Promise<string | null> {
  const [fastest] = rows.filter((row) => row.stage === "pipeline" && row.median_us !== null)
    .sort((a, b) => a.median_us! - b.median_us!);
  if (!trace || !fastest) return null;
  const pipeline = findContender(fastest.kernel);
  const options = {
    ...{ seed: settings.seed, unroll: !facts.software },
    ...(learnedMap ? { learnedMap } : {}),
  };
  const quality = await measureTrace(device, limits, trace, problem, pipeline, options);
  return describeQuality(
    pipeline.name,
    learnedMap ? "the learned map" : "a random projection",
    quality,
  );
}

/** Prints what came of the run, writes it as a page, and returns the exit code. */
async function report(
  { outDir }: BenchOptions,
  { rows, leftOut, tooLarge, tuned, qualities, results }: Outcome,
  ratios: string,
  peers: readonly PeerTime[],
): Promise<number> {
  const measured = rows.filter((row) => row.stage !== "probe").length;
  if (measured > 0) console.log(`\n${formatTable(rows)}\n`);
  else console.error("No kernel could run.");
  if (ratios !== "") console.log(`${ratios}\n`);
  for (const note of tuned) console.log(`${note}.`);
  for (const share of promptShares(rows)) console.log(`${share}.`);
  for (const quality of qualities) console.log(`${quality}.`);
  for (const what of leftOut) console.error(`Left out: ${what}.`);
  for (const what of tooLarge) console.error(what);
  console.log(`Results: ${results.csvPath}`);
  if (measured > 0) {
    // Loaded now, so that nothing of it runs beside a measurement.
    const { writeReport } = await import("./report/write.ts");
    const path = `${outDir}/report.html`;
    writeReport(path, { rows, peers, quality: [] }, commandOf("bench", Deno.args));
    console.log(`Report: ${path}`);
  }
  const failed = new Set(rows.filter((row) => !row.verified).map((row) => row.kernel));
  if (failed.size > 0) {
    console.error(`FAILED: ${[...failed].join(", ")}`);
    return EXIT.failed;
  }
  return tooLarge.length > 0 || measured === 0 ? EXIT.usage : EXIT.ok;
}

if (import.meta.main) Deno.exit(await runCommand(main, Deno.args));
