/** Decides how to go on when the measuring process ends early. */
import { candidateKey } from "../tuning/candidates.ts";
import type { ChildEnd } from "./supervise.ts";

/** A kernel is given up after this many ends in a row without a measurement between them. */
const MOST_IN_A_ROW = 6;

/** The run ends when the device fails to open this many times in a row. */
const MOST_UNOPENED = 2;

/** After this many ends with several candidates, each is tried in a process of its own. */
const MOST_TOGETHER = 2;

/** Counts the processes of one kernel that ended early. */
export class Losses {
  readonly #tried = new Set<string>();
  #inARow = 0;
  #unopened = 0;
  #together = 0;

  /**
   * Counts an end and decides how to go on.
   *
   * @param measuredSome Whether a candidate was measured since the previous end.
   * @returns one of:
   * - `retry`: try again in a fresh process;
   * - `apart`: try again, with one candidate at a time;
   * - `leave`: leave the tried candidate unmeasured;
   * - `give up`: give up the kernel;
   * - `end the run`: the device can no longer be opened.
   */
  note(
    { ready, trying }: Pick<ChildEnd, "ready" | "trying">,
    measuredSome: boolean,
  ): "retry" | "apart" | "leave" | "give up" | "end the run" {
    this.#inARow = measuredSome ? 1 : this.#inARow + 1;
    this.#unopened = ready ? 0 : this.#unopened + 1;
    if (this.#unopened >= MOST_UNOPENED) return "end the run";
    if (this.#inARow >= MOST_IN_A_ROW) return "give up";
    if (trying.length > 1) return ++this.#together >= MOST_TOGETHER ? "apart" : "retry";
    if (trying.length === 0) return "retry";
    const key = candidateKey(trying[0]);
    if (this.#tried.has(key)) return "leave";
    this.#tried.add(key);
    return "retry";
  }
}
