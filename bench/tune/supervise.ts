/**
 * Supervises the child process that measures: a GPU that hangs cannot be interrupted from within.
 * When the child is killed, what it was trying is known.
 */
import type { Params } from "../../kernels/core/variant.ts";
import { runChild, type Spawn, spawnModule } from "../edge/child.ts";
import type { TuneJob, TuneMessage } from "../tuning/messages.ts";

/** How a child ended. */
export interface ChildEnd {
  readonly how: "done" | "hung" | "crashed";
  /** Whether it opened the device. */
  readonly ready: boolean;
  /** What it was trying last. */
  readonly trying: readonly Params[];
  /** The last line that it wrote on stderr, or how it ended; never empty. */
  readonly complaint: string;
}

/** The child that measures on the GPU. */
export const spawnWorker: Spawn = spawnModule(new URL("./worker/main.ts", import.meta.url));

/**
 * Gives a child its job and hands over what it says, until it ends or was silent for
 * `silenceMs` milliseconds.
 *
 * @param stop Kills the child when it is aborted.
 * @throws {SystemError} if the child cannot be started.
 */
export async function supervise(
  spawn: Spawn,
  job: TuneJob,
  silenceMs: number,
  onMessage: (message: TuneMessage) => void,
  stop?: AbortSignal,
): Promise<ChildEnd> {
  let done = false;
  let ready = false;
  let trying: readonly Params[] = [];
  const { killed, complaint } = await runChild(spawn, {
    input: JSON.stringify(job),
    silenceMs,
    stop,
    onLine(line) {
      const message = messageOf(line);
      if (message === null) return;
      if (message.type === "ready") ready = true;
      if (message.type === "trying") trying = message.candidates;
      if (message.type === "done" || message.type === "refused") done = true;
      onMessage(message);
    },
  });
  return { how: done ? "done" : killed ? "hung" : "crashed", ready, trying, complaint };
}

/** What a line says; null for one that is none of the child's, as drivers print them. */
function messageOf(line: string): TuneMessage | null {
  try {
    return JSON.parse(line);
  } catch {
    return null;
  }
}
