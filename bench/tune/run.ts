/** Runs a tuner's jobs one by one: a child process each, a log line for each measurement. */
import type { Params, Variant } from "../../kernels/core/variant.ts";
import { tuningChecksum } from "../../kernels/core/tuning.ts";
import type { BenchCase } from "../cases/cases.ts";
import type { AdapterRequest } from "../measure/device/adapter.ts";
import type { AdapterFacts } from "../measure/device/adapter.ts";
import { clockText } from "../edge/progress.ts";
import { SystemError } from "../base/system_error.ts";
import { micros } from "../tables/text_table.ts";
import { candidateKey } from "../tuning/candidates.ts";
import { known, type LogEvent, type LogSubject } from "../tuning/log.ts";
import type { TuneLog } from "../edge/files/tune_log.ts";
import { Losses } from "./losses.ts";
import { failed, type Measured, type TuneMessage, type Unmeasured } from "../tuning/messages.ts";
import type { TuneOptions } from "./options.ts";
import { latestOf, type Outcome } from "../tuning/outcome.ts";
import { BATCH, ranked } from "../tuning/search.ts";
import type { Spawn } from "../edge/child.ts";
import { type ChildEnd, supervise } from "./supervise.ts";

/** What a run works with. */
export interface TuneRun {
  readonly options:
    & Pick<TuneOptions, "cases" | "budgetMs" | "silenceMs" | "memoryBytes">
    & Pick<TuneOptions, "noisePct" | "seed" | "timer">;
  readonly facts: AdapterFacts;
  /** The kind of request that got the adapter; the backend is in the environment. */
  readonly request?: AdapterRequest;
  readonly log: TuneLog;
  /** Starts the child process; tests put another program in its place. */
  readonly spawn: Spawn;
  /** Kills the child when it is aborted. */
  readonly stop?: AbortSignal;
  readonly onProgress: (message: string, fraction: number) => void;
  /** A child says what the user should know, in one sentence. */
  readonly onNote: (note: string) => void;
  /** A kernel's turn is over. */
  readonly onOutcome: (outcome: Outcome) => void;
}

/** A kernel and a case of the run. */
interface Job {
  readonly benchCase: BenchCase;
  readonly variant: Variant;
  readonly subject: LogSubject;
}

/** A kernel that hangs again and again is given up when it has taken this many times its budget. */
const MOST_OVERDRAFT = 3;

/** Less would not even open the device. */
const LEAST_MS = 1000;

/** What came of a run. */
export interface TuneResult {
  readonly outcomes: readonly Outcome[];
  /** What the device or the system failed at, which ended the run; null if nothing. */
  readonly failure: SystemError | null;
}

/**
 * Tunes every kernel of every case until the device or the system fails; those that the log says
 * are done are not begun again.
 */
export async function runJobs(run: TuneRun): Promise<TuneResult> {
  const jobs = await jobsOf(run);
  const begun = performance.now();
  const { budgetMs } = run.options;
  const outcomes: Outcome[] = [];
  const open = jobs.filter(({ subject }) => !known(run.log.lines, subject).done);
  let failure: SystemError | null = null;
  for (const job of jobs) {
    const at = open.indexOf(job);
    // What is done needs no device.
    if (failure !== null && at >= 0) continue;
    const leftMs = budgetMs - (performance.now() - begun);
    // What a job does not use goes to those after it.
    const jobMs = at < 0 ? 0 : Math.max(LEAST_MS, leftMs / (open.length - at));
    try {
      const outcome = await runJob(run, job, jobMs, (text) => {
        const spentMs = performance.now() - begun;
        run.onProgress(`${clockText(budgetMs - spentMs)} left, ${text}`, spentMs / budgetMs);
      });
      outcomes.push(outcome);
      run.onOutcome(outcome);
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      failure = error;
    }
  }
  return { outcomes, failure };
}

async function jobsOf({ options, facts }: TuneRun): Promise<Job[]> {
  const { adapter, driver, backend } = facts;
  const pairs = options.cases.flatMap((benchCase) =>
    benchCase.variants.map((variant) => ({ benchCase, variant }))
  );
  return await Promise.all(pairs.map(async ({ benchCase, variant }) => ({
    benchCase,
    variant,
    subject: {
      adapter,
      driver,
      backend,
      case_id: benchCase.caseId,
      kernel: variant.name,
      checksum: await tuningChecksum(variant, benchCase.problem),
    },
  })));
}

/**
 * Starts children until one is done. A candidate that hangs is marked and not tried again; one that
 * its process ended with is tried again in a fresh process, and left unmeasured if that ends too.
 *
 * @throws {SystemError} if the device cannot be opened, or a child cannot be started.
 */
async function runJob(
  run: TuneRun,
  { benchCase, variant, subject }: Job,
  budgetMs: number,
  tell: (text: string) => void,
): Promise<Outcome> {
  const { options, log } = run;
  const before = known(log.lines, subject);
  const measured: Measured[] = [...before.measured];
  const unmeasured: Unmeasured[] = [];
  let defaults = before.defaults;
  let refused: string | null = null;
  let gaveUp: string | null = null;
  const append = (line: LogEvent) =>
    log.append({ utc: new Date().toISOString(), ...subject, ...line });
  const keep = (each: Measured) => {
    measured.push(each);
    append({ type: "measured", ...each });
  };
  const leave = (each: Unmeasured) => {
    unmeasured.push(each);
    append({ type: "unmeasured", ...each });
  };
  const hear = (message: TuneMessage) => {
    if (message.type === "opened") {
      // A child that follows one that hung opens the same.
      if (defaults === null) append(message);
      defaults = message.defaults;
    } else if (message.type === "measured") {
      const { type: _, ...each } = message;
      keep(each);
    } else if (message.type === "unmeasured") {
      leave({ params: message.params, why: message.why });
    } else if (message.type === "refused") refused = message.why;
    else if (message.type === "note") run.onNote(message.note);
    // A line for each batch is enough where lines are what progress looks like.
    if (message.type === "trying" && message.candidates.length > 1) {
      tell(`${variant.name}: ${summary(latestOf(measured), defaults)}`);
    }
  };
  tell(`${variant.name} for ${benchCase.name}`);
  const begun = performance.now();
  const losses = new Losses();
  let batch = BATCH;
  for (let done = before.done; !done;) {
    const spentMs = performance.now() - begun;
    const already = measured.length;
    const end = await supervise(
      run.spawn,
      {
        kernel: variant.name,
        problem: benchCase.problem,
        known: measured,
        batch,
        seed: options.seed,
        noisePct: options.noisePct,
        timer: options.timer,
        budgetMs: Math.max(1, budgetMs - spentMs),
        memoryBytes: options.memoryBytes,
        leftOut: unmeasured.map(({ params }) => params),
        request: run.request,
      },
      options.silenceMs,
      hear,
      run.stop,
    );
    done = end.how === "done";
    if (done) break;
    const why = reason(end, options.silenceMs);
    if (end.how === "hung" && end.trying.length > 0) {
      // Of several, one alone is to blame: from now on each is timed by itself.
      if (end.trying.length > 1 && batch > 1) batch = 1;
      else for (const params of end.trying) keep(failed(params, why));
    } else {
      const next = losses.note(end, measured.length > already);
      if (next === "end the run") throw new SystemError(`The device cannot be opened: ${why}.`);
      if (next === "give up") gaveUp = why;
      if (next === "apart") batch = 1;
      if (next === "leave") leave({ params: end.trying[0], why: `${why}, twice` });
    }
    if (gaveUp === null && spentMs > MOST_OVERDRAFT * budgetMs) {
      if (end.how === "hung") break;
      gaveUp = `${why}, and its time is over`;
    }
    if (gaveUp !== null) break;
  }
  const usual = defaults === null ? "" : candidateKey(defaults);
  const without = unmeasured.find(({ params }) => candidateKey(params) === usual);
  // Nothing can be said to beat defaults that were not measured.
  if (without !== undefined) gaveUp ??= `its defaults were not measured: ${without.why}`;
  if (!before.done && refused === null && gaveUp === null) append({ type: "done" });
  const latest = latestOf(measured);
  return { benchCase, variant, subject, latest, unmeasured, defaults, refused, gaveUp };
}

function reason({ how, complaint }: ChildEnd, silenceMs: number): string {
  return how === "hung"
    ? `hung: nothing was heard for ${silenceMs / 1000} s`
    : `its process ended: ${complaint.replace(/\.$/, "")}`;
}

function summary(latest: readonly Measured[], defaults: Params | null): string {
  const [best] = ranked(latest);
  if (!best) return `${latest.length} tried`;
  const key = defaults && candidateKey(defaults);
  const usual = latest.find(({ params }) => candidateKey(params) === key)?.us ?? null;
  const text = usual === null ? "failed" : micros(usual);
  return `${latest.length} tried, best ${micros(best.us)} us (default ${text})`;
}
