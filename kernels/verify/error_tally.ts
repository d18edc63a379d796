/** Adds up the errors of a variant's results, and keeps the worst element. */
import type { Precision } from "../core/variant.ts";
import type { BufferReader } from "./buffer_reader.ts";
import type { ListRef } from "./list_ref.ts";

/** Largest relative L2 error allowed in a row of f32 arithmetic. */
export const MAX_REL_L2 = 1e-5;

/** The first wrong element of a buffer, or the one with the largest error. */
export interface WorstElement {
  /** The buffer and the kind of comparison. */
  readonly what: string;
  /** Its index in the buffer's layout, such as [sequence, head, dimension]. */
  readonly index: readonly number[];
  readonly got: number;
  readonly want: number;
}

/** The result of {@linkcode verify}. */
export interface CheckResult {
  readonly ok: boolean;
  /** ||out - reference|| / ||reference|| over all that was checked; 0 where results are exact. */
  readonly relL2: number;
  /**
   * The first wrong exact element, or the f32 element with the largest error; null if all equal.
   */
  readonly worst: WorstElement | null;
  /** A description of the parts that were checked. */
  readonly checked: string;
}

/** The parts of a problem to verify; all of them by default. */
export interface VerifyScope {
  /** Code heads, with the query heads that share their lists. */
  readonly heads?: readonly number[];
  readonly sequences?: readonly number[];
  /** About how many of a prompt's tokens, or pages, to verify in each list (default all). */
  readonly promptTokens?: number;
  /** About how many of a prompt's query tokens to verify in each list (default all). */
  readonly prefillTokens?: number;
  /** References computed earlier for the same inputs; new ones are added. */
  readonly known?: KnownReferences;
}

/** Rows of references, by a key of their inputs. */
export type KnownReferences = Map<string, Promise<Float64Array>>;

/** A reference's row: the known one, or else the result of `make`, which becomes known. */
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
  readonly #maxRelL2: number;
  #badness = 0;
  #worst: WorstElement | null = null;

  /** Errors of a variant whose output is as exact as `precision` says, but for `rounding`. */
  constructor(readonly precision?: Precision, rounding = 0) {
    this.#maxRelL2 = (precision?.maxRelL2 ?? MAX_REL_L2) + rounding;
  }

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
    let largestIndex = 0;
    for (let i = 0; i < want.length; i++) {
      const error = Math.abs(got[i] - want[i]);
      error2 += error * error;
      norm2 += want[i] * want[i];
      // NaN compares false, so the comparison is negated to count NaN as the largest error.
      if (largest !== Infinity && !(error <= largest)) {
        largest = Number.isNaN(error) ? Infinity : error;
        largestIndex = i;
      }
    }
    this.#error2 += error2;
    this.#norm2 += norm2;
    const relative = relativeL2(error2, norm2);
    if (!(relative <= this.#maxRelL2)) this.#ok = false;
    // Rows are ranked by their relative error; the worst element is one of the worst row.
    const badness = Number.isNaN(relative) ? Infinity : relative;
    if (badness > this.#badness) {
      this.#badness = badness;
      this.#worst = {
        what: `${what}, error of the row ${relative.toExponential(2)}`,
        index: [...index, largestIndex],
        got: got[largestIndex],
        want: want[largestIndex],
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

  /** Records a wrong element; the first one is kept. */
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

/** Verifies one list. `hasBuffer` shows whether the variant has a buffer. */
export type ListVerifier = (
  tally: ErrorTally,
  reader: BufferReader,
  ref: ListRef,
  hasBuffer: (name: string) => boolean,
  scope: VerifyScope,
) => Promise<void>;
