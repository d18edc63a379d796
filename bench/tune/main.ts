/**
 * Finds the best parameters of kernels on this device: `deno task tune`. Exits 0 when done, 1 if no
 * candidate of a kernel was right, 2 for wrong usage, 130 when stopped.
 * @module
 */
import { modelCaveats } from "../../fixtures/models.ts";
import { adapterChoice } from "../adapters.ts";
import { exitOnSignals } from "../exit_on_signals.ts";
import { helpOrVersion } from "../help_or_version.ts";
import { describeAdapter, openAdapter } from "../host.ts";
import { createProgress } from "../progress.ts";
import { writeWhole } from "../quality/output_file.ts";
import { runCommand } from "../run_command.ts";
import { terminalWidth } from "../text_table.ts";
import { TUNE_HELP } from "./help.ts";
import { openLog } from "./log.ts";
import { parseTuneOptions, type TuneOptions } from "./options.ts";
import { entryOf, formatOutcomes, type Outcome } from "./outcome.ts";
import { runJobs } from "./run.ts";
import { spawnWorker } from "./supervise.ts";
import { readTuning, withEntry, writeTuning } from "./tuning_file.ts";

const EXIT = { ok: 0, failed: 1, usage: 2 } as const;

async function main(args: readonly string[]): Promise<number> {
  const answer = helpOrVersion(args, TUNE_HELP);
  if (answer !== null) {
    console.log(answer);
    return EXIT.ok;
  }
  const options = parseTuneOptions(args);
  const { tunedFile, outDir } = options;
  const kept = readTuning(tunedFile) ?? { entries: [] };
  const choice = await adapterChoice(options.adapter);
  const host = await openAdapter({ driver: options.driver, ...choice });
  const log = openLog(outDir, options.resume);
  writeTuning(tunedFile, kept);
  console.log(describeAdapter(host.info));
  for (const caveat of modelCaveats(options.models)) console.log(caveat);
  const progress = createProgress();
  const stop = new AbortController();
  const notes = new Set<string>();
  exitOnSignals(() => {
    stop.abort();
    progress.clear();
    console.log(`Stopped; go on with --resume --out ${outDir}`);
  });
  const outcomes = await runJobs({
    ...{
      options,
      log,
      facts: host.info,
      request: choice?.request,
      spawn: spawnWorker,
      stop: stop.signal,
    },
    onProgress: progress.update,
    onNote: (note) => notes.add(note),
    onOutcome(outcome) {
      const entry = entryOf(outcome);
      // Read again: another run may have written its own in the meantime.
      const now = readTuning(tunedFile) ?? kept;
      if (entry !== null) writeTuning(tunedFile, withEntry(now, entry));
    },
  });
  progress.clear();
  log.close();
  for (const note of notes) console.log(note);
  await drawHeatMaps(options, outcomes);
  return report(options, outcomes);
}

/** Draws a file for each kernel and case that has both parameters. */
async function drawHeatMaps(
  { heatMap, outDir }: TuneOptions,
  outcomes: readonly Outcome[],
): Promise<void> {
  if (heatMap === null) return;
  // Loaded only where it is wanted: it takes longer to load than all the rest.
  const { heatCells, heatMapSvg } = await import("./heatmap.ts");
  for (const { benchCase, contender, latest } of outcomes) {
    const cells = heatCells(latest, heatMap);
    if (cells.length === 0) continue;
    const path = `${outDir}/${contender.name.replaceAll("/", "-")}-${benchCase.caseId}.svg`;
    writeWhole(path, heatMapSvg(cells, heatMap, `${contender.name}, ${benchCase.name}`));
    console.log(`Written: ${path}`);
  }
}

/** Prints what came of the run and returns its exit code. */
function report({ tunedFile, outDir }: TuneOptions, outcomes: readonly Outcome[]): number {
  const ran = outcomes.filter(({ refused }) => refused === null);
  if (ran.length > 0) console.log(`\n${formatOutcomes(ran, terminalWidth())}\n`);
  else console.error("No kernel could run.");
  for (const { contender, refused } of outcomes) {
    if (refused !== null) console.error(`Left out: ${contender.name}: ${refused}.`);
  }
  console.log(`Log: ${outDir}/tune.jsonl`);
  console.log(`Tuned parameters: ${tunedFile}`);
  const wrong = ran.filter((outcome) => entryOf(outcome) === null);
  if (wrong.length === 0) return ran.length > 0 ? EXIT.ok : EXIT.usage;
  for (const { contender, latest } of wrong) {
    const failure = latest.find((each) => each.failure !== null)?.failure ?? "nothing was measured";
    console.error(`FAILED: ${contender.name}: ${failure}`);
  }
  return EXIT.failed;
}

if (import.meta.main) Deno.exit(await runCommand(main, Deno.args));
