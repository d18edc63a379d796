/** What to do when the process that measures ends before its time. Pure. */
import { candidateKey } from "../tuning/candidates.ts";
import type { ChildEnd } from "./supervise.ts";

/** Ends in a row, with nothing measured between them, after which a kernel is given up. */
const MOST_IN_A_ROW = 6;

/** Times in a row that a device may fail to open. */
const MOST_UNOPENED = 2;

/** Ends of several candidates after which it is asked which of them it was. */
const MOST_TOGETHER = 2;

/** Keeps count of the processes of one kernel that ended before their time. */
export class Losses {
  readonly #tried = new Set<string>();
  #inARow = 0;
  #unopened = 0;
  #together = 0;

  /**
   * Notes an end.
   *
   * @param measuredSome Whether something was measured since the end before.
   * @returns what to do:
   * - `retry`: try again in a fresh process;
   * - `apart`: try again with each candidate in a process of its own;
   * - `leave`: leave out the candidate that was tried;
   * - `give up`: give up the kernel;
   * - `end the run`: the device cannot be opened any more.
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
