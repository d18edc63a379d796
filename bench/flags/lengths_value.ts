/** Reads the lengths of a batch: a list of them, or a distribution to draw them from. */
import { createRandom } from "../../fixtures/random.ts";
import { UsageError } from "../base/usage_error.ts";
import { MAX_U32, type Reader, sequenceOf, wholeNumber } from "./flag_values.ts";

/** A batch has no more sequences. */
const MOST_SEQUENCES = 65535;

/**
 * A reader of lengths, each of which `tokens` reads: `8K,500,1`, or `loguniform:1K:128K:16` for 16
 * lengths whose logarithms are uniform, in falling order. A fourth number is the seed (default 1).
 */
export function sequenceLengths(tokens: Reader<number>): Reader<number[]> {
  return (name, text) => {
    if (!text.startsWith("loguniform:")) return sequenceOf(tokens)(name, text);
    const [low, high, count, seed = "1", ...rest] = text.split(":").slice(1);
    if (count === undefined || rest.length > 0) {
      throw new UsageError(
        `--${name} takes loguniform:LOW:HIGH:COUNT or loguniform:LOW:HIGH:COUNT:SEED, ` +
          `not "${text}".`,
      );
    }
    const [least, most] = [tokens(name, low), tokens(name, high)];
    if (least > most) throw new UsageError(`--${name} has LOW above HIGH in "${text}".`);
    const random = createRandom(wholeNumber(0, MAX_U32)(name, seed));
    return Array.from(
      { length: wholeNumber(1, MOST_SEQUENCES)(name, count) },
      () => Math.round(least * (most / least) ** random.uniform()),
    ).sort((a, b) => b - a);
  };
}
