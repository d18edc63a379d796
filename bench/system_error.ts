/** What the device or the system failed at: nothing that other flags would mend. */
import { systemReason } from "../fixtures/system_reason.ts";
import { UsageError } from "./usage_error.ts";

/** A failure of the device or the system; `message` is one sentence, fit to be shown as it stands. */
export class SystemError extends Error {
  /** Name of the error class. */
  override readonly name: string = "SystemError";
}

/** Codes of a system that has no room, no memory, no descriptors left, or a broken disk. */
const SYSTEM_CODES = ["ENOSPC", "EDQUOT", "EFBIG", "EIO", "ENOMEM", "EMFILE", "ENFILE", "EROFS"];

/** Whether a call failed because the system is at its end, not because of what was asked for. */
export function isSystemFailure(error: unknown): error is Error {
  return error instanceof Error && SYSTEM_CODES.includes((error as { code?: string }).code ?? "");
}

/** Whether whoever read the output has gone, as `| head` does. */
export function isBrokenPipe(error: unknown): boolean {
  return error instanceof Deno.errors.BrokenPipe;
}

/**
 * A call that could not write, as the caller is told of it: a full disk is the system's failure, a
 * path that cannot be written is wrong usage.
 *
 * @param what What could not be written: a path, or words and a path.
 */
export function cannotWrite(what: string, error: unknown): SystemError | UsageError {
  const sentence = `Cannot write ${what}: ${systemReason(error)}.`;
  return isSystemFailure(error) ? new SystemError(sentence) : new UsageError(sentence);
}
