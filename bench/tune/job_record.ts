/** What is known of one kernel and case while they are tuned; what is new is logged at once. */
import type { Params, Variant } from "../../kernels/core/variant.ts";
import type { BenchCase } from "../cases/cases.ts";
import type { TuneLog } from "../edge/files/tune_log.ts";
import { micros } from "../tables/text_table.ts";
import { candidateKey } from "../tuning/candidates.ts";
import { known, type LogEvent, type LogSubject } from "../tuning/log.ts";
import type { Measured, TuneMessage, Unmeasured } from "../tuning/messages.ts";
import { latestOf, type Outcome } from "../tuning/outcome.ts";
import { ranked } from "../tuning/search.ts";

/** A kernel and a case. */
export interface Job {
  readonly benchCase: BenchCase;
  readonly variant: Variant;
  readonly subject: LogSubject;
}

/** The record of a job: begun with what the log has, filled by what its processes say. */
export class JobRecord {
  /** Whether the log says that its turn is over. */
  readonly wasDone: boolean;
  readonly measured: Measured[];
  readonly unmeasured: Unmeasured[] = [];
  /** Why its turn ended before it was over, through no fault of the kernel. */
  gaveUp: string | null = null;
  readonly #job: Job;
  readonly #log: TuneLog;
  #defaults: Params | null;
  #refused: string | null = null;

  constructor(job: Job, log: TuneLog) {
    const { measured, defaults, done } = known(log.lines, job.subject);
    this.wasDone = done;
    this.measured = [...measured];
    this.#defaults = defaults;
    this.#job = job;
    this.#log = log;
  }

  /** Takes a measurement. */
  keep(measured: Measured): void {
    this.measured.push(measured);
    this.#append({ type: "measured", ...measured });
  }

  /** Takes a candidate that could not be measured. */
  leave(unmeasured: Unmeasured): void {
    this.unmeasured.push(unmeasured);
    this.#append({ type: "unmeasured", ...unmeasured });
  }

  /** Takes what a process says of candidates. */
  hear(message: TuneMessage): void {
    if (message.type === "opened") {
      // A process that follows one that hung opens the same.
      if (this.#defaults === null) this.#append(message);
      this.#defaults = message.defaults;
    } else if (message.type === "measured") {
      const { type: _, ...measured } = message;
      this.keep(measured);
    } else if (message.type === "unmeasured") {
      this.leave({ params: message.params, why: message.why });
    } else if (message.type === "refused") this.#refused = message.why;
  }

  /** Ends the job's turn and says what came of it. */
  end(): Outcome {
    const without = this.unmeasured.find(({ params }) => this.#isUsual(params));
    // Nothing can be said to beat defaults that were not measured.
    if (without !== undefined) this.gaveUp ??= `its defaults were not measured: ${without.why}`;
    if (!this.wasDone && this.#refused === null && this.gaveUp === null) {
      this.#append({ type: "done" });
    }
    const { benchCase, variant, subject } = this.#job;
    return {
      benchCase,
      variant,
      subject,
      latest: latestOf(this.measured),
      unmeasured: this.unmeasured,
      defaults: this.#defaults,
      refused: this.#refused,
      gaveUp: this.gaveUp,
    };
  }

  /** How far it is, in a few words. */
  summary(): string {
    const latest = latestOf(this.measured);
    const [best] = ranked(latest);
    if (!best) return `${latest.length} tried`;
    const usual = latest.find(({ params }) => this.#isUsual(params))?.us ?? null;
    const text = usual === null ? "failed" : micros(usual);
    return `${latest.length} tried, best ${micros(best.us)} us (default ${text})`;
  }

  #isUsual(params: Params): boolean {
    return this.#defaults !== null && candidateKey(params) === candidateKey(this.#defaults);
  }

  #append(event: LogEvent): void {
    this.#log.append({ utc: new Date().toISOString(), ...this.#job.subject, ...event });
  }
}
