/**
 * The main job: times every stage and the whole sparse step against dense attention. Exits 0 if all
 * is verified, 1 if a kernel failed its check, 2 for wrong usage, 130 when stopped.
 * @module
 */
import { loadMap, SHIPPED_MAP } from "../fixtures/map_file.ts";
import { readTraceFile, SHIPPED_TRACE } from "../fixtures/trace_file.ts";
import { type BenchCase, casesOf, type NamedTrace } from "./cases.ts";
import { openContext } from "./context.ts";
import { earlierRows } from "./earlier_rows.ts";
import { exitOnSignals } from "./exit_on_signals.ts";
import { HELP } from "./help.ts";
import { describeAdapter, openAdapter } from "./host.ts";
import { type BenchOptions, parseOptions } from "./options.ts";
import { measureInto, newOutcome, type Outcome } from "./outcome.ts";
import { listText, wgslText } from "./print_wgsl.ts";
import { type PeerTime, readPeers } from "./peers.ts";
import { createProgress } from "./progress.ts";
import { formatRatios, ratiosCsv } from "./ratio_table.ts";
import { caseTimes } from "./ratios.ts";
import { promptShares } from "./prompt_share.ts";
import { checkWritable } from "./quality/output_file.ts";
import { quickCases } from "./quick.ts";
import { openResults } from "./results.ts";
import { commandOf } from "./report/command.ts";
import { readRevision, shortDigest } from "./revision.ts";
import { formatTable } from "./table.ts";
import { loadTuning } from "./tune/tuning_file.ts";
import { runCommand } from "./run_command.ts";
import { gpuPlan, verdicts } from "./verdict.ts";
import { writeRun } from "./write_run.ts";

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
  const read = {
    ...{ name, trace: await readTraceFile(file) },
    ...(map === null ? {} : { learnedMap: await loadMap(map) }),
  };
  const bytes = (path: string | URL | null) => path === null ? null : Deno.readFileSync(path);
  return { ...read, dataDigest: shortDigest([["trace", bytes(file)], ["map", bytes(map)]]) };
}

async function measureAll(
  options: BenchOptions,
  asked: readonly BenchCase[],
  peers: readonly PeerTime[],
): Promise<number> {
  const tuning = options.noTuned ? null : loadTuning(options.tuned);
  const revision = readRevision();
  if (options.json !== null) checkWritable(options.json);
  const earlier = earlierRows(options.outDir, revision.commit);
  const host = await openAdapter({ driver: options.driver });
  console.log(describeAdapter(host.info));
  const cases = options.quick ? quickCases(asked, host.info.software) : asked;
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
    timer: options.timer,
    memoryBytes: options.memoryBytes,
    seed: options.seed,
    ...revision,
    ...(tuning ? { tuning } : {}),
    onProgress: (message, fraction) => progress.update(message, (begun + fraction) / cases.length),
  });

  if (context.timer.note !== null) console.log(context.timer.note);
  const outcome = newOutcome();
  for (const benchCase of cases) {
    await measureInto(outcome, context, benchCase, earlier, results);
    begun++;
  }
  progress.clear();
  results.close();
  const labels = new Map(cases.map(({ caseId, label }) => [caseId, label]));
  const ratios = caseTimes(outcome.rows, peers, labels);
  if (ratios.length > 0) Deno.writeTextFileSync(`${options.outDir}/ratios.csv`, ratiosCsv(ratios));
  if (options.json !== null) writeRun(options.json, context, outcome.rows, results.samplesPath);
  return await report(options, outcome, results.csvPath, formatRatios(ratios), peers);
}

/** Prints what came of the run, writes it as a page, and returns the exit code. */
async function report(
  { outDir, json, quick }: BenchOptions,
  { rows, kept, leftOut, tooLarge, tuned, qualities }: Outcome,
  csvPath: string,
  ratios: string,
  peers: readonly PeerTime[],
): Promise<number> {
  const command = commandOf("bench", Deno.args);
  const plan = gpuPlan(rows, quick ? null : command);
  const measured = rows.filter((row) => row.stage !== "probe").length;
  if (measured > 0) console.log(`\n${formatTable(rows)}\n`);
  else console.error("No kernel could run.");
  if (ratios !== "") console.log(`${ratios}\n`);
  for (const note of tuned) console.log(`${note}.`);
  for (const share of promptShares(rows, peers)) console.log(`${share}.`);
  for (const quality of qualities) console.log(`${quality}.`);
  for (const what of leftOut) console.error(`Left out: ${what}.`);
  for (const what of tooLarge) console.error(what);
  if (kept > 0) console.log(`Kept ${kept} rows of an earlier run of this commit.`);
  console.log(`Results: ${csvPath}`);
  if (json !== null) console.log(`JSON: ${json}`);
  if (measured > 0) {
    // Loaded now, so that nothing of it runs beside a measurement.
    const { writeReport } = await import("./report/write.ts");
    const path = `${outDir}/report.html`;
    const data = { rows, peers: new Map([[rows[0].adapter, peers]]), quality: [], tuning: [] };
    writeReport(path, { ...data, plan }, command);
    console.log(`Report: ${path}`);
  }
  for (const verdict of verdicts(rows, plan)) console.log(`\n${verdict}`);
  const failed = new Set(rows.filter((row) => !row.verified).map((row) => row.kernel));
  if (failed.size > 0) {
    console.error(`FAILED: ${[...failed].join(", ")}`);
    return EXIT.failed;
  }
  return tooLarge.length > 0 || measured === 0 ? EXIT.usage : EXIT.ok;
}

if (import.meta.main) Deno.exit(await runCommand(main, Deno.args));
