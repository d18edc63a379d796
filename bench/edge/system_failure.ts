/** Distinguishes failures of the system from wrong usage. */
import { systemReason } from "./system_reason.ts";
import { SystemError } from "../base/system_error.ts";
import { UsageError } from "../base/usage_error.ts";

/**
 * Error numbers of a system that has run out of space, memory or file descriptors, or has a broken
 * disk: EIO, ENOMEM, ENFILE, EMFILE, EFBIG, ENOSPC and EDQUOT, or their Windows equivalents. Deno
 * has error classes for only some of them.
 */
const FAILURE_NUMBERS: Readonly<Record<string, readonly number[]>> = {
  darwin: [5, 12, 23, 24, 27, 28, 69],
  windows: [4, 8, 14, 39, 112],
};

const LINUX_FAILURE_NUMBERS = [5, 12, 23, 24, 27, 28, 122];

/** Whether a call failed because of the state of the system, not because of its arguments. */
export function isSystemFailure(error: unknown): error is Error {
  if (!(error instanceof Error)) return false;
  const number = /\(os error (\d+)\)/.exec(error.message)?.[1];
  return (FAILURE_NUMBERS[Deno.build.os] ?? LINUX_FAILURE_NUMBERS).includes(Number(number));
}

/** Whether the reader of the output has closed the pipe, as `| head` does. */
export function isBrokenPipe(error: unknown): boolean {
  return error instanceof Deno.errors.BrokenPipe;
}

/**
 * Makes the error for a failed write: a full disk is a failure of the system, a path that cannot be
 * written is wrong usage.
 *
 * @param what The thing that could not be written: a path, or words and a path.
 */
export function cannotWrite(what: string, error: unknown): SystemError | UsageError {
  const sentence = `Cannot write ${what}: ${systemReason(error)}.`;
  return isSystemFailure(error) ? new SystemError(sentence) : new UsageError(sentence);
}
