/** Has a worker try a kernel's mutants, and starts another one where a mutant brought it down. */
import { SystemError } from "../../bench/base/system_error.ts";
import { runChild, type Spawn, spawnModule } from "../../bench/edge/child.ts";
import type { RandomMutant } from "./draw.ts";
import type { Job, Message, Verdict } from "./messages.ts";

/** The worker says something every 2 seconds, but while a shader compiles. */
const SILENCE_MS = 120_000;

const WORKER = new URL("worker.ts", import.meta.url);

/** What one worker came to. */
interface Shift {
  /** Place in the drawn order of the first mutant that it did not finish. */
  from: number;
  /** The mutant that it was trying. */
  trying?: RandomMutant;
  fault?: string;
  hasEnded: boolean;
}

/**
 * How `count` mutants of a kernel fare; fewer where it has fewer sites.
 *
 * @param onVerdict Called for each.
 * @param spawn The worker.
 * @throws {SystemError} if the worker cannot begin, or a test fails without a mutant.
 */
export async function tryMutants(
  { kernel, seed, count }: Omit<Job, "from">,
  onVerdict: (verdict: Verdict) => void,
  spawn: Spawn = spawnModule(WORKER),
): Promise<Verdict[]> {
  const verdicts: Verdict[] = [];
  const add = (verdict: Verdict) => {
    verdicts.push(verdict);
    onVerdict(verdict);
  };
  for (let from = 0, hasEnded = false; !hasEnded && verdicts.length < count;) {
    const shift: Shift = { from, hasEnded: false };
    const { killed, complaint } = await runChild(spawn, {
      input: JSON.stringify({ kernel, seed, count: count - verdicts.length, from } satisfies Job),
      silenceMs: SILENCE_MS,
      onLine: (line) => takeMessage(shift, JSON.parse(line), add),
    });
    const { trying, fault } = shift;
    if (fault !== undefined) throw new SystemError(`Cannot mutate ${kernel}: ${fault}.`);
    if (trying !== undefined) {
      add({ mutant: trying, killedBy: killed ? "time" : "error", test: complaint });
      shift.from++;
    } else if (!shift.hasEnded && shift.from === from) {
      throw new SystemError(`Cannot mutate ${kernel}: ${complaint}.`);
    }
    ({ from, hasEnded } = shift);
  }
  return verdicts;
}

function takeMessage(shift: Shift, message: Message, add: (verdict: Verdict) => void): void {
  switch (message.type) {
    case "beat":
      return;
    case "try":
      shift.from = message.at;
      shift.trying = message.mutant;
      return;
    case "verdict":
    case "redraw":
      shift.from = message.at + 1;
      shift.trying = undefined;
      if (message.type === "verdict") add(message.verdict);
      return;
    case "fault":
      shift.fault = message.message;
      return;
    case "end":
      shift.hasEnded = true;
  }
}
