/** Tunes one kernel for one case: processes that measure, one after the other, until one is done. */
import { SystemError } from "../base/system_error.ts";
import type { Spawn } from "../edge/child.ts";
import type { AdapterRequest } from "../measure/device/adapter.ts";
import { failed, type TuneJob, type TuneMessage } from "../tuning/messages.ts";
import type { Outcome } from "../tuning/outcome.ts";
import { BATCH } from "../tuning/search.ts";
import type { Job, JobRecord } from "./job_record.ts";
import { Losses } from "./losses.ts";
import type { TuneOptions } from "./options.ts";
import { type ChildEnd, supervise } from "./supervise.ts";

/** What every job of a run is given. */
export interface JobSettings {
  readonly options: Pick<
    TuneOptions,
    "silenceMs" | "memoryBytes" | "noisePct" | "seed" | "timer"
  >;
  /** The kind of request that got the adapter; the backend is in the environment. */
  readonly request?: AdapterRequest;
  /** Starts the child process; tests put another program in its place. */
  readonly spawn: Spawn;
  /** Kills the child when it is aborted. */
  readonly stop?: AbortSignal;
  /** A child says what the user should know, in one sentence. */
  readonly onNote: (note: string) => void;
}

/** A kernel that hangs again and again is given up when it has taken this many times its budget. */
const MOST_OVERDRAFT = 3;

/**
 * Starts children until one is done. A candidate that hangs is marked and not tried again; one that
 * its process ended with is tried again in a fresh process, and left unmeasured if that ends too.
 *
 * @throws {SystemError} if the device cannot be opened, or a child cannot be started.
 */
export async function runJob(
  settings: JobSettings,
  { benchCase, variant }: Job,
  record: JobRecord,
  budgetMs: number,
  tell: (text: string) => void,
): Promise<Outcome> {
  const { silenceMs, memoryBytes, noisePct, seed, timer } = settings.options;
  const begun = performance.now();
  const losses = new Losses();
  let batch = BATCH;
  const hear = (message: TuneMessage) => {
    record.hear(message);
    if (message.type === "note") settings.onNote(message.note);
    // A line for each batch is enough where lines are what progress looks like.
    if (message.type === "trying" && message.candidates.length > 1) {
      tell(`${variant.name}: ${record.summary()}`);
    }
  };
  tell(`${variant.name} for ${benchCase.name}`);
  while (!record.wasDone && record.gaveUp === null) {
    const spentMs = performance.now() - begun;
    const already = record.measured.length;
    const job: TuneJob = {
      kernel: variant.name,
      problem: benchCase.problem,
      batch,
      budgetMs: Math.max(1, budgetMs - spentMs),
      memoryBytes,
      noisePct,
      seed,
      timer,
      request: settings.request,
      known: record.measured,
      leftOut: record.unmeasured.map(({ params }) => params),
    };
    const end = await supervise(settings.spawn, job, silenceMs, hear, settings.stop);
    if (end.how === "done") break;
    const why = reason(end, silenceMs);
    if (end.how === "hung" && end.trying.length > 0) {
      // Of several, one alone is to blame: from now on each is timed by itself.
      if (end.trying.length > 1 && batch > 1) batch = 1;
      else for (const params of end.trying) record.keep(failed(params, why));
    } else {
      const next = losses.note(end, record.measured.length > already);
      if (next === "end the run") throw new SystemError(`The device cannot be opened: ${why}.`);
      if (next === "give up") record.gaveUp = why;
      if (next === "apart") batch = 1;
      if (next === "leave") record.leave({ params: end.trying[0], why: `${why}, twice` });
    }
    if (record.gaveUp === null && spentMs > MOST_OVERDRAFT * budgetMs) {
      if (end.how === "hung") break;
      record.gaveUp = `${why}, and its time is over`;
    }
  }
  return record.end();
}

function reason({ how, complaint }: ChildEnd, silenceMs: number): string {
  return how === "hung"
    ? `hung: nothing was heard for ${silenceMs / 1000} s`
    : `its process ended: ${complaint.replace(/\.$/, "")}`;
}
