/** What the caller of a command got wrong; `message` is one sentence, fit to be shown as it stands. */
export class UsageError extends Error {
  /** Name of the error class. */
  override readonly name = "UsageError";

  /**
   * The same complaint as a sentence of its own. A path, a kernel's name or a field's at its start
   * keeps its letters: only a word that a space or comma ends is begun with a capital.
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
 * Runs `find`; its RangeErrors, which refuse a name or a number, become usage errors.
 *
 * @param where The flag or file that the complaint is about, such as `--shape 32x7x128`.
 */
export function asUsage<T>(find: () => T, where?: string): T {
  try {
    return find();
  } catch (error) {
    throw usageOf(error, where);
  }
}

/** {@linkcode asUsage} for what takes time. */
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
