/** Measures in a worker, and reports to the page as it goes. */
import { parseTrace } from "../../fixtures/trace.ts";
import { parseMap } from "../../kernels/maps/map_file.ts";
import { clockText } from "../base/clock_text.ts";
import type { BenchCase, NamedTrace } from "../cases/cases.ts";
import type { Attention } from "../measure/clock/sample_settings.ts";
import { openSession, type Session } from "../measure/session.ts";
import type { RowSink } from "../results/row.ts";
import { planCases, type PlannedCase } from "../runner/dry_run.ts";
import { TimeLeft } from "../runner/estimate.ts";
import { newOutcome, runCases } from "../runner/run_cases.ts";
import { openBrowserAdapter } from "./adapter.ts";
import { fetchBytes } from "./files.ts";
import type { PageBuild, Reply, RunRequest } from "./messages.ts";
import { pageCases, type PageOptions, readPageOptions } from "./presets.ts";

/** The share of a case's memory that its inputs may take; outputs and scratch take the rest. */
const INPUT_SHARE = 0.75;

/** The settings of a session for a request's flags. */
export function settingsOf(
  { noisePct, maxTimeMs, timer, seed }: PageOptions,
  memoryBytes: number,
  { suiteVersion, commit }: PageBuild,
) {
  return {
    hot: false,
    layers: 1,
    noisePct,
    maxTimeMs,
    timer,
    memoryBytes: INPUT_SHARE * memoryBytes,
    seed,
    suiteVersion,
    commit,
  };
}

/** What the page is told of a session that has opened. */
export function sessionReply(
  { facts, inputBytes, timer, notes }: Session,
  settings: ReturnType<typeof settingsOf>,
): Reply {
  return {
    type: "session",
    session: { facts, inputBytes, timer: { kind: timer.kind }, settings },
    notes,
  };
}

/**
 * Runs cases of `bench`.
 *
 * @throws {UsageError | SystemError} in one sentence, if nothing can be measured.
 */
export async function runRequest(
  { args, memoryBytes }: RunRequest,
  build: PageBuild,
  attention: Attention,
  post: (reply: Reply) => void,
): Promise<void> {
  const options = readPageOptions(args);
  const trace = options.quick ? await shippedTrace(build) : undefined;
  const host = await openBrowserAdapter();
  const asked = pageCases(options, trace, host.info.software);
  const startMs = performance.now();
  let begun = 0;
  let timeLeft = new TimeLeft([]);
  const settings = settingsOf(options, memoryBytes, build);
  const session = await openSession(host, {
    ...settings,
    tuning: build.tuning,
    attention,
    onProgress(message, checked) {
      const { fraction, leftMs } = timeLeft.at(begun, checked, performance.now() - startMs);
      post({
        type: "progress",
        message: `about ${clockText(leftMs)} left, ${message}`,
        fraction,
      });
    },
  });
  post(sessionReply(session, settings));
  const device = { ...session, software: host.info.software };
  const planned = planCases(device, asked, settings);
  const { cases, plans, tooLarge } = fitting(asked, planned, memoryBytes);
  timeLeft = new TimeLeft(plans.map(({ estimate }) => estimate));
  const outcome = newOutcome();
  outcome.tooLarge.push(...tooLarge);
  const sink: RowSink = {
    append: (rows, samples = []) => post({ type: "rows", rows, samples }),
  };
  const failure = await runCases(outcome, session, cases, [], sink, (index) => begun = index);
  const { leftOut, tuned, qualities } = outcome;
  post({
    type: "done",
    notes: { leftOut: [...leftOut], tooLarge: outcome.tooLarge, tuned, qualities },
    failure: failure?.message ?? null,
  });
  session.device.destroy();
}

/** The cases whose buffers fit into the memory, and a sentence for each other one. */
export function fitting(
  cases: readonly BenchCase[],
  planned: readonly PlannedCase[],
  memoryBytes: number,
): { cases: BenchCase[]; plans: PlannedCase[]; tooLarge: string[] } {
  const fits = planned.map(({ estimate }) => estimate.memoryBytes <= memoryBytes);
  const gigabytes = (bytes: number) => (bytes / 1e9).toFixed(1);
  return {
    cases: cases.filter((_, i) => fits[i]),
    plans: planned.filter((_, i) => fits[i]),
    tooLarge: planned.filter((_, i) => !fits[i]).map(({ name, estimate }) =>
      `${name} was not started: its buffers would take ${gigabytes(estimate.memoryBytes)} GB, ` +
      `more than the ${gigabytes(memoryBytes)} GB that it may take.`
    ),
  };
}

/** The shipped trace with its map. */
async function shippedTrace(
  { trace: name, dataDigest, heads: [head] }: PageBuild,
): Promise<NamedTrace> {
  const [trace, map] = await Promise.all(
    [head.trace, head.map].map((file) => fetchBytes(`data/${file}`)),
  );
  return { name, dataDigest, trace: parseTrace(trace), learnedMap: parseMap(map) };
}
