/** The problem of a decoder, which need not say how codes are made. */
import { type Problem, ROTATED_CODE } from "../core/problem/problem.ts";

/**
 * A {@linkcode Problem} whose code may be left out. Without `map` codes are rotated keys, which need
 * no training, no file and no map buffers. With a map, `bits` and `sharing` say what it makes.
 */
export type DecoderProblem =
  & Omit<Problem, "bits" | "sharing" | "map">
  & Partial<Pick<Problem, "bits" | "sharing" | "map">>;

/**
 * The problem with its code.
 *
 * @throws {RangeError} if a map is given without `bits` or `sharing`.
 */
export function withCode(problem: DecoderProblem): Problem {
  const { map, bits, sharing } = problem;
  if (map === undefined) {
    // Fields that are given as undefined must not hide the defaults.
    return {
      ...problem,
      map: ROTATED_CODE.map,
      bits: bits ?? ROTATED_CODE.bits,
      sharing: sharing ?? ROTATED_CODE.sharing,
      planes: problem.planes ?? ROTATED_CODE.planes,
      ties: problem.ties ?? ROTATED_CODE.ties,
    };
  }
  if (bits === undefined || sharing === undefined) {
    const missing = bits === undefined ? "bits" : "sharing";
    throw new RangeError(`a problem with a map needs ${missing}; without a map, codes are rotated`);
  }
  return { ...problem, map, bits, sharing };
}
