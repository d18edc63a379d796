/** Runs a tuner's jobs one by one: a child process each, a log line for each measurement. */
import type { Contender, Params } from "../../kernels/contender.ts";
import { tuningChecksum } from "../../kernels/tuning.ts";
import type { BenchCase } from "../cases.ts";
import type { AdapterFacts, AdapterRequest } from "../host.ts";
import { clockText } from "../progress.ts";
import { micros } from "../text_table.ts";
import { candidateKey } from "./candidates.ts";
import { BATCH } from "./halving.ts";
import { known, type LogSubject, type TuneLog } from "./log.ts";
import { failed, type Measured, type TuneMessage } from "./messages.ts";
import type { TuneOptions } from "./options.ts";
import { latestOf, type Outcome } from "./outcome.ts";
import { jobBudgetMs, shareOf } from "./schedule.ts";
import { ranked } from "./strategies.ts";
import { type ChildEnd, type Spawn, supervise } from "./supervise.ts";

/** What a run works with. */
export interface TuneRun {
  readonly options:
    & Pick<TuneOptions, "cases" | "budgetMs" | "strategy" | "silenceMs" | "memoryBytes">
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
  readonly contender: Contender;
  readonly subject: LogSubject;
}

/** A kernel that hangs again and again is given up when it has taken this many times its budget. */
const MOST_OVERDRAFT = 3;

/** Tunes every kernel of every case; those that the log says are done are not begun again. */
export async function runJobs(run: TuneRun): Promise<Outcome[]> {
  const jobs = await jobsOf(run);
  const begun = performance.now();
  const { budgetMs } = run.options;
  const outcomes: Outcome[] = [];
  const open = jobs.filter(({ subject }) => !known(run.log.lines, subject).done);
  for (const job of jobs) {
    const at = open.indexOf(job);
    const leftMs = budgetMs - (performance.now() - begun);
    const shares = open.slice(at).map(({ contender }) => shareOf(contender));
    const jobMs = at < 0 ? 0 : jobBudgetMs(leftMs, shares);
    const outcome = await runJob(run, job, jobMs, (text) => {
      const spentMs = performance.now() - begun;
      run.onProgress(`${clockText(budgetMs - spentMs)} left, ${text}`, spentMs / budgetMs);
    });
    outcomes.push(outcome);
    run.onOutcome(outcome);
  }
  return outcomes;
}

async function jobsOf({ options, facts }: TuneRun): Promise<Job[]> {
  const { adapter, driver, backend } = facts;
  const pairs = options.cases.flatMap((benchCase) =>
    benchCase.contenders.map((contender) => ({ benchCase, contender }))
  );
  return await Promise.all(pairs.map(async ({ benchCase, contender }) => ({
    ...{ benchCase, contender },
    subject: {
      ...{ adapter, driver, backend, case_id: benchCase.caseId, kernel: contender.name },
      checksum: await tuningChecksum(contender, benchCase.problem),
    },
  })));
}

/** Starts children until one is done; a candidate that ended one is marked and not tried again. */
async function runJob(
  run: TuneRun,
  { benchCase, contender, subject }: Job,
  budgetMs: number,
  tell: (text: string) => void,
): Promise<Outcome> {
  const { options, log } = run;
  const before = known(log.lines, subject);
  const measured: Measured[] = [...before.measured];
  let defaults = before.defaults;
  let refused: string | null = null;
  const keep = (each: Measured) => {
    measured.push(each);
    log.append({ utc: new Date().toISOString(), ...subject, type: "measured", ...each });
  };
  const hear = (message: TuneMessage) => {
    if (message.type === "opened") {
      // A child that follows one that hung opens the same.
      if (defaults === null) log.append({ utc: new Date().toISOString(), ...subject, ...message });
      defaults = message.defaults;
    } else if (message.type === "measured") {
      const { type: _, ...each } = message;
      keep(each);
    } else if (message.type === "refused") refused = message.why;
    else if (message.type === "note") run.onNote(message.note);
    // A line for each batch is enough where lines are what progress looks like.
    if (message.type === "trying" && message.candidates.length > 1) {
      tell(`${contender.name}: ${summary(latestOf(measured), defaults)}`);
    }
  };
  tell(`${contender.name} for ${benchCase.name}`);
  const begun = performance.now();
  let batch = BATCH;
  for (let done = before.done; !done;) {
    const spentMs = performance.now() - begun;
    const end = await supervise(
      run.spawn,
      {
        ...{ kernel: contender.name, problem: benchCase.problem, known: measured, batch },
        ...{ strategy: options.strategy, seed: options.seed, noisePct: options.noisePct },
        timer: options.timer,
        ...{ budgetMs: Math.max(1, budgetMs - spentMs), memoryBytes: options.memoryBytes },
        request: run.request,
      },
      options.silenceMs,
      hear,
      run.stop,
    );
    done = end.how === "done";
    if (done) break;
    if (end.trying.length === 0 && measured.length === 0) {
      refused = `its process ended before it tried anything: ${end.complaint || end.how}`;
      break;
    }
    // Of several, one alone is to blame: from now on each is timed by itself.
    if (end.trying.length > 1 && batch > 1) batch = 1;
    else for (const params of end.trying) keep(failed(params, reason(end, options.silenceMs)));
    if (end.trying.length === 0 || spentMs > MOST_OVERDRAFT * budgetMs) break;
  }
  if (!before.done && refused === null) {
    log.append({ utc: new Date().toISOString(), ...subject, type: "done" });
  }
  return { benchCase, contender, subject, latest: latestOf(measured), defaults, refused };
}

function reason({ how, complaint }: ChildEnd, silenceMs: number): string {
  return how === "hung"
    ? `hung: nothing was heard for ${silenceMs / 1000} s`
    : `ended the process: ${complaint}`;
}

function summary(latest: readonly Measured[], defaults: Params | null): string {
  const [best] = ranked(latest);
  if (!best) return `${latest.length} tried`;
  const key = defaults && candidateKey(defaults);
  const usual = latest.find(({ params }) => candidateKey(params) === key)?.us ?? null;
  const text = usual === null ? "failed" : micros(usual);
  return `${latest.length} tried, best ${micros(best.us)} us (default ${text})`;
}
