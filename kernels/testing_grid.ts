/**
 * The problems that contenders are tested on: a pairwise grid, in which every two values of two
 * different factors meet in some problem, and corners that no grid meets.
 */
import { CODE_KINDS, type CodeKind, KV_KINDS, type KvKind } from "../fixtures/generate.ts";
import type { Stage } from "./contender.ts";
import { checkProblem, type Problem, roundCapacity } from "./problem.ts";
import type { InputOptions } from "./testing_inputs.ts";

/** A problem with its inputs. */
export interface TestCase {
  readonly p: Problem;
  readonly options: InputOptions;
}

/** Everything that a case is made of. */
interface Factors {
  /** [query heads, KV heads]: groups of 3, 5, 7, 1, 8 and 4. */
  heads: readonly [number, number];
  headDim: Problem["headDim"];
  dtype: Problem["dtype"];
  bits: number;
  sharing: Problem["sharing"];
  layers: number;
  hidden: number;
  mapDtype: "f16" | "f32";
  lengths: readonly number[];
  topK: Problem["topK"];
  /** [sink, recent]. */
  windows: readonly [number, number];
  kind: KvKind;
  codeKind: CodeKind;
  /** Tokens of room beyond the longest sequence. */
  room: number;
}

const VALUES: { readonly [F in keyof Factors]: readonly Factors[F][] } = {
  heads: [[24, 8], [40, 8], [28, 4], [32, 32], [64, 8], [4, 1]],
  headDim: [64, 96, 128, 256],
  dtype: ["f16", "bf16", "f32"],
  bits: [32, 64, 128],
  sharing: ["head", "group"],
  layers: [1, 2, 3],
  hidden: [64, 128, 256],
  mapDtype: ["f16", "f32"],
  lengths: [[1], [2], [257], [131, 40], [64, 1, 97]],
  topK: [{ count: 0 }, { count: 7 }, { count: 0xffffffff }, { sparsity: 8 }, { sparsity: 1 }],
  windows: [[0, 0], [4, 8], [16, 0], [0, 33], [90, 90], [0xffffffff, 1]],
  kind: KV_KINDS,
  codeKind: CODE_KINDS,
  room: [0, 64],
};

/** Selections work on long lists: several runs and blocks, a length of whole blocks, a prime. */
const LONG: Factors["lengths"][] = [[1], [2], [1543], [2048, 600], [97, 1, 1031]];

const CACHE = ["heads", "headDim", "dtype", "kind", "room"] as const;
const LISTS = ["heads", "bits", "sharing", "topK", "windows", "codeKind", "room"] as const;
const MAP = ["bits", "sharing", "layers", "hidden", "mapDtype"] as const;

/** Factors that matter to a stage; the others keep their first value. */
const STAGE_FACTORS: Partial<Record<Stage, readonly (keyof Factors)[]>> = {
  encode_query: ["heads", "headDim", "kind", ...MAP],
  encode_append: [...CACHE, ...MAP, "lengths"],
  encode_prompt: [...CACHE, ...MAP, "lengths"],
  score: [...LISTS, "lengths"],
  select: [...LISTS, "lengths"],
  attend: [...CACHE, "lengths", "sharing", "topK", "windows"],
  merge: ["heads", "headDim"],
  dense: [...CACHE, "lengths"],
  pipeline: [...CACHE, ...MAP, "lengths", "topK", "windows", "codeKind"],
};

/**
 * Rows of value indices such that any two values of any two factors share a row: greedily, each
 * row starts from a pair that is still missing and takes the value that adds the most pairs.
 */
export function pairwise(sizes: readonly number[]): number[][] {
  const missing = new Set<string>();
  const key = (f: number, a: number, g: number, b: number) =>
    f < g ? `${f},${a},${g},${b}` : `${g},${b},${f},${a}`;
  for (let f = 0; f < sizes.length; f++) {
    for (let g = f + 1; g < sizes.length; g++) {
      for (let a = 0; a < sizes[f]; a++) {
        for (let b = 0; b < sizes[g]; b++) missing.add(key(f, a, g, b));
      }
    }
  }
  const rows: number[][] = [];
  while (missing.size > 0) {
    const [f, a, g, b] = [...missing][0].split(",").map(Number);
    const row = sizes.map(() => -1);
    row[f] = a;
    row[g] = b;
    const gain = (factor: number, value: number) =>
      row.filter((other, at) => other >= 0 && missing.has(key(factor, value, at, other))).length;
    sizes.forEach((size, factor) => {
      if (row[factor] >= 0) return;
      // Ties go to a value that moves on from row to row, so that single factors vary too.
      const order = Array.from({ length: size }, (_, i) => (i + rows.length) % size);
      row[factor] = order.reduce((best, v) => gain(factor, v) > gain(factor, best) ? v : best);
    });
    row.forEach((v, at) => row.slice(0, at).forEach((w, g) => missing.delete(key(at, v, g, w))));
    rows.push(row);
  }
  return rows;
}

function makeCase(f: Factors, seed: number): TestCase {
  const kvLen = Math.max(...f.lengths);
  const p: Problem = {
    batch: f.lengths.length,
    qHeads: f.heads[0],
    kvHeads: f.heads[1],
    headDim: f.headDim,
    kvLen,
    capacity: roundCapacity(kvLen + f.room),
    dtype: f.dtype,
    bits: f.bits,
    sharing: f.sharing,
    map: { layers: f.layers, hidden: f.hidden, dtype: f.mapDtype },
    topK: f.topK,
    sink: f.windows[0],
    recent: f.windows[1],
  };
  checkProblem(p);
  return { p, options: { seed, lengths: f.lengths, kind: f.kind, codeKind: f.codeKind } };
}

/** A case with the first value of every factor but those given. */
export function testCase(factors: Partial<Factors>, options: Partial<InputOptions> = {}): TestCase {
  const first = Object.fromEntries(
    Object.entries(VALUES).map(([factor, values]) => [factor, values[0]]),
  ) as unknown as Factors;
  const made = makeCase({ ...first, ...factors }, 1);
  return { ...made, options: { ...made.options, ...options } };
}

/** The pairwise grid of a stage. */
export function gridOf(stage: Stage): TestCase[] {
  const factors = STAGE_FACTORS[stage];
  if (!factors) throw new RangeError(`stage ${stage} has no grid`);
  const long = stage === "score" || stage === "select";
  const valuesOf = (factor: keyof Factors): readonly unknown[] =>
    factor === "lengths" && long ? LONG : VALUES[factor];
  return pairwise(factors.map((factor) => valuesOf(factor).length)).map((row, seed) => {
    const chosen = factors.map((factor, at) => [factor, valuesOf(factor)[row[at]]]);
    return testCase(Object.fromEntries(chosen), { seed, poisonUnselected: stage === "attend" });
  });
}

/** A case in one line, for the message of a failure. */
export function describeCase({ p, options }: TestCase): string {
  return JSON.stringify({ ...p, ...options });
}
