/** The outermost part of every command: what the caller got wrong becomes one sentence. */
import { InvalidFileError } from "../kernels/safetensors.ts";
import { NoAdapterError } from "./host.ts";
import { UsageError } from "./usage_error.ts";

/** Exit code of a command whose flags, files or device will not do. */
const USAGE_EXIT = 2;

/**
 * Runs a command.
 *
 * @param main Takes the command line and returns the exit code.
 * @returns That code, or 2 after a sentence on stderr; other errors pass.
 */
export async function runCommand(
  main: (args: readonly string[]) => Promise<number> | number,
  args: readonly string[],
): Promise<number> {
  try {
    return await main(args);
  } catch (error) {
    if (error instanceof InvalidFileError) console.error(UsageError.of(error).message);
    else if (error instanceof UsageError || error instanceof NoAdapterError) {
      console.error(error.message);
    } else throw error;
    return USAGE_EXIT;
  }
}
