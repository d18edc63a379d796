/**
 * `deno task tune`: finds the best parameters of kernels on this device. Exits 0 when done, 1 if
 * all candidates of a kernel failed, otherwise with a code of `exit_codes.ts`.
 * @module
 */
import { modelCaveats } from "../../fixtures/models.ts";
import { adapterChoice } from "../edge/adapters.ts";
import { EXIT } from "../edge/exit_codes.ts";
import { exitOnSignals } from "../edge/exit_on_signals.ts";
import { openAdapter } from "../edge/open_adapter.ts";
import { describeAdapter } from "../measure/device/adapter.ts";
import { createProgress } from "../edge/progress.ts";
import { runCommand } from "../edge/run_command.ts";
import { terminalWidth } from "../edge/terminal.ts";
import { TUNE_COMMAND } from "./flags.ts";
import { openLog } from "../edge/files/tune_log.ts";
import { parseTuneOptions, type TuneOptions } from "./options.ts";
import { entryOf, formatOutcomes, openReason, standingOf } from "../tuning/outcome.ts";
import { runJobs, type TuneResult } from "./run.ts";
import { spawnWorker } from "./supervise.ts";
import { readTuning, updateTuning, withEntry } from "../edge/files/tuning_file.ts";

async function main(args: readonly string[]): Promise<number> {
  const asked = parseTuneOptions(args);
  const { tunedFile, resume } = asked;
  // A damaged tuning file is refused before a device is opened.
  readTuning(tunedFile);
  const choice = await adapterChoice(asked);
  const host = await openAdapter({ driver: asked.driver, ...choice });
  const log = openLog(asked.outDir, { resume, fresh: !asked.outGiven });
  const options = { ...asked, outDir: log.dir };
  updateTuning(tunedFile, (tuning) => tuning);
  console.log(describeAdapter(host.info));
  for (const caveat of modelCaveats(options.models)) console.log(caveat);
  const progress = createProgress();
  const stop = new AbortController();
  const notes = new Set<string>();
  exitOnSignals(() => {
    stop.abort();
    progress.clear();
    console.log(`Stopped; go on with --resume --out ${log.dir}`);
  });
  const result = await runJobs({
    options,
    log,
    facts: host.info,
    gpu: asked.gpu,
    request: choice.request,
    spawn: spawnWorker,
    stop: stop.signal,
    onProgress: progress.update,
    onNote: (note) => notes.add(note),
    onOutcome(outcome) {
      const entry = entryOf(outcome);
      if (entry !== null) updateTuning(tunedFile, (tuning) => withEntry(tuning, entry));
    },
  });
  progress.clear();
  log.close();
  for (const note of notes) console.log(note);
  return report(options, result);
}

/** Prints the outcomes of the run and returns its exit code. */
function report({ tunedFile, outDir }: TuneOptions, { outcomes, failure }: TuneResult): number {
  const withStanding = (...standings: readonly string[]) =>
    outcomes.filter((outcome) => standings.includes(standingOf(outcome)));
  const ran = withStanding("tuned", "failed", "unfinished");
  if (ran.length > 0) console.log(`\n${formatOutcomes(ran, terminalWidth())}\n`);
  else if (failure === null) console.error("No kernel could run.");
  for (const { variant, refused } of withStanding("refused")) {
    console.error(`Left out: ${variant.name}: ${refused}.`);
  }
  for (const { variant, unmeasured } of withStanding("tuned")) {
    for (const { params, why } of unmeasured) {
      console.error(`Not measured: ${variant.name} ${JSON.stringify(params)}: ${why}.`);
    }
  }
  console.log(`Log: ${outDir}/tune.jsonl`);
  console.log(`Tuned parameters: ${tunedFile}`);
  for (const { variant, latest } of withStanding("failed")) {
    console.error(`FAILED: ${variant.name}: ${latest[0].failure}.`);
  }
  for (const outcome of withStanding("unfinished")) {
    console.error(`Not finished: ${outcome.variant.name}: ${openReason(outcome)}.`);
  }
  if (failure !== null) console.error(failure.message);
  if (failure !== null || withStanding("unfinished").length > 0) {
    console.error(`Go on with --resume --out ${outDir}.`);
    return EXIT.system;
  }
  if (withStanding("failed").length > 0) return EXIT.failed;
  return ran.length > 0 ? EXIT.ok : EXIT.usage;
}

if (import.meta.main) Deno.exit(await runCommand(main, Deno.args, TUNE_COMMAND));
