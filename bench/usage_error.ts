/** What the caller of a command got wrong; `message` is one sentence, fit to be shown as it stands. */
export class UsageError extends Error {
  /** Name of the error class. */
  override readonly name = "UsageError";

  /** The same complaint as a sentence of its own; a name at its start keeps its letters. */
  static of(error: Error): UsageError {
    const text = error.message.replace(
      /^[a-z]+(?![A-Za-z])/,
      (word) => word[0].toUpperCase() + word.slice(1),
    );
    return new UsageError(/[.!?]$/.test(text) ? text : `${text}.`);
  }
}

/** Runs `find`; its RangeErrors, which refuse a name or a number, become usage errors. */
export function asUsage<T>(find: () => T): T {
  try {
    return find();
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw UsageError.of(error);
  }
}

/** {@linkcode asUsage} for what takes time. */
export async function asUsageAsync<T>(find: () => Promise<T>): Promise<T> {
  try {
    return await find();
  } catch (error) {
    return asUsage(() => {
      throw error;
    });
  }
}
