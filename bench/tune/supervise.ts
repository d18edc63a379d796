/**
 * Supervises the child process that measures, since a process cannot interrupt a hung GPU itself.
 * When the child is killed, the candidates that it was trying are known.
 */
import type { Params } from "../../kernels/core/problem/constants.ts";
import { runChild, type Spawn, spawnModule } from "../edge/child.ts";
import type { TuneJob, TuneMessage } from "../tuning/messages.ts";

/** The end of a child. */
export interface ChildEnd {
  readonly how: "done" | "hung" | "crashed";
  /** Whether the child opened the device. */
  readonly ready: boolean;
  /** The candidates that it tried last. */
  readonly trying: readonly Params[];
  /** Its last line on stderr, or its exit code or signal; never empty. */
  readonly complaint: string;
}

/** The child that measures on the GPU. */
export const spawnWorker: Spawn = spawnModule(new URL("./worker/main.ts", import.meta.url));

/**
 * Gives a child its job and passes on its messages, until it ends or has been silent for
 * `silenceMs` milliseconds.
 *
 * @param stop Kills the child when aborted.
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

/** The message of a line; null for other lines, such as those that drivers print. */
function messageOf(line: string): TuneMessage | null {
  try {
    return JSON.parse(line);
  } catch {
    return null;
  }
}
