/**
 * The problems that variants are tested on: a pairwise grid, in which every pair of values of two
 * factors occurs together in some problem.
 */
import { dealOut, pairwise } from "./pairwise.ts";
import { CODE_KINDS, type CodeKind, KV_KINDS, type KvKind } from "../../fixtures/generate.ts";
import type { Stage } from "../../kernels/core/variant.ts";
import { checkProblem } from "../../kernels/core/problem/check_problem.ts";
import { DEFAULT_BINS, type Problem, type TieRule } from "../../kernels/core/problem/problem.ts";
import { roundCapacity } from "../../kernels/core/problem/derived.ts";
import type { InputOptions } from "../inputs/input_options.ts";

/** A problem with its inputs. */
export interface TestCase {
  readonly p: Problem;
  readonly options: InputOptions;
  /**
   * Where variants share a grid of so many parts, the part of this case. Cases with the same shaders
   * are of the same part.
   */
  readonly partOf?: ReadonlyMap<number, number>;
}

/** The factors of a case. */
export interface Factors {
  /** [query heads, KV heads]: GQA groups of 3, 24, 7, 1 and 8. */
  heads: readonly [number, number];
  headDim: number;
  dtype: Problem["dtype"];
  bits: number;
  sharing: Problem["sharing"];
  planes: number;
  /** Bins of rotated codes. */
  bins: number;
  /** Whether rotated codes are of keys less their mean. */
  centre: boolean;
  layers: number;
  hidden: number;
  mapDtype: "f16" | "f32";
  topK: Problem["topK"];
  ties: TieRule;
  /** [sink, recent]. */
  windows: readonly [number, number];
  /** Tokens that the cache has room for. */
  capacity: number;
  /** Tokens that all sequences share. */
  prefix: number;
  lengths: readonly number[];
  kind: KvKind;
  codeKind: CodeKind;
}

type Values = { readonly [F in keyof Factors]: readonly Factors[F][] };

const VALUES: Values = {
  heads: [[24, 8], [48, 2], [28, 4], [32, 32], [64, 8]],
  // Rows of 8, 10, 14, 24 and 32 loads of f16: lanes do not share all of them evenly.
  headDim: [64, 80, 112, 192, 256],
  dtype: ["f16", "bf16", "f32"],
  bits: [32, 64, 128],
  sharing: ["head", "group", "kv"],
  planes: [0, 2, 1, 3],
  bins: [64, 256, 16],
  centre: [false, true],
  layers: [3, 1, 2],
  hidden: [64, 128],
  mapDtype: ["f16", "f32"],
  topK: [{ sparsity: 8 }, { count: 0 }, { count: 0xffffffff }, { count: 7 }],
  ties: ["lower", "higher"],
  windows: [[4, 8], [0, 0], [90, 90], [0xffffffff, 1]],
  capacity: [272],
  prefix: [0],
  lengths: [[257], [1], [131, 40], [64, 2, 97]],
  kind: KV_KINDS,
  codeKind: CODE_KINDS,
};

/** Numbers of parts that grids are dealt out to. */
const PARTS = [1, 2, 3];

/** The factors of a stage's grid, with other values if the default ones do not suit the stage. */
interface StageGrid {
  /**
   * Factors that change the shaders, which are slow to compile on a software adapter. Lengths are one
   * where a shader knows the number of sequences.
   */
  readonly compiled: readonly (keyof Factors)[];
  /** Factors that change the inputs only. */
  readonly data: readonly (keyof Factors)[];
  readonly values?: Partial<Values>;
}

/** Lengths of several runs and blocks: whole blocks, one token more, and a prime. */
const LONG: Partial<Values> = {
  capacity: [2064],
  lengths: [[1543], [1], [2048, 513], [97, 2, 1031]],
};

const CACHE = ["heads", "headDim", "dtype"] as const;
const LISTS = ["heads", "bits", "sharing", "planes"] as const;
const MAP = ["layers", "hidden", "mapDtype"] as const;

const GRIDS: Partial<Record<Stage, StageGrid>> = {
  encode_query: { compiled: ["headDim", ...LISTS, ...MAP], data: ["kind"] },
  encode_append: { compiled: [...CACHE, "bits", "sharing", ...MAP, "lengths"], data: ["kind"] },
  encode_prompt: {
    compiled: [...CACHE, "bits", "sharing", ...MAP, "lengths"],
    data: ["kind"],
    // The map encodes every token of every head, so the same group sizes with fewer heads.
    values: { heads: [[24, 8], [24, 1], [14, 2], [4, 4], [8, 1]] },
  },
  score: { compiled: [...LISTS, "windows"], data: ["codeKind", "lengths"], values: LONG },
  select: {
    compiled: [...LISTS, "windows", "topK", "ties"],
    data: ["codeKind", "lengths"],
    values: LONG,
  },
  attend: {
    compiled: [...CACHE, "sharing", "windows", "topK", "lengths"],
    data: ["kind"],
    values: { heads: [[24, 8], [28, 4], [48, 2], [64, 8]] },
  },
  merge: { compiled: ["heads", "headDim"], data: [] },
  dense: { compiled: [...CACHE, "lengths"], data: ["kind"] },
  prefill: {
    compiled: CACHE,
    data: ["kind", "lengths"],
    // Every token of every head is a query, so the same group sizes with fewer heads.
    values: { heads: [[6, 2], [5, 1], [7, 1], [2, 2], [8, 1]] },
  },
  pipeline: {
    compiled: [...CACHE, "bits", "sharing", ...MAP, "windows", "topK", "ties", "lengths"],
    data: ["kind", "codeKind"],
    // A case runs five kernels, each of which has its own grid, so fewer values with the odd ones.
    values: {
      heads: [[24, 1], [28, 4], [2, 2]],
      headDim: [96, 128, 192],
      topK: [{ sparsity: 8 }, { count: 0 }, { count: 0xffffffff }],
      windows: [[4, 8], [0, 0], [90, 90]],
      sharing: ["head", "group"],
    },
  },
};

/** Values of rotated codes. */
const ROTATED: Partial<Values> = { layers: [0], sharing: ["kv"] };

/** Grids of rotated codes. */
const ROTATED_GRIDS: Partial<Record<Stage, StageGrid>> = {
  encode_query: {
    compiled: ["heads", "headDim", "bits", "planes", "bins", "lengths"],
    data: ["kind"],
    values: ROTATED,
  },
  encode_append: {
    compiled: [...CACHE, "bits", "centre", "lengths"],
    data: ["kind"],
    values: ROTATED,
  },
  encode_prompt: {
    compiled: [...CACHE, "bits", "centre", "lengths"],
    data: ["kind"],
    values: { ...ROTATED, heads: [[24, 8], [24, 1], [14, 2], [4, 4], [8, 1]] },
  },
  score: {
    compiled: ["heads", "bits", "planes", "bins", "windows"],
    data: ["codeKind", "lengths"],
    values: { ...ROTATED, ...LONG },
  },
  pipeline: {
    compiled: [...CACHE, "bits", "planes", "bins", "centre", "ties", "windows", "topK"],
    data: ["kind", "codeKind", "lengths"],
    // Six pipelines take these, whose stages have grids of their own, so fewer values.
    values: {
      ...ROTATED,
      kind: ["normal", "zero-rows", "outliers"],
      codeKind: ["random", "near-ties"],
      heads: [[24, 1], [28, 4], [2, 2]],
      headDim: [96, 128, 192],
      topK: [{ sparsity: 8 }, { count: 0 }, { count: 0xffffffff }],
      windows: [[4, 8], [0, 0], [90, 90]],
    },
  },
};

/** Grids of weighted codes, which few pipelines run. */
const WEIGHTED_GRIDS: Partial<Record<Stage, StageGrid>> = {
  pipeline: {
    compiled: ["heads", "bits", "sharing", "planes", "windows", "topK", "ties"],
    data: ["lengths"],
    values: {
      heads: [[24, 1], [28, 4], [2, 2]],
      planes: [2, 1, 3],
      topK: [{ sparsity: 8 }, { count: 0 }, { count: 0xffffffff }],
      windows: [[4, 8], [0, 0], [90, 90]],
    },
  },
};

/** Grids of rivals, whose scores are floats. */
const RIVAL_GRIDS: Partial<Record<Stage, StageGrid>> = {
  encode_append: {
    compiled: CACHE,
    data: ["kind", "lengths"],
    values: { heads: [[6, 2], [5, 1]], lengths: [[257], [1], [131, 40], [64, 2, 97, 17]] },
  },
  encode_prompt: {
    compiled: CACHE,
    data: ["kind", "lengths"],
    values: { heads: [[6, 2], [5, 1]], lengths: [[272], [1], [131, 40], [64, 2, 97, 17]] },
  },
  attend: {
    compiled: ["dtype", "windows", "topK"],
    data: ["kind", "lengths"],
    values: {
      heads: [[6, 2]],
      dtype: ["f16", "f32"],
      topK: [{ sparsity: 4 }, { count: 0xffffffff }, { count: 35 }],
      windows: [[4, 8], [0, 0], [90, 90]],
    },
  },
  score: {
    compiled: CACHE,
    data: ["kind", "lengths"],
    values: { heads: [[6, 2], [7, 1], [2, 2]], headDim: [64, 96, 80] },
  },
  select: {
    compiled: ["windows", "topK", "ties"],
    data: ["codeKind", "lengths"],
    values: {
      ...LONG,
      heads: [[6, 2]],
      topK: [{ sparsity: 8 }, { count: 0xffffffff }],
      windows: [[4, 8], [0, 0], [90, 90]],
    },
  },
  rival: {
    compiled: [...CACHE, "windows"],
    data: ["kind", "lengths"],
    // Stages have grids of their own, so few values.
    values: { heads: [[6, 2], [5, 1]], headDim: [64, 80], windows: [[4, 8], [0, 0]] },
  },
};

/** Grids of product-quantised keys, where they are not those of the other rivals. */
const PQ_GRIDS: Partial<Record<Stage, StageGrid>> = {
  encode_append: {
    compiled: CACHE,
    data: ["kind", "lengths"],
    values: { heads: [[6, 2], [5, 1], [2, 2]], headDim: [64, 96, 192] },
  },
  encode_prompt: {
    compiled: CACHE,
    data: ["kind", "lengths"],
    // Shaders that compare with all centroids are slow to compile, so few of them.
    values: {
      heads: [[2, 2], [5, 1]],
      headDim: [64, 96],
      kind: ["normal", "outliers", "equal-logits", "zero-rows"],
      lengths: [[257], [1], [64, 2, 97]],
    },
  },
  score: {
    compiled: CACHE,
    data: ["kind", "lengths"],
    values: { heads: [[6, 2], [7, 1], [2, 2]], headDim: [64, 80, 192] },
  },
};

/** Sequences that share a prefix, with tails of one token and more. */
const PREFIXED: Partial<Values> = {
  ...ROTATED,
  prefix: [144, 16, 160],
  capacity: [272],
  lengths: [[257], [161, 200], [190, 272, 161]],
};

/** The same with prefixes of a block, of less and of more. */
const LONG_PREFIXED: Partial<Values> = {
  ...ROTATED,
  prefix: [144, 1024, 1040],
  capacity: [2064],
  lengths: [[1100], [1041, 1500], [1543, 1042, 1041]],
};

/** Kinds of keys for kernels whose own grid has all of them. */
const FEW_KINDS: Partial<Values> = { kind: ["normal", "outliers", "zero-rows"] };

/** Grids of sequences that share a prefix. */
const PREFIX_GRIDS: Partial<Record<Stage, StageGrid>> = {
  encode_append: {
    compiled: [...CACHE, "bits", "prefix"],
    data: ["kind", "lengths"],
    values: { ...PREFIXED, ...FEW_KINDS, heads: [[6, 2], [5, 1]], headDim: [64, 80, 192] },
  },
  encode_prompt: {
    compiled: [...CACHE, "bits", "prefix"],
    data: ["kind", "lengths"],
    values: { ...PREFIXED, ...FEW_KINDS, heads: [[6, 2], [5, 1]], headDim: [64, 80, 192] },
  },
  score: {
    compiled: ["heads", "bits", "planes", "bins", "windows", "prefix"],
    data: ["codeKind", "lengths"],
    values: { ...LONG_PREFIXED, heads: [[6, 2], [5, 1], [2, 2], [8, 1]] },
  },
  dense: {
    compiled: [...CACHE, "prefix", "lengths"],
    data: ["kind"],
    values: { ...PREFIXED, heads: [[6, 2], [5, 1], [2, 2]], headDim: [64, 80, 112] },
  },
  pipeline: {
    compiled: [...CACHE, "bits", "planes", "ties", "windows", "topK", "prefix"],
    data: ["kind", "codeKind", "lengths"],
    values: {
      // Three pipelines take these, whose stages have grids of their own, so fewer values.
      ...LONG_PREFIXED,
      capacity: [1104],
      lengths: [[1100], [1041, 1099], [1060, 1042, 1041]],
      kind: ["normal", "outliers"],
      codeKind: ["random", "near-ties"],
      heads: [[6, 2], [5, 1]],
      headDim: [96, 128],
      dtype: ["f16", "bf16"],
      bits: [128, 32],
      planes: [2, 0],
      topK: [{ sparsity: 8 }, { count: 0xffffffff }],
      windows: [[4, 8], [0, 0], [90, 90]],
    },
  },
};

/** A case of rotated codes with the given factors, and the first value of every other factor. */
export function rotatedCase(
  factors: Partial<Factors>,
  options: Partial<InputOptions> = {},
): TestCase {
  return testCase({ layers: 0, sharing: "kv", bits: 128, planes: 2, ...factors }, options);
}

/** A case with the given factors, and the first value of every other factor. */
export function testCase(
  factors: Partial<Factors>,
  options: Partial<InputOptions> = {},
): TestCase {
  const defaults = Object.fromEntries(
    Object.entries(VALUES).map(([factor, values]) => [factor, values[0]]),
  ) as unknown as Factors;
  const f = { ...defaults, ...factors };
  const kvLen = Math.max(...f.lengths);
  const p: Problem = {
    batch: f.lengths.length,
    qHeads: f.heads[0],
    kvHeads: f.heads[1],
    headDim: f.headDim,
    kvLen,
    lengths: f.lengths,
    capacity: Math.max(f.capacity, roundCapacity(kvLen)),
    ...(f.prefix > 0 ? { prefix: f.prefix } : {}),
    dtype: f.dtype,
    bits: f.bits,
    sharing: f.sharing,
    planes: f.planes,
    bins: { ...DEFAULT_BINS, count: f.bins },
    centre: f.centre,
    map: { layers: f.layers, hidden: f.hidden, dtype: f.mapDtype },
    topK: f.topK,
    ties: f.ties,
    sink: f.windows[0],
    recent: f.windows[1],
  };
  checkProblem(p);
  const { lengths, kind, codeKind } = f;
  return { p, options: { seed: 1, lengths, kind, codeKind, ...options } };
}

/** The pairwise grids of a stage. Cases with the same shaders are adjacent. */
export function gridOf(stage: Stage): TestCase[] {
  const grids = [GRIDS[stage], WEIGHTED_GRIDS[stage], ROTATED_GRIDS[stage]]
    .filter((grid) => grid !== undefined);
  if (grids.length === 0) throw new RangeError(`stage ${stage} has no grid`);
  return grids.flatMap((grid) => casesOf(stage, grid));
}

/** The pairwise grid of a stage where sequences share a prefix. */
export function prefixGridOf(stage: Stage): TestCase[] {
  const grid = PREFIX_GRIDS[stage];
  if (!grid) throw new RangeError(`stage ${stage} has no grid of shared prefixes`);
  return casesOf(stage, grid);
}

/** The pairwise grid of a stage's rivals. */
export function rivalGridOf(stage: Stage): TestCase[] {
  const grid = RIVAL_GRIDS[stage];
  if (!grid) throw new RangeError(`stage ${stage} has no grid of rivals`);
  return casesOf(stage, grid);
}

/** The pairwise grid of a stage of product-quantised keys. */
export function pqGridOf(stage: Stage): TestCase[] {
  const grid = PQ_GRIDS[stage];
  return grid ? casesOf(stage, grid) : rivalGridOf(stage);
}

function casesOf(stage: Stage, grid: StageGrid): TestCase[] {
  const values: Values = { ...VALUES, ...grid.values };
  const factors = [...grid.compiled, ...grid.data];
  const sizes = factors.map((factor) => values[factor].length);
  const shaders = pairwise(sizes.slice(0, grid.compiled.length));
  const shaderOf = (row: readonly number[]) =>
    shaders.findIndex((start) => start.every((value, f) => value === row[f]));
  const rows = pairwise(sizes, shaders).sort((a, b) => shaderOf(a) - shaderOf(b));
  const dealt = PARTS.map((parts) => [parts, dealOut(shaders, parts)] as const);
  const first = Object.fromEntries(
    Object.entries(grid.values ?? {}).map(([factor, [value]]) => [factor, value]),
  );
  return rows.map((row, seed) => {
    const chosen = factors.map((factor, f) => [factor, values[factor][row[f]]]);
    const made = testCase(
      { ...first, capacity: values.capacity[0], ...Object.fromEntries(chosen) },
      { seed, poisonUnselected: stage === "attend" },
    );
    const partOf = new Map(dealt.map(([parts, of]) => [parts, of[shaderOf(row)]]));
    return { ...made, partOf };
  });
}

/** A case in one line, for failure messages. */
export function describeCase({ p, options }: TestCase): string {
  return JSON.stringify({ ...p, ...options });
}
