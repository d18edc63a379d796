/**
 * The main job: times every stage and the whole sparse step against dense attention. Exits 0 if all
 * is verified, 1 if a kernel failed its check, else as `exit_codes.ts` says.
 * @module
 */
import { loadMap, SHIPPED_MAP } from "../fixtures/map_file.ts";
import { readTraceFile, SHIPPED_TRACE } from "../fixtures/trace_file.ts";
import { type BenchCase, casesOf, type NamedTrace } from "./cases.ts";
import { type MeasureContext, openContext } from "./context.ts";
import { earlierRows } from "./earlier_rows.ts";
import { EXIT } from "./exit_codes.ts";
import { exitOnSignals } from "./exit_on_signals.ts";
import { HELP } from "./help.ts";
import { describeAdapter, openAdapter } from "./host.ts";
import { type BenchOptions, parseOptions } from "./options.ts";
import { measureCases, newOutcome, type Outcome } from "./outcome.ts";
import { listText, wgslText } from "./print_wgsl.ts";
import { type PeerTime, readPeers } from "./peers.ts";
import { createProgress } from "./progress.ts";
import { formatRatios, ratiosCsv } from "./ratio_table.ts";
import { caseTimes } from "./ratios.ts";
import { promptShares } from "./prompt_share.ts";
import { checkWritable, writeWhole } from "./quality/output_file.ts";
import { openResults, type ResultsWriter } from "./results.ts";
import { commandOf } from "./report/command.ts";
import { readRevision, shortDigest } from "./revision.ts";
import { formatTable } from "./table.ts";
import { loadTuning } from "./tune/tuning_file.ts";
import type { ResultRow } from "./row.ts";
import { runCommand } from "./run_command.ts";
import { SystemError } from "./system_error.ts";
import { writeRun } from "./write_run.ts";

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
  const read = {
    ...{ name, trace: await readTraceFile(file) },
    ...(map === null ? {} : { learnedMap: await loadMap(map) }),
  };
  const bytes = (path: string | URL | null) => path === null ? null : Deno.readFileSync(path);
  return { ...read, dataDigest: shortDigest([["trace", bytes(file)], ["map", bytes(map)]]) };
}

async function measureAll(
  asked: BenchOptions,
  cases: readonly BenchCase[],
  peers: readonly PeerTime[],
): Promise<number> {
  const tuning = asked.noTuned ? null : loadTuning(asked.tuned);
  const revision = readRevision();
  if (asked.json !== null) checkWritable(asked.json);
  const host = await openAdapter({ driver: asked.driver });
  let earlier: readonly ResultRow[] = [];
  const results = openResults(asked.outDir, {
    fresh: !asked.outGiven,
    inspect(dir) {
      earlier = earlierRows(dir, revision.commit);
    },
  });
  const options = { ...asked, outDir: results.dir };
  console.log(describeAdapter(host.info));
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
    ...revision,
    ...(tuning ? { tuning } : {}),
    onProgress: (message, fraction) => progress.update(message, (begun + fraction) / cases.length),
  });

  const outcome = newOutcome();
  const onBegin = (at: number) => begun = at;
  const failure = await measureCases(outcome, context, cases, earlier, results, onBegin);
  progress.clear();
  results.close();
  const labels = new Map(cases.map(({ caseId, label }) => [caseId, label]));
  const ratios = caseTimes(outcome.rows, peers, labels);
  const failures = failure === null ? [] : [failure];
  const run = { context, results, peers, failures };
  if (ratios.length > 0) {
    await attempt(failures, () => writeWhole(`${results.dir}/ratios.csv`, ratiosCsv(ratios)));
  }
  return await report(options, outcome, formatRatios(ratios), run);
}

/** A run that is over. */
interface FinishedRun {
  readonly context: MeasureContext;
  readonly results: ResultsWriter;
  readonly peers: readonly PeerTime[];
  /** What the device and the system failed at; writing the files may add some. */
  readonly failures: SystemError[];
}

/** Writes what can still be written when the system fails at something. */
async function attempt(failures: SystemError[], write: () => void | Promise<void>): Promise<void> {
  try {
    await write();
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    failures.push(error);
  }
}

/** Prints what came of the run, writes it as a page, and returns the exit code. */
async function report(
  { json }: BenchOptions,
  { rows, kept, leftOut, tooLarge, tuned, qualities }: Outcome,
  ratios: string,
  { context, results, peers, failures }: FinishedRun,
): Promise<number> {
  const measured = rows.filter((row) => row.stage !== "probe").length;
  if (measured > 0) console.log(`\n${formatTable(rows)}\n`);
  else if (failures.length === 0) console.error("No kernel could run.");
  if (ratios !== "") console.log(`${ratios}\n`);
  for (const note of tuned) console.log(`${note}.`);
  for (const share of promptShares(rows)) console.log(`${share}.`);
  for (const quality of qualities) console.log(`${quality}.`);
  for (const what of leftOut) console.error(`Left out: ${what}.`);
  for (const what of tooLarge) console.error(what);
  if (kept > 0) console.log(`Kept ${kept} rows of an earlier run of this commit.`);
  console.log(`Results: ${results.csvPath}`);
  if (json !== null) {
    await attempt(failures, () => {
      writeRun(json, context, rows, results.samplesPath);
      console.log(`JSON: ${json}`);
    });
  }
  if (measured > 0) {
    await attempt(failures, async () => {
      // Loaded now, so that nothing of it runs beside a measurement.
      const { writeReport } = await import("./report/write.ts");
      const path = `${results.dir}/report.html`;
      const data = { rows, peers: new Map([[rows[0].adapter, peers]]), quality: [], tuning: [] };
      writeReport(path, data, commandOf("bench", Deno.args));
      console.log(`Report: ${path}`);
    });
  }
  const failed = new Set(rows.filter((row) => !row.verified).map((row) => row.kernel));
  if (failed.size > 0) console.error(`FAILED: ${[...failed].join(", ")}`);
  if (failures.length > 0) {
    console.error(`${failures.map(({ message }) => message).join(" ")} What is measured is kept.`);
    return EXIT.system;
  }
  if (failed.size > 0) return EXIT.failed;
  return tooLarge.length > 0 || measured === 0 ? EXIT.usage : EXIT.ok;
}

if (import.meta.main) Deno.exit(await runCommand(main, Deno.args));
