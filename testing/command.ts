/** Test support: runs commands of the suite as child processes, as a user does. */

/** The exit code and the output of a command. */
export interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** A command that runs the file `program` without colours and pipes its output. */
export function command(program: string, ...args: string[]): Deno.Command {
  return commandIn({}, program, ...args);
}

/** The same in an environment with more variables. */
export function commandIn(
  env: Readonly<Record<string, string>>,
  program: string,
  ...args: string[]
): Deno.Command {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", program, ...args],
    env: { NO_COLOR: "1", ...env },
    stdout: "piped",
    stderr: "piped",
  });
}

/** Runs a command to its end. */
export async function runProgram(program: string, ...args: string[]): Promise<Outcome> {
  return await outcomeOf(command(program, ...args));
}

/** The exit code and the output of a command that was made elsewhere. */
export async function outcomeOf(made: Deno.Command): Promise<Outcome> {
  const { code, stdout, stderr } = await made.output();
  const decoder = new TextDecoder();
  return { code, out: decoder.decode(stdout), err: decoder.decode(stderr) };
}

/** Runs `body` with a temporary folder, which is removed afterwards. */
export async function inFolder(body: (folder: string) => Promise<void> | void): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
