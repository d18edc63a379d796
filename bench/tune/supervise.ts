/**
 * Runs the child process that measures. A GPU that hangs cannot be interrupted from within, so the
 * child is listened to: when it falls silent for too long it is killed, and what it was trying is
 * known.
 */
import { TextLineStream } from "@std/streams/text-line-stream";
import { systemReason } from "../../fixtures/system_reason.ts";
import type { Params } from "../../kernels/core/contender.ts";
import { SystemError } from "../system_error.ts";
import type { TuneJob, TuneMessage } from "./messages.ts";

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

/** A program to be started as the child. */
export type Spawn = () => Deno.Command;

/** The child that measures on the GPU. */
export const spawnWorker: Spawn = () =>
  new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", new URL("./worker.ts", import.meta.url).href],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
    env: { NO_COLOR: "1" },
  });

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
  const child = start(spawn);
  stop?.addEventListener("abort", () => kill());
  let hung = false;
  let done = false;
  let ready = false;
  let trying: readonly Params[] = [];
  const complaints = lastLine(child.stderr);
  const kill = () => {
    hung = true;
    killQuietly(child);
  };
  let timer = setTimeout(kill, silenceMs);
  try {
    await give(child.stdin, JSON.stringify(job));
    const text = child.stdout.pipeThrough(new TextDecoderStream());
    for await (const line of text.pipeThrough(new TextLineStream())) {
      clearTimeout(timer);
      timer = setTimeout(kill, silenceMs);
      const message = messageOf(line);
      if (message === null) continue;
      if (message.type === "ready") ready = true;
      if (message.type === "trying") trying = message.candidates;
      if (message.type === "done" || message.type === "refused") done = true;
      onMessage(message);
    }
    await child.status;
  } finally {
    clearTimeout(timer);
    killQuietly(child);
  }
  const { code, signal } = await child.status;
  return {
    how: done ? "done" : hung ? "hung" : "crashed",
    ready,
    trying,
    complaint: await complaints || (signal === null ? `exit code ${code}` : `signal ${signal}`),
  };
}

function start(spawn: Spawn): Deno.ChildProcess {
  try {
    return spawn().spawn();
  } catch (error) {
    throw new SystemError(`Cannot start the process that measures: ${systemReason(error)}.`);
  }
}

/** What a line says; null for one that is none of the child's, as drivers print them. */
function messageOf(line: string): TuneMessage | null {
  try {
    return JSON.parse(line);
  } catch {
    return null;
  }
}

function killQuietly(child: Deno.ChildProcess): void {
  try {
    child.kill("SIGKILL");
  } catch {
    // It has ended.
  }
}

async function give(stdin: WritableStream<Uint8Array<ArrayBuffer>>, text: string): Promise<void> {
  const writer = stdin.getWriter();
  try {
    await writer.write(new TextEncoder().encode(text));
    await writer.close();
  } catch {
    // A child that ends before it reads will be noticed.
  }
}

/** What colours a terminal's text. */
// deno-lint-ignore no-control-regex
const COLOUR = /\x1b\[[0-9;]*m/g;

async function lastLine(stderr: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<string> {
  const text = (await new Response(stderr).text()).replaceAll(COLOUR, "");
  const lines = text.split("\n").map((line) => line.trim());
  // An error's own line, not the place in the source or the stack beneath it.
  return lines.findLast((line) => /^error: Uncaught|panicked/.test(line)) ??
    lines.findLast((line) => line !== "" && !/^at /.test(line)) ?? "";
}
