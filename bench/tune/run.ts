/** Runs a tuner's jobs one by one and shares the budget out over them. */
import { tuningChecksum } from "../../kernels/core/tuning.ts";
import { SystemError } from "../base/system_error.ts";
import type { TuneLog } from "../edge/files/tune_log.ts";
import { clockText } from "../edge/progress.ts";
import type { AdapterFacts } from "../measure/device/adapter.ts";
import type { Outcome } from "../tuning/outcome.ts";
import { type Job, JobRecord } from "./job_record.ts";
import type { TuneOptions } from "./options.ts";
import { type JobSettings, runJob } from "./run_job.ts";

/** What a run works with. */
export interface TuneRun extends JobSettings {
  readonly options: JobSettings["options"] & Pick<TuneOptions, "cases" | "budgetMs">;
  readonly facts: AdapterFacts;
  readonly log: TuneLog;
  readonly onProgress: (message: string, fraction: number) => void;
  /** A kernel's turn is over. */
  readonly onOutcome: (outcome: Outcome) => void;
}

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
  const { budgetMs } = run.options;
  const jobs = (await jobsOf(run)).map((job) => ({ job, record: new JobRecord(job, run.log) }));
  const begun = performance.now();
  const outcomes: Outcome[] = [];
  let open = jobs.filter(({ record }) => !record.wasDone).length;
  let failure: SystemError | null = null;
  for (const { job, record } of jobs) {
    // What is done needs no device.
    if (failure !== null && !record.wasDone) continue;
    const leftMs = budgetMs - (performance.now() - begun);
    // What a job does not use goes to those after it.
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
