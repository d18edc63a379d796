/** Named sets of cases, each of which backs a claim. Cases are in the order of the tables. */
import { type Problem, ROTATED_CODE } from "../../kernels/core/problem/problem.ts";
import { roundCapacity } from "../../kernels/core/problem/derived.ts";

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

/** The two dense kernels that are the fastest on GPUs: which of them is depends on the compiler. */
const FASTEST_DENSE = ["dense/split_scatter", "dense/split_subgroup"];

/** Those that are fast over long caches. */
const LONG = [
  ...FASTEST_DENSE,
  "pipeline/sparse_t*",
  "pipeline/*_four",
  "pipeline/rotated_*",
];

/** Also score, select and attend on their own. */
const STEP = ["score/*", "select/counting*", "attend/*", ...RATIO];

/** Also the other stages of a decode step. */
const STAGES = [...STEP, "encode/query", "encode/append", "merge/*"];

/** Also the kernels outside a decode step: the encoding of the prompt, and the rivals. */
const EVERYTHING = [...STAGES, "encode/prompt", "select/*", "dense/*"];

/** What a case changes of the claim's settings. */
type Changes = Partial<Problem> & Partial<Pick<SetCase, "label" | "quality">>;

function setCase(
  shape: string,
  kvLen: number,
  kernels: readonly string[],
  { label = shape, quality, ...changes }: Changes = {},
): SetCase {
  const [qHeads, kvHeads, headDim] = shape.split("x").map(Number);
  const sizes = { batch: 1, qHeads, kvHeads, headDim, kvLen, capacity: roundCapacity(kvLen) };
  const problem = { ...CLAIM, ...sizes, ...changes };
  return { label, kernels, problem, ...(quality ? { quality } : {}) };
}

/** Figures of a code and budget on a trace of 16,384 tokens, of `fixtures/quality/sympy.csv`. */
function sympy(error: number, mass: number): TraceFigures {
  return { error, mass, tokens: 16384 };
}

/**
 * Codes and budgets with about the same error. The paper's rule at N/32 has an error of 0.185 on a
 * retrieval head (L7) and of 0.107 on a diffuse one (L0). The others have the smallest budget of
 * `fixtures/quality/sympy.csv` whose error is not larger; the last one of L7 has a third of
 * the error.
 */
export const EQUAL_ERROR: readonly (Changes & { readonly label: string })[] = [
  { ...WINDOWS, label: "paper, N/32", quality: sympy(0.185346, 0.831341) },
  {
    ...WINDOWS,
    label: "L7 weighted, N/48",
    planes: 2,
    topK: { sparsity: 48 },
    quality: sympy(0.159636, 0.851807),
  },
  {
    ...WINDOWS,
    ...ROTATED_CODE,
    label: "L7 rotated, N/160",
    topK: { sparsity: 160 },
    quality: sympy(0.175638, 0.827941),
  },
  {
    ...WINDOWS,
    ...ROTATED_CODE,
    label: "L7 3 planes, N/176",
    planes: 3,
    topK: { sparsity: 176 },
    quality: sympy(0.177326, 0.825794),
  },
  {
    ...WINDOWS,
    ...ROTATED_CODE,
    label: "L7 third of error",
    planes: 3,
    quality: sympy(0.0584927, 0.936056),
  },
  {
    ...WINDOWS,
    ...ROTATED_CODE,
    label: "L0 rotated, N/64",
    topK: { sparsity: 64 },
    quality: sympy(0.10009, 0.709427),
  },
];

/** Of other shapes than the traces' the error is not known. */
const [PAPER_RULE, , RETRIEVAL] = EQUAL_ERROR.map(({ quality: _, ...changes }) => changes);

/** Another system, to be timed beside dense attention and the suite's own step. */
interface Neighbour {
  /** Its decode step; names are those of kernels, not globs. */
  readonly kernels: readonly string[];
  /** The shapes that it is timed on. */
  readonly shapes: readonly string[];
}

/**
 * The systems of the set `neighbours`. A model is trained with them, so their error on traces of
 * other models means nothing: the set compares times only.
 */
const NEIGHBOURS: readonly Neighbour[] = [
  { kernels: ["pipeline/dsa"], shapes: ["32x8x128"] },
  { kernels: ["pipeline/acp", "pipeline/fox"], shapes: ["32x8x128"] },
  { kernels: ["pipeline/mosa", "pipeline/mosa_hybrid"], shapes: ["32x8x128"] },
  { kernels: ["pipeline/nsa"], shapes: ["32x8x128", "64x8x128", "64x4x128"] },
];

/** The cases of the neighbours: a case of a shape and length has all of its systems. */
function neighbourCases(): SetCase[] {
  const shapes = new Set(["32x8x128", ...NEIGHBOURS.flatMap((each) => each.shapes)]);
  return [...shapes].flatMap((shape) => {
    const systems = NEIGHBOURS.filter((each) => each.shapes.includes(shape));
    const kernels = [
      "dense/split*",
      "pipeline/rotated_*",
      ...systems.flatMap((each) => each.kernels),
    ];
    const label = `${shape.split("x", 2).join("x")} times only`;
    return [32768, 131072].map((kvLen) => setCase(shape, kvLen, kernels, { ...RETRIEVAL, label }));
  });
}

/** NSA with the paper's heads, whose rows of K and V have different lengths. */
const NSA_CASES: readonly SetCase[] = [32768, 131072].map((kvLen) =>
  setCase("64x4x192", kvLen, ["pipeline/nsa"], {
    ...RETRIEVAL,
    valueDim: 128,
    label: "192/128 times only",
  })
);

/** The fastest dense kernels and steps of sequences that share nothing. */
const APART = [...FASTEST_DENSE, "pipeline/rotated_two", "pipeline/rotated_short"];

/** Own tokens of a request behind a shared prefix: its question and the answer so far. */
const TAIL = 512;

/**
 * SCBench's requests over one context: R requests that share it, and the same as R sequences of their
 * own, which share nothing.
 */
const REQUEST_CASES: readonly SetCase[] = [32768, 131072].flatMap((prefix) =>
  [1, 5, 8, 32].flatMap((batch) => [
    setCase("32x8x128", prefix + TAIL, ["dense/cascade*", "pipeline/shared_*"], {
      ...RETRIEVAL,
      batch,
      prefix,
      label: `${batch} share a prefix`,
    }),
    setCase("32x8x128", prefix + TAIL, APART, {
      ...RETRIEVAL,
      batch,
      label: `${batch} share nothing`,
    }),
  ])
);

/** A task of SCBench. */
interface SessionTask {
  readonly name: string;
  /** Tokens of the context; SCBench's own are about as many. */
  readonly context: number;
  /** Tokens of an answer at most: SCBench's setting. */
  readonly answer: number;
}

/** Tasks with short and long contexts and answers. */
const SESSION_TASKS: readonly SessionTask[] = [
  { name: "ICL.ManyShot", context: 22528, answer: 10 },
  { name: "Code.RepoQA", context: 66560, answer: 1024 },
  { name: "En.Sum", context: 106496, answer: 200 },
  { name: "Retr.KV", context: 128000, answer: 150 },
];

/** Tokens of a question. SCBench does not name them, so this is an assumption. */
const QUESTION = 100;

/**
 * SCBench's sessions of several turns: the last token of the first answer and of the fifth, with the
 * questions and answers before it appended.
 */
const SESSION_CASES: readonly SetCase[] = SESSION_TASKS.flatMap(({ name, context, answer }) =>
  [1, 5].map((turn) =>
    setCase(
      "32x8x128",
      context + turn * (QUESTION + answer),
      [...APART, "encode/rotate_append"],
      { ...RETRIEVAL, label: `${name} ${turn}` },
    )
  )
);

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
  {
    name: "equal-error",
    description: "what the error of the paper's rule costs, with rotated and weighted codes too",
    cases: [
      ...[8192, 32768, 131072].flatMap((kvLen) =>
        EQUAL_ERROR.map((changes) => setCase("32x8x128", kvLen, RATIO, changes))
      ),
      ...[32768, 131072].flatMap((kvLen) =>
        [PAPER_RULE, RETRIEVAL].map((changes) => setCase("32x32x128", kvLen, RATIO, changes))
      ),
      ...["64x8x128", "28x4x128"].map((shape) => setCase(shape, 32768, RATIO, RETRIEVAL)),
      setCase("32x8x128", 32768, RATIO, { ...RETRIEVAL, batch: 8 }),
      ...[8192, 32768, 131072].map((kvLen) =>
        setCase("32x8x128", kvLen, ["encode/rotate_prompt"], {
          ...ROTATED_CODE,
          label: "encode the prompt",
        })
      ),
    ],
  },
  {
    name: "long",
    description: "caches of 256K to 1M tokens, of which the largest exceeds a binding",
    cases: [262144, 524288, 1048576].flatMap((kvLen) =>
      [PAPER_RULE, RETRIEVAL].map((changes) => setCase("32x8x128", kvLen, LONG, changes))
    ),
  },
  {
    name: "groups",
    description: "dense attention for groups of 4, 5, 7, 8 and 16 query heads per KV head",
    cases: ["32x8x128", "40x8x128", "28x4x128", "64x8x128", "64x4x128"].flatMap((shape) =>
      [32768, 131072].map((kvLen) => setCase(shape, kvLen, ["dense/split*"]))
    ),
  },
  {
    name: "neighbours",
    description: "systems that models are trained with, beside dense and rotated codes: times only",
    cases: [...neighbourCases(), ...NSA_CASES],
  },
  {
    name: "scbench",
    description: "SCBench's workloads: requests over one context, and sessions of several turns",
    cases: [...REQUEST_CASES, ...SESSION_CASES],
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
