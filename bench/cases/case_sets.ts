/** Named sets of cases, each of which backs a claim. Cases are in the order of the tables. */
import { type Problem, roundCapacity } from "../../kernels/core/problem.ts";

/** The quality of a sparse step on a real trace, against dense attention. */
export interface TraceFigures {
  /** Relative error of the output, the mean of all queries. */
  readonly error: number;
  /** Attention mass of the attended tokens, the mean of all queries; 1 is all of it. */
  readonly mass: number;
  /** Tokens of the trace. */
  readonly tokens: number;
}

/** One case of a set. */
export interface SetCase {
  /** Label in tables, beside the columns of batch and KV length. At most 18 characters. */
  readonly label: string;
  readonly problem: Problem;
  /** Globs of the kernels to time. The others would cost time without adding information. */
  readonly kernels: readonly string[];
  /** The known quality of the problem's codes and budget. */
  readonly quality?: TraceFigures;
}

/** Cases that back one claim. */
export interface CaseSet {
  readonly name: string;
  /** Half a line for `--list`. */
  readonly description: string;
  readonly cases: readonly SetCase[];
}

/** The settings of the claimed speedup, which are those of the paper's own script. */
const CLAIM: Omit<Problem, "batch" | "qHeads" | "kvHeads" | "headDim" | "kvLen" | "capacity"> = {
  dtype: "f16",
  bits: 32,
  sharing: "head",
  topK: { sparsity: 32 },
  sink: 0,
  recent: 0,
  map: { layers: 3, hidden: 128, dtype: "f16" },
};

/** The settings of HATA: one linear code of 128 bits per KV head, one selection per GQA group. */
const HATA: Partial<Problem> = {
  bits: 128,
  sharing: "group",
  map: { layers: 1, hidden: 128, dtype: "f16" },
};

const WINDOWS: Partial<Problem> = { sink: 128, recent: 128 };

/** The kernels of a speedup, for cases that only add a row to the ratios. */
const RATIO = ["dense/split*", "pipeline/*"];

/** Also score, select and attend on their own. */
const STEP = ["score/*", "select/counting*", "attend/*", ...RATIO];

/** Also the other stages of a decode step. */
const STAGES = [...STEP, "encode/query", "encode/append", "merge/*"];

/** Also the kernels outside a decode step: the encoding of the prompt, and the rivals. */
const EVERYTHING = [...STAGES, "encode/prompt", "select/*", "dense/*"];

function setCase(
  shape: string,
  kvLen: number,
  kernels: readonly string[],
  { label = shape, ...changes }: Partial<Problem> & { label?: string } = {},
): SetCase {
  const [qHeads, kvHeads, headDim] = shape.split("x").map(Number);
  const sizes = { batch: 1, qHeads, kvHeads, headDim, kvLen, capacity: roundCapacity(kvLen) };
  return { label, kernels, problem: { ...CLAIM, ...sizes, ...changes } };
}

/** All sets, in the order of help texts. */
export const CASE_SETS: readonly CaseSet[] = [
  {
    name: "decode",
    description: "the published claim (f16, 32 bits, k = N/32), and around it",
    cases: [
      setCase("32x8x128", 8192, [...EVERYTHING, "prefill/*"]),
      setCase("32x8x128", 32768, [...EVERYTHING, "prefill/*"]),
      setCase("32x8x128", 131072, EVERYTHING),
      setCase("32x8x128", 32768, STAGES, { batch: 8 }),
      setCase("32x32x128", 32768, EVERYTHING),
      setCase("32x32x128", 131072, STAGES),
      setCase("32x8x128", 131072, STAGES, { ...HATA, label: "HATA's sharing" }),
      setCase("32x8x128", 8192, RATIO, { ...WINDOWS, label: "windows 128+128" }),
      setCase("32x8x128", 32768, RATIO, { ...WINDOWS, label: "windows 128+128" }),
      setCase("32x8x128", 131072, RATIO, { ...WINDOWS, label: "windows 128+128" }),
      setCase("28x4x128", 32768, STEP),
      setCase("24x8x128", 32768, STEP),
      setCase("32x8x64", 32768, STEP),
    ],
  },
];

/**
 * The set called `name`.
 *
 * @throws {RangeError} one sentence with the known names.
 */
export function findCaseSet(name: string): CaseSet {
  const found = CASE_SETS.find((set) => set.name === name);
  if (!found) {
    const known = CASE_SETS.map((set) => set.name).join(", ");
    throw new RangeError(`no set of cases is called ${name}; known are ${known}`);
  }
  return found;
}
