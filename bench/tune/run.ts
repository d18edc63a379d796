/** Runs a tuner's jobs one by one, and divides the budget among them. */
import { tuningChecksum } from "../../kernels/core/tuning.ts";
import { SystemError } from "../base/system_error.ts";
import type { TuneLog } from "../edge/files/tune_log.ts";
import { clockText } from "../base/clock_text.ts";
import type { AdapterFacts } from "../measure/device/adapter.ts";
import type { Outcome } from "../tuning/outcome.ts";
import { type Job, JobRecord } from "./job_record.ts";
import type { TuneOptions } from "./options.ts";
import { type JobSettings, runJob } from "./run_job.ts";

/** The settings, the device and the log of a run. */
export interface TuneRun extends JobSettings {
  readonly options: JobSettings["options"] & Pick<TuneOptions, "cases" | "budgetMs">;
  readonly facts: AdapterFacts;
  readonly log: TuneLog;
  readonly onProgress: (message: string, fraction: number) => void;
  /** Called when the job of a kernel has ended. */
  readonly onOutcome: (outcome: Outcome) => void;
}

/** The least time for a job; less would not even open the device. */
const LEAST_MS = 1000;

/** The outcomes of a run. */
export interface TuneResult {
  readonly outcomes: readonly Outcome[];
  /** The failure of the device or the system that ended the run; null if there was none. */
  readonly failure: SystemError | null;
}

/**
 * Tunes every kernel of every case until the device or the system fails. Jobs that are done in the
 * log are not repeated.
 */
export async function runJobs(run: TuneRun): Promise<TuneResult> {
  const { budgetMs } = run.options;
  const jobs = (await jobsOf(run)).map((job) => ({ job, record: new JobRecord(job, run.log) }));
  const begun = performance.now();
  const outcomes: Outcome[] = [];
  let open = jobs.filter(({ record }) => !record.wasDone).length;
  let failure: SystemError | null = null;
  for (const { job, record } of jobs) {
    // A job that was done needs no device.
    if (failure !== null && !record.wasDone) continue;
    const leftMs = budgetMs - (performance.now() - begun);
    // The time that a job does not use goes to the jobs after it.
    const jobMs = record.wasDone ? 0 : Math.max(LEAST_MS, leftMs / open--);
    try {
      const outcome = await runJob(run, job, record, jobMs, (text) => {
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
  const { adapter, driver, backend, compiler } = facts;
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
      compiler,
      case_id: benchCase.caseId,
      kernel: variant.name,
      checksum: await tuningChecksum(variant, benchCase.problem),
    },
  })));
}
