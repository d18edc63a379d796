/**
 * `deno task bench`: times every stage and the whole sparse step against dense attention. Exits 0
 * if every kernel is verified, 1 if a kernel failed its check, otherwise with a code of
 * `exit_codes.ts`.
 * @module
 */
import { loadMap, SHIPPED_MAP } from "../edge/files/map_file.ts";
import { modelCaveats } from "../../fixtures/models.ts";
import { readTraceFile, SHIPPED_TRACE } from "../edge/files/trace_file.ts";
import { isRotated } from "../../kernels/core/problem/derived.ts";
import type { Tuning } from "../../kernels/core/tuning.ts";
import { adapterChoice, findAdapters, formatAdapters } from "../edge/adapters.ts";
import { type BenchCase, casesOf, type NamedTrace } from "../cases/cases.ts";
import { openSession, type Session } from "../measure/session.ts";
import { counted } from "../base/counted.ts";
import { formatPlan, planCases, readDevice } from "../runner/dry_run.ts";
import { earlierRows } from "../edge/files/earlier_rows.ts";
import { TimeLeft } from "../runner/estimate.ts";
import { EXIT } from "../edge/exit_codes.ts";
import { exitOnSignals } from "../edge/exit_on_signals.ts";
import { BENCH_COMMAND } from "./flags.ts";
import { openAdapter, type OpenOptions } from "../edge/open_adapter.ts";
import { describeAdapter, type OpenedAdapter } from "../measure/device/adapter.ts";
import { type BenchOptions, parseOptions } from "./options.ts";
import { newOutcome, type Outcome, runCases } from "../runner/run_cases.ts";
import { listText, wgslText } from "./print_wgsl.ts";
import type { PeerTime } from "../findings/peers.ts";
import { readPeers } from "../edge/files/read_files.ts";
import { shownPath } from "../edge/files/parse_file.ts";
import { clockText } from "../base/clock_text.ts";
import { createProgress } from "../edge/progress.ts";
import { formatRatios, ratiosCsv } from "../tables/ratio_table.ts";
import { caseTimes } from "../findings/ratios.ts";
import { breakEvens } from "../findings/break_even.ts";
import { promptShares } from "../findings/prompt_share.ts";
import { checkWritable, writeWhole } from "../edge/files/output_file.ts";
import { quickCases } from "../cases/quick.ts";
import { openResults, type ResultsWriter } from "../edge/files/results_writer.ts";
import { commandOf } from "../base/command.ts";
import { readRevision, shortDigest } from "../edge/revision.ts";
import { formatTable } from "../tables/table.ts";
import { terminalWidth } from "../edge/terminal.ts";
import { loadTuning } from "../edge/files/tuning_file.ts";
import type { ResultRow } from "../results/row.ts";
import { runCommand } from "../edge/run_command.ts";
import { SystemError } from "../base/system_error.ts";
import { type GpuPlan, gpuPlan, QUICKSTART_PLAN, verdicts } from "../findings/verdict.ts";
import { writeRun } from "./write_run.ts";

async function main(args: readonly string[]): Promise<number> {
  const options = parseOptions(args);
  if (options.list || options.listAdapters) {
    const width = terminalWidth();
    console.log(
      options.list ? listText(width) : formatAdapters(await findAdapters(options.gpu), width),
    );
    return EXIT.ok;
  }
  const cases = casesOf(options, await readTrace(options));
  const peers = readPeers(options.peers);
  const choice = await adapterChoice(options);
  if (options.printWgsl !== null) {
    const { handOver } = options;
    const device = { adapter: choice, handOver };
    console.log(await wgslText(options.printWgsl, cases[0].problem, device));
    return EXIT.ok;
  }
  const tuning = options.noTuned ? null : loadTuning(options.tuned);
  if (!options.dryRun) return await measureAll(options, cases, peers, { tuning, choice });
  console.log(await planText(options, cases, choice));
  return EXIT.ok;
}

/** The text of `--dry-run`. The flags and the files that they name were checked before. */
async function planText(
  options: BenchOptions,
  asked: readonly BenchCase[],
  choice: OpenOptions,
): Promise<string> {
  const host = await openAdapter({ driver: options.driver, ...choice });
  const cases = casesOn(host, options, asked);
  const device = await readDevice(host, options.handOver);
  const plan = formatPlan(planCases(device, cases, options), options.memoryBytes, terminalWidth());
  return [describeAdapter(host.info), ...caveats(host, options), "", plan].join("\n");
}

/** What a reader of the results must know of the models, and of a flag without effect. */
function caveats({ info }: OpenedAdapter, { models, layers }: BenchOptions): string[] {
  const idle = info.software && layers > 1
    ? ["--layers has no effect on a software adapter: all steps take one set of inputs."]
    : [];
  return [...modelCaveats(models), ...idle];
}

/** The cases to run on an adapter: `--quick` takes fewer of them on a slow software adapter. */
function casesOn(
  { info }: OpenedAdapter,
  { quick }: BenchOptions,
  asked: readonly BenchCase[],
): readonly BenchCase[] {
  return quick ? quickCases(asked, info.software) : asked;
}

async function readTrace(options: BenchOptions): Promise<NamedTrace | undefined> {
  const { quick, trace, traceMap } = options;
  const file = quick ? SHIPPED_TRACE : trace;
  if (file === null) return undefined;
  // A rotation takes the place of a map.
  const map = quick && !isRotated(options) ? SHIPPED_MAP : traceMap;
  const name = shownPath(file).split(/[/\\]/).at(-1)!.replace(/\.safetensors$/, "");
  const read = {
    name,
    trace: await readTraceFile(file),
    ...(map === null ? {} : { learnedMap: await loadMap(map) }),
  };
  const bytes = (path: string | URL | null) => path === null ? null : Deno.readFileSync(path);
  return { ...read, dataDigest: shortDigest([["trace", bytes(file)], ["map", bytes(map)]]) };
}

async function measureAll(
  wanted: BenchOptions,
  asked: readonly BenchCase[],
  peers: readonly PeerTime[],
  { tuning, choice }: { tuning: Tuning | null; choice: OpenOptions },
): Promise<number> {
  const revision = readRevision();
  if (wanted.json !== null) checkWritable(wanted.json);
  const host = await openAdapter({ driver: wanted.driver, ...choice });
  let earlier: readonly ResultRow[] = [];
  const results = openResults(wanted.outDir, {
    fresh: !wanted.outGiven,
    inspect(dir) {
      earlier = earlierRows(dir, revision.commit);
    },
  });
  const options = { ...wanted, outDir: results.dir };
  console.log(describeAdapter(host.info));
  const cases = casesOn(host, options, asked);
  for (const caveat of caveats(host, options)) console.log(caveat);
  const progress = createProgress();
  exitOnSignals(() => {
    progress.clear();
    const saved = counted(results.rows, "new row");
    console.log(
      `Stopped: ${saved} ${results.rows === 1 ? "is" : "are"} saved in ${results.csvPath}; ` +
        `the same command with --out ${results.dir} measures and writes the rest.`,
    );
  });
  const startMs = performance.now();
  let begun = 0;
  const session = await openSession(host, {
    hot: options.hot,
    layers: options.layers,
    noisePct: options.noisePct,
    maxTimeMs: options.maxTimeMs,
    timer: options.timer,
    handOver: options.handOver,
    memoryBytes: options.memoryBytes,
    seed: options.seed,
    ...revision,
    ...(tuning ? { tuning } : {}),
    onProgress(message, checked) {
      const { fraction, leftMs } = timeLeft.at(begun, checked, performance.now() - startMs);
      // The time left comes first, since a narrow terminal cuts the end of the message.
      progress.update(`about ${clockText(leftMs)} left, ${message}`, fraction);
    },
  });
  const device = { ...session, software: host.info.software };
  const planned = planCases(device, cases, options);
  const timeLeft = new TimeLeft(planned.map(({ estimate }) => estimate));

  for (const note of session.notes) console.log(note);
  const outcome = newOutcome();
  const onBegin = (index: number) => begun = index;
  const failure = await runCases(outcome, session, cases, earlier, results, onBegin);
  progress.clear();
  const labels = new Map(cases.map(({ caseId, label }) => [caseId, label]));
  const ratios = caseTimes(outcome.rows, peers, labels);
  const failures = failure === null ? [] : [failure];
  const plan = options.quick ? QUICKSTART_PLAN : gpuPlan(cases, Deno.args);
  const run = { session, results, peers, plan, failures };
  if (ratios.length > 0) {
    await attempt(failures, () => writeWhole(`${results.dir}/ratios.csv`, ratiosCsv(ratios)));
  }
  const code = await report(options, outcome, formatRatios(ratios, terminalWidth()), run);
  // The folder stays locked until all files are written.
  results.close();
  return code;
}

/** A run that has ended. */
interface FinishedRun {
  readonly session: Session;
  readonly results: ResultsWriter;
  readonly peers: readonly PeerTime[];
  readonly plan: GpuPlan;
  /** Failures of the device and the system so far; writing the files may add more. */
  readonly failures: SystemError[];
}

/** Runs `write` and collects its system error, so that the files after it are still written. */
async function attempt(failures: SystemError[], write: () => void | Promise<void>): Promise<void> {
  try {
    await write();
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    failures.push(error);
  }
}

/** Prints the results, writes the JSON file and the page, and returns the exit code. */
async function report(
  { json }: BenchOptions,
  { rows, kept, leftOut, tooLarge, tuned, qualities }: Outcome,
  ratios: string,
  { session, results, peers, plan, failures }: FinishedRun,
): Promise<number> {
  const command = commandOf("bench", Deno.args);
  const measured = rows.filter((row) => row.stage !== "probe").length;
  if (measured > 0) console.log(`\n${formatTable(rows, terminalWidth())}\n`);
  else if (failures.length === 0) console.error("No kernel could run.");
  if (ratios !== "") console.log(`${ratios}\n`);
  for (const note of tuned) console.log(`${note}.`);
  for (const share of promptShares(rows, peers)) console.log(`${share}.`);
  for (const breakEven of breakEvens(rows)) console.log(`${breakEven}.`);
  for (const quality of qualities) console.log(`${quality}.`);
  for (const entry of leftOut) console.error(`Left out: ${entry}.`);
  for (const message of tooLarge) console.error(message);
  if (kept > 0) console.log(`Kept ${counted(kept, "row")} of an earlier run of this commit.`);
  console.log(`Results: ${results.csvPath}`);
  if (json !== null) {
    await attempt(failures, () => {
      writeRun(json, session, rows, results.samplesText());
      console.log(`JSON: ${json}`);
    });
  }
  if (measured > 0) {
    await attempt(failures, async () => {
      // Imported only now, so that none of it runs during a measurement.
      const { reportHtml } = await import("../page/report_html.ts");
      const path = `${results.dir}/report.html`;
      const data = { rows, peers: new Map([[rows[0].adapter, peers]]), quality: [], tuning: [] };
      writeWhole(path, reportHtml({ ...data, plan }, command));
      console.log(`Report: ${path}`);
    });
  }
  for (const verdict of verdicts(rows, plan)) console.log(`\n${verdict}`);
  const failed = new Set(rows.filter((row) => !row.verified).map((row) => row.kernel));
  if (failed.size > 0) console.error(`FAILED: ${[...failed].join(", ")}`);
  if (failures.length > 0) {
    console.error(`${failures.map(({ message }) => message).join(" ")} What is measured is kept.`);
    return EXIT.system;
  }
  if (failed.size > 0) return EXIT.failed;
  return tooLarge.length > 0 || measured === 0 ? EXIT.usage : EXIT.ok;
}

if (import.meta.main) Deno.exit(await runCommand(main, Deno.args, BENCH_COMMAND));
