/** The outermost part of every command: what went wrong becomes one sentence and an exit code. */
import { systemReason } from "./system_reason.ts";
import { InvalidFileError } from "../../kernels/maps/safetensors.ts";
import { DeviceMemoryError } from "../../kernels/core/device_memory.ts";
import { EXIT } from "./exit_codes.ts";
import { NoAdapterError } from "./open_adapter.ts";
import { SystemError } from "../base/system_error.ts";
import { isBrokenPipe, isSystemFailure } from "./system_failure.ts";
import { UsageError } from "../base/usage_error.ts";

/**
 * Runs a command.
 *
 * @param main Takes the command line and returns the exit code.
 * @returns That code, or after a sentence on stderr that of what went wrong.
 */
export async function runCommand(
  main: (args: readonly string[]) => Promise<number> | number,
  args: readonly string[],
): Promise<number> {
  const end = (event: Event, error: unknown) => {
    event.preventDefault();
    Deno.exit(tellError(error));
  };
  // What a device reports and what nobody awaited comes here, not to the one who called.
  globalThis.addEventListener("error", (event) => end(event, event.error));
  globalThis.addEventListener("unhandledrejection", (event) => end(event, event.reason));
  try {
    return await main(args);
  } catch (error) {
    return tellError(error);
  }
}

/** Says on stderr what went wrong, in one sentence, and returns its exit code. */
export function tellError(error: unknown): number {
  // Whoever read the output has what it wanted.
  if (isBrokenPipe(error) || error instanceof Error && isBrokenPipe(error.cause)) return EXIT.ok;
  const { code, text } = describe(error);
  try {
    console.error(text);
  } catch {
    // Where standard error cannot be written, the exit code is all that can be told.
  }
  return code;
}

function describe(error: unknown): { readonly code: number; readonly text: unknown } {
  if (error instanceof UsageError) return { code: EXIT.usage, text: error.message };
  if (error instanceof InvalidFileError) {
    const code = isSystemFailure(error.cause) ? EXIT.system : EXIT.usage;
    return { code, text: UsageError.of(error).message };
  }
  if (error instanceof SystemError || error instanceof NoAdapterError) {
    return { code: EXIT.system, text: error.message };
  }
  if (error instanceof DeviceMemoryError) {
    return { code: EXIT.system, text: UsageError.of(error).message };
  }
  // Files name themselves: what is left is what was printed.
  if (isSystemFailure(error)) {
    return { code: EXIT.system, text: `Cannot write the output: ${systemReason(error)}.` };
  }
  // A fault in the code, whose place matters.
  return { code: EXIT.system, text: error };
}
