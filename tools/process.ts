/**
 * Child processes for the tools.
 * @module
 */

/** Runs a command on this terminal and gives its exit code, 127 where the program is missing. */
export async function run(command: readonly string[]): Promise<number> {
  const [program, ...args] = command;
  try {
    const child = new Deno.Command(program, {
      args,
      stdin: "inherit",
      stdout: "inherit",
      stderr: "inherit",
    }).spawn();
    return (await child.status).code;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return 127;
    throw error;
  }
}
