/** Adds up how far a variant's results are from the references, and keeps the worst element. */
import type { BufferReader, ListRef } from "./buffer_reader.ts";

/** Largest relative L2 error of an f32 output, over all rows and for each row. */
export const MAX_REL_L2 = 1e-5;

/** An element of a buffer that is wrong, or more wrong than any other. */
export interface WorstElement {
  /** The buffer, and what of it was looked at. */
  readonly what: string;
  /** Its place in the buffer's layout, such as [sequence, head, dimension]. */
  readonly index: readonly number[];
  readonly got: number;
  readonly want: number;
}

/** What a verify found. */
export interface CheckResult {
  readonly ok: boolean;
  /** ||out - reference|| / ||reference|| over all that was checked; 0 where results are exact. */
  readonly relL2: number;
  /** The first wrong exact element, or the f32 element with the largest error; null if all equal. */
  readonly worst: WorstElement | null;
  /** What was checked, in words. */
  readonly checked: string;
}

/** What of a problem to verify; all of it where nothing is said. */
export interface VerifyScope {
  /** Code heads; the query heads that share their lists go with them. */
  readonly heads?: readonly number[];
  readonly sequences?: readonly number[];
  /** About how many tokens of a list's prompt to encode again, spread evenly (default all). */
  readonly promptTokens?: number;
  /** About how many query tokens of a list's prompt to attend again (default all). */
  readonly prefillTokens?: number;
  /** References of the same inputs that another variant asked for before; new ones are added. */
  readonly known?: KnownReferences;
}

/** Rows that references gave, by what they were asked for. */
export type KnownReferences = Map<string, Promise<Float64Array>>;

/** A reference's row: the known one, or what `make` gives, kept for the next who asks. */
export function knownReference(
  { known }: VerifyScope,
  key: string,
  make: () => Promise<Float64Array>,
): Promise<Float64Array> {
  const found = known?.get(key) ?? make();
  known?.set(key, found);
  return found;
}

/** Collects the errors of a check. */
export class ErrorTally {
  #error2 = 0;
  #norm2 = 0;
  #ok = true;
  #badness = 0;
  #worst: WorstElement | null = null;

  /** Compares a row of an f32 output with its f64 reference. */
  row(
    what: string,
    index: readonly number[],
    got: ArrayLike<number>,
    want: ArrayLike<number>,
  ): void {
    let error2 = 0;
    let norm2 = 0;
    let largest = -1;
    let at = 0;
    for (let i = 0; i < want.length; i++) {
      const error = Math.abs(got[i] - want[i]);
      error2 += error * error;
      norm2 += want[i] * want[i];
      // Written so that NaN, which compares false, counts as the largest error of all.
      if (largest !== Infinity && !(error <= largest)) {
        largest = Number.isNaN(error) ? Infinity : error;
        at = i;
      }
    }
    this.#error2 += error2;
    this.#norm2 += norm2;
    const relative = relativeL2(error2, norm2);
    if (!(relative <= MAX_REL_L2)) this.#ok = false;
    // A row that fails is worse than any that passes; the element stands for the row.
    const badness = Number.isNaN(relative) ? Infinity : relative;
    if (badness > this.#badness) {
      this.#badness = badness;
      this.#worst = {
        what: `${what}, error of the row ${relative.toExponential(2)}`,
        index: [...index, at],
        got: got[at],
        want: want[at],
      };
    }
  }

  /** Compares elements that must be equal. */
  exact(
    what: string,
    index: readonly number[],
    got: ArrayLike<number>,
    want: ArrayLike<number>,
  ): void {
    for (let i = 0; i < want.length; i++) {
      if (got[i] !== want[i]) return this.fail(what, [...index, i], got[i], want[i]);
    }
  }

  /** Notes a wrong element; the first of them is kept. */
  fail(what: string, index: readonly number[], got: number, want: number): void {
    this.#ok = false;
    if (this.#badness === Infinity) return;
    this.#badness = Infinity;
    this.#worst = { what, index, got, want };
  }

  /** The result of all comparisons. */
  result(checked: string): CheckResult {
    return {
      ok: this.#ok,
      relL2: relativeL2(this.#error2, this.#norm2),
      worst: this.#worst,
      checked,
    };
  }
}

function relativeL2(error2: number, norm2: number): number {
  return error2 === 0 ? 0 : Math.sqrt(error2 / norm2);
}

/** Verifies one list; `hasBuffer` tells which buffers the variant has. */
export type ListVerifier = (
  tally: ErrorTally,
  reader: BufferReader,
  place: ListRef,
  hasBuffer: (name: string) => boolean,
  scope: VerifyScope,
) => Promise<void>;
