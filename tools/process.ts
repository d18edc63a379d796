/**
 * Runs child processes for the tools.
 * @module
 */

/** Options of {@linkcode run}. */
export interface RunOptions {
  /** Signals that are passed on to the command instead of ending this process. */
  readonly forward?: readonly Deno.Signal[];
}

/**
 * Runs a command on this terminal and returns its exit code. As in a shell, a missing program gives
 * 127, and one that may not be executed 126.
 */
export async function run(
  command: readonly string[],
  { forward = [] }: RunOptions = {},
): Promise<number> {
  const [program, ...args] = command;
  try {
    const child = new Deno.Command(program, {
      args,
      stdin: "inherit",
      stdout: "inherit",
      stderr: "inherit",
    }).spawn();
    for (const signal of forward) Deno.addSignalListener(signal, () => passOn(child, signal));
    return (await child.status).code;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return 127;
    if (error instanceof Deno.errors.PermissionDenied) return 126;
    throw error;
  }
}

function passOn(child: Deno.ChildProcess, signal: Deno.Signal): void {
  try {
    child.kill(signal);
  } catch {
    // The child has already ended.
  }
}
