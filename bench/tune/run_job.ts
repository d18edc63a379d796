/** Tunes one kernel for one case: starts measuring processes, one by one, until one is done. */
import { SystemError } from "../base/system_error.ts";
import type { Spawn } from "../edge/child.ts";
import type { AdapterRequest } from "../measure/device/adapter.ts";
import type { GpuChoice } from "../measure/device/gpu_choice.ts";
import { failed, type TuneJob, type TuneMessage } from "../tuning/messages.ts";
import type { Outcome } from "../tuning/outcome.ts";
import { BATCH } from "../tuning/search.ts";
import type { Job, JobRecord } from "./job_record.ts";
import { Losses } from "./losses.ts";
import type { TuneOptions } from "./options.ts";
import { type ChildEnd, supervise } from "./supervise.ts";

/** The settings of every job of a run. */
export interface JobSettings {
  readonly options: Pick<
    TuneOptions,
    "silenceMs" | "memoryBytes" | "noisePct" | "seed" | "timer"
  >;
  /** The request that selects the adapter; the backend is in the environment. */
  readonly request?: AdapterRequest;
  readonly gpu?: GpuChoice;
  /** Starts the child process; tests start another program. */
  readonly spawn: Spawn;
  /** Kills the child when aborted. */
  readonly stop?: AbortSignal;
  /** Called with a sentence for the user from a child. */
  readonly onNote: (note: string) => void;
}

/** A kernel that keeps hanging is given up after this many times its budget. */
const MOST_OVERDRAFT = 3;

/**
 * Starts children until one is done. A candidate that hangs is recorded as failed and not tried
 * again. A candidate whose process ends is tried again in a fresh process, and left unmeasured if
 * that one ends too.
 *
 * @throws {SystemError} if the device cannot be opened, or a child cannot be started.
 */
export async function runJob(
  settings: JobSettings,
  { benchCase, variant }: Job,
  record: JobRecord,
  budgetMs: number,
  onProgress: (text: string) => void,
): Promise<Outcome> {
  const { silenceMs, memoryBytes, noisePct, seed, timer } = settings.options;
  const begun = performance.now();
  const losses = new Losses();
  let batch = BATCH;
  const onMessage = (message: TuneMessage) => {
    record.receive(message);
    if (message.type === "note") settings.onNote(message.note);
    // Progress may be printed in lines: one for each batch is enough.
    if (message.type === "trying" && message.candidates.length > 1) {
      onProgress(`${variant.name}: ${record.summary()}`);
    }
  };
  onProgress(`${variant.name} for ${benchCase.name}`);
  while (!record.wasDone && record.gaveUp === null) {
    const spentMs = performance.now() - begun;
    const measuredBefore = record.measured.length;
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
      gpu: settings.gpu,
      known: record.measured,
      leftOut: record.unmeasured.map(({ params }) => params),
    };
    const end = await supervise(settings.spawn, job, silenceMs, onMessage, settings.stop);
    if (end.how === "done") break;
    const why = reason(end, silenceMs);
    if (end.how === "hung" && end.trying.length > 0) {
      // Only one of several candidates is to blame: from now on each is timed alone.
      if (end.trying.length > 1 && batch > 1) batch = 1;
      else for (const params of end.trying) record.addMeasured(failed(params, why));
    } else {
      const next = losses.note(end, record.measured.length > measuredBefore);
      if (next === "end the run") throw new SystemError(`The device cannot be opened: ${why}.`);
      if (next === "give up") record.gaveUp = why;
      if (next === "apart") batch = 1;
      if (next === "leave") record.addUnmeasured({ params: end.trying[0], why: `${why}, twice` });
    }
    if (record.gaveUp === null && spentMs > MOST_OVERDRAFT * budgetMs) {
      if (end.how === "hung") break;
      record.gaveUp = `${why}, and its time is over`;
    }
  }
  return record.finish();
}

function reason({ how, complaint }: ChildEnd, silenceMs: number): string {
  return how === "hung"
    ? `hung: nothing was heard for ${silenceMs / 1000} s`
    : `its process ended: ${complaint.replace(/\.$/, "")}`;
}
