/** A mistake in calling a command. Its message is one sentence for the user. */
export class UsageError extends Error {
  /** Name of the error class. */
  override readonly name = "UsageError";

  /**
   * The error's message as a complete sentence. Its first word gets a capital letter, unless it is
   * a path or the name of a kernel or field: only a word before a space or comma is capitalized.
   */
  static of(error: Error): UsageError {
    const text = error.message.replace(
      /^[a-z]+(?=[ ,]|$)/,
      (word) => word[0].toUpperCase() + word.slice(1),
    );
    return new UsageError(/[.!?]$/.test(text) ? text : `${text}.`);
  }
}

/**
 * Runs `find`. Its RangeErrors, which refuse a name or a number, become usage errors.
 *
 * @param where The flag or file with the mistake, such as `--shape 32x7x128`.
 */
export function asUsage<T>(find: () => T, where?: string): T {
  try {
    return find();
  } catch (error) {
    throw usageOf(error, where);
  }
}

/** {@linkcode asUsage} for an asynchronous function. */
export async function asUsageAsync<T>(find: () => Promise<T>, where?: string): Promise<T> {
  try {
    return await find();
  } catch (error) {
    throw usageOf(error, where);
  }
}

function usageOf(error: unknown, where: string | undefined): unknown {
  if (!(error instanceof RangeError)) return error;
  return UsageError.of(where === undefined ? error : new Error(`${where}: ${error.message}`));
}
