/** The outermost part of every command: turns an error into one sentence and an exit code. */
import { systemReason } from "./system_reason.ts";
import { InvalidFileError } from "../../kernels/maps/safetensors.ts";
import { DeviceMemoryError } from "../../kernels/core/run/device_memory.ts";
import type { Command } from "../flags/flag_table.ts";
import { EXIT } from "./exit_codes.ts";
import { printedHelp } from "./help_or_version.ts";
import { NoAdapterError } from "./open_adapter.ts";
import { SystemError } from "../base/system_error.ts";
import { isBrokenPipe, isSystemFailure } from "./system_failure.ts";
import { UsageError } from "../base/usage_error.ts";

/**
 * Runs a command.
 *
 * @param main Takes the command line and returns the exit code.
 * @param command Answers `--help` and `--version`; without it, `main` receives them.
 * @returns That code, or the code of an error, which is printed to stderr in one sentence.
 */
export async function runCommand(
  main: (args: readonly string[]) => Promise<number> | number,
  args: readonly string[],
  command?: Command,
): Promise<number> {
  const end = (event: Event, error: unknown) => {
    event.preventDefault();
    Deno.exit(printError(error));
  };
  // Device errors and rejections of promises that nothing awaits arrive here, not in the caller.
  globalThis.addEventListener("error", (event) => end(event, event.error));
  globalThis.addEventListener("unhandledrejection", (event) => end(event, event.reason));
  try {
    if (command !== undefined && printedHelp(args, command)) return EXIT.ok;
    return await main(args);
  } catch (error) {
    return printError(error);
  }
}

/** Prints an error to stderr in one sentence and returns its exit code. */
export function printError(error: unknown): number {
  // The reader closed the pipe because it has read enough.
  if (isBrokenPipe(error) || error instanceof Error && isBrokenPipe(error.cause)) return EXIT.ok;
  const { code, text } = describe(error);
  try {
    console.error(text);
  } catch {
    // If stderr cannot be written, the exit code alone reports the error.
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
  // Errors about files name the file and were handled above: this one came from printing.
  if (isSystemFailure(error)) {
    return { code: EXIT.system, text: `Cannot write the output: ${systemReason(error)}.` };
  }
  // A bug in the code: print the error with its stack.
  return { code: EXIT.system, text: error };
}
