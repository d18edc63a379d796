/** Failures of the system, told apart from wrong usage. */
import { systemReason } from "./system_reason.ts";
import { SystemError } from "../base/system_error.ts";
import { UsageError } from "../base/usage_error.ts";

/**
 * Numbers of errors of a system that has no room, no memory or no descriptors left, or a broken
 * disk: EIO, ENOMEM, ENFILE, EMFILE, EFBIG, ENOSPC and EDQUOT, or what Windows calls them. Deno
 * names only some of them.
 */
const AT_ITS_END: Readonly<Record<string, readonly number[]>> = {
  darwin: [5, 12, 23, 24, 27, 28, 69],
  windows: [4, 8, 14, 39, 112],
};

const AT_ITS_END_ELSEWHERE = [5, 12, 23, 24, 27, 28, 122];

/** Whether a call failed because the system is at its end, not because of what was asked for. */
export function isSystemFailure(error: unknown): error is Error {
  if (!(error instanceof Error)) return false;
  const number = /\(os error (\d+)\)/.exec(error.message)?.[1];
  return (AT_ITS_END[Deno.build.os] ?? AT_ITS_END_ELSEWHERE).includes(Number(number));
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
