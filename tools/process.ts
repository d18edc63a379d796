/**
 * Child processes for the tools.
 * @module
 */

/** How a command is run. */
export interface RunOptions {
  /** Signals that are passed on to the command, which decides whether it ends. */
  readonly forward?: readonly Deno.Signal[];
}

/**
 * Runs a command on this terminal and gives its exit code, as a shell would: 127 where the program
 * is missing, 126 where it may not be run.
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
    // It has ended.
  }
}
