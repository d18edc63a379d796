/** The measurements of one kernel and case while it is tuned; new ones are logged at once. */
import type { Params } from "../../kernels/core/problem/constants.ts";
import type { Variant } from "../../kernels/core/variant.ts";
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

/** The record of a job: begins with the lines of the log, and takes messages of its processes. */
export class JobRecord {
  /** Whether the job was already done in the log. */
  readonly wasDone: boolean;
  readonly measured: Measured[];
  readonly unmeasured: Unmeasured[] = [];
  /** The reason if the job was given up through no fault of the kernel; null otherwise. */
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

  /** Adds a measurement. */
  addMeasured(measured: Measured): void {
    this.measured.push(measured);
    this.#append({ type: "measured", ...measured });
  }

  /** Adds a candidate that could not be measured. */
  addUnmeasured(unmeasured: Unmeasured): void {
    this.unmeasured.push(unmeasured);
    this.#append({ type: "unmeasured", ...unmeasured });
  }

  /** Handles a message of a measuring process. */
  receive(message: TuneMessage): void {
    if (message.type === "opened") {
      // A process that follows a hung one sends the same defaults again.
      if (this.#defaults === null) this.#append(message);
      this.#defaults = message.defaults;
    } else if (message.type === "measured") {
      const { type: _, ...measured } = message;
      this.addMeasured(measured);
    } else if (message.type === "unmeasured") {
      this.addUnmeasured({ params: message.params, why: message.why });
    } else if (message.type === "refused") this.#refused = message.why;
  }

  /** Ends the job and returns its outcome. */
  finish(): Outcome {
    const unmeasuredDefaults = this.unmeasured.find(({ params }) => this.#isDefaults(params));
    // Without a time of the defaults no candidate can be shown to beat them.
    if (unmeasuredDefaults !== undefined) {
      this.gaveUp ??= `its defaults were not measured: ${unmeasuredDefaults.why}`;
    }
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

  /** The progress, in a few words. */
  summary(): string {
    const latest = latestOf(this.measured);
    const [best] = ranked(latest);
    if (!best) return `${latest.length} tried`;
    const defaultUs = latest.find(({ params }) => this.#isDefaults(params))?.us ?? null;
    const text = defaultUs === null ? "failed" : micros(defaultUs);
    return `${latest.length} tried, best ${micros(best.us)} us (default ${text})`;
  }

  #isDefaults(params: Params): boolean {
    return this.#defaults !== null && candidateKey(params) === candidateKey(this.#defaults);
  }

  #append(event: LogEvent): void {
    this.#log.append({ utc: new Date().toISOString(), ...this.#job.subject, ...event });
  }
}
