/**
 * Runs a child process and listens to it: one that hangs cannot be interrupted from within, so it is
 * killed when it falls silent for too long.
 */
import { TextLineStream } from "@std/streams/text-line-stream";
import { SystemError } from "../base/system_error.ts";
import { systemReason } from "./system_reason.ts";

/** How a child ended. */
export interface ChildExit {
  /** Whether it was killed. */
  readonly killed: boolean;
  /** The last line that it wrote on stderr, or how it ended; never empty. */
  readonly complaint: string;
}

/** A program to be started as the child. */
export type Spawn = () => Deno.Command;

/** A module of this package as a child. */
export function spawnModule(url: URL): Spawn {
  return () =>
    new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", url.href],
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
      env: { NO_COLOR: "1" },
    });
}

/** How a child is run. */
export interface ChildSettings {
  /** What it reads on stdin. */
  readonly input: string;
  readonly silenceMs: number;
  /** Kills the child when it is aborted. */
  readonly stop?: AbortSignal;
  onLine(line: string): void;
}

/**
 * Gives a child its input and hands over what it says, until it ends or was silent for `silenceMs`
 * milliseconds.
 *
 * @throws {SystemError} if the child cannot be started.
 */
export async function runChild(
  spawn: Spawn,
  { input, silenceMs, stop, onLine }: ChildSettings,
): Promise<ChildExit> {
  const child = start(spawn);
  stop?.addEventListener("abort", () => kill());
  let killed = false;
  const complaints = lastLine(child.stderr);
  const kill = () => {
    killed = true;
    killQuietly(child);
  };
  let timer = setTimeout(kill, silenceMs);
  try {
    await give(child.stdin, input);
    const text = child.stdout.pipeThrough(new TextDecoderStream());
    for await (const line of text.pipeThrough(new TextLineStream())) {
      clearTimeout(timer);
      timer = setTimeout(kill, silenceMs);
      onLine(line);
    }
    await child.status;
  } finally {
    clearTimeout(timer);
    killQuietly(child);
  }
  const { code, signal } = await child.status;
  return {
    killed,
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
