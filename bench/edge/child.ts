/**
 * Runs a child process and reads its output. A child that hangs cannot stop itself, so it is killed
 * when it prints nothing for too long.
 */
import { TextLineStream } from "@std/streams/text-line-stream";
import { SystemError } from "../base/system_error.ts";
import { systemReason } from "./system_reason.ts";

/** How a child ended. */
export interface ChildExit {
  /** Whether {@linkcode runChild} killed it. */
  readonly killed: boolean;
  /** The last line that it wrote to stderr, or else its exit code or signal; never empty. */
  readonly complaint: string;
}

/** Makes the command that starts a child. */
export type Spawn = () => Deno.Command;

/** Runs a module of this package as the child. */
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
  /** Text for the child's stdin. */
  readonly input: string;
  /** Milliseconds without output after which the child is killed. */
  readonly silenceMs: number;
  /** Kills the child when it is aborted. */
  readonly stop?: AbortSignal;
  onLine(line: string): void;
}

/**
 * Writes the input to a child and passes each line of its stdout to `onLine`, until the child ends
 * or is killed.
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
    await writeInput(child.stdin, input);
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
    // The child has already ended.
  }
}

async function writeInput(
  stdin: WritableStream<Uint8Array<ArrayBuffer>>,
  text: string,
): Promise<void> {
  const writer = stdin.getWriter();
  try {
    await writer.write(new TextEncoder().encode(text));
    await writer.close();
  } catch {
    // A child that ends before it reads its input is noticed by its exit code.
  }
}

/** Escape sequences that colour a terminal's text. */
// deno-lint-ignore no-control-regex
const COLOUR = /\x1b\[[0-9;]*m/g;

async function lastLine(stderr: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<string> {
  const text = (await new Response(stderr).text()).replaceAll(COLOUR, "");
  const lines = text.split("\n").map((line) => line.trim());
  // The line of the error itself, not the source position or the stack below it.
  return lines.findLast((line) => /^error: Uncaught|panicked/.test(line)) ??
    lines.findLast((line) => line !== "" && !/^at /.test(line)) ?? "";
}
