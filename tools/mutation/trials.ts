/** Mutants one after another, until so many were tried as were asked for. */
import type { DrawnMutant } from "./draw.ts";
import type { Job, Message } from "./messages.ts";
import type { Failure } from "./test_runner.ts";

/**
 * Tries mutants in the order in which they were drawn. One that does not compile makes room for the
 * next. Ends early after a mutant that may have left the device lost, or busy for ever.
 *
 * @param judge Why a mutant fails; null if it passes all tests.
 */
export async function* trials(
  drawn: readonly DrawnMutant[],
  { from, count }: Pick<Job, "from" | "count">,
  judge: (mutant: DrawnMutant) => Promise<Failure | null>,
): AsyncGenerator<Message> {
  let tried = 0;
  for (let at = from; at < drawn.length && tried < count; at++) {
    const { source: _, ...mutant } = drawn[at];
    yield { type: "try", at, mutant };
    const failure = await judge(drawn[at]);
    if (failure?.kind === "compile") {
      yield { type: "redraw", at };
      continue;
    }
    const killedBy = failure?.kind ?? null;
    yield { type: "verdict", at, verdict: { mutant, killedBy, test: failure?.test ?? "" } };
    tried++;
    if (killedBy === "time" || killedBy === "error") return;
  }
  yield { type: "end" };
}
