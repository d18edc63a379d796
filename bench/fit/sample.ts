/**
 * The samples of a training step: queries of one context, keys of it and perhaps of another one
 * before it, and what is to be learned.
 */
import { createRandom, type Random } from "../../fixtures/random.ts";
import { createRope } from "../../fixtures/rope.ts";
import type { EdgeWindows } from "../quality/selector.ts";
import { type FitContext, middleOf } from "./contexts.ts";
import { normalExceededBy } from "./normal_quantile.ts";
import { learnsPositives, type Recipe } from "./recipe.ts";
import { createTargets, type Targets } from "./targets.ts";

/** A tensor on the host. */
export interface HostTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array<ArrayBuffer>;
}

/** Tensors that every recipe needs. Q and K are sampled queries and keys. */
export type SharedTensors =
  /** [heads, Q, headDim], rotated. */
  | "queries"
  /** [K, headDim], rotated by the same offset. */
  | "keys"
  /** [1, K], token of each key. */
  | "tokens"
  /** [Q, 1], the last token of each query's middle. */
  | "lastTokens";

/** Tensors of the recipes that learn attention mass. */
export type MassTensors =
  /** [heads, Q, 1], ln of the summed exponentials of the logits outside the middle. */
  | "edges"
  /** [Q, 1], how many deviations above the mean similarity the budget cuts. */
  | "cuts"
  /** [1, 1], middle keys of the context per sampled key. */
  | "keyWeight";

/** Tensors of the paper's recipe: [heads, Q, K], 1 for a positive and 0 for a negative. */
export type PositiveTensors = "labels";

/** Samples of one step. */
export type Batch = Readonly<
  Record<SharedTensors, HostTensor> & Partial<Record<MassTensors | PositiveTensors, HostTensor>>
>;

/** Draws the samples of a step, counted from 0; equal steps give equal samples. */
export type Sampler = (step: number) => Batch;

/** What decides the samples. */
export interface SamplerOptions {
  readonly contexts: readonly FitContext[];
  readonly windows: EdgeWindows;
  readonly recipe: Recipe;
  readonly seed: number;
  /** Base of the model's RoPE; null without RoPE, which turns the rotation off. */
  readonly ropeBase: number | null;
}

/** The largest share of the keys at which `cut` cuts: of few keys, the budget takes them all. */
const MOST_TAKEN = 0.6;

/** Creates the sampler of a run. Each step has a random stream of its own. */
export function createSampler(options: SamplerOptions): Sampler {
  const { contexts, windows, recipe, seed } = options;
  const targets = contexts.map((context) => createTargets(context, windows));
  const rotate = createRotation(contexts[0].headDim, options.ropeBase);
  return (step) => {
    const random = createRandom(seed, step);
    const at = random.below(contexts.length);
    const context = contexts[at];
    const queries = draw(random, context.usable, recipe.queries);
    const before = precedingContext(random, contexts, at, recipe.joins);
    const start = before?.kvLen ?? 0;
    const kvLen = start + context.kvLen;
    const ofBefore = before ? tokensFrom(windows.sink, start) : [];
    const middle = [...ofBefore, ...tokensFrom(start + windows.sink, kvLen)];
    const tokens = recipe.keys === null
      ? middle
      : draw(random, middle, recipe.keys).sort((a, b) => a - b);
    const offset = Math.floor(random.uniform() * recipe.ropeOffsets);
    const lastTokens = queries.map((query) =>
      start + middleOf(windows, context.positions[query]).recentStart - 1
    );
    const heads = Array.from({ length: context.queryHeads }, (_, head) => head);
    const { headDim, positions } = context;
    const places = heads.flatMap((head) => queries.map((query) => head * positions.length + query));
    const shared = {
      queries: {
        shape: [heads.length, queries.length, headDim],
        data: rotate(takeRows(context.q, places, headDim), offset + start),
      },
      keys: {
        shape: [tokens.length, headDim],
        data: joinRows(
          before
            ? rotate(takeRows(before.k, tokens.filter((t) => t < start), headDim), offset)
            : new Float32Array(0),
          rotate(
            takeRows(context.k, tokens.filter((t) => t >= start).map((t) => t - start), headDim),
            offset + start,
          ),
        ),
      },
      tokens: { shape: [1, tokens.length], data: Float32Array.from(tokens) },
      lastTokens: { shape: [queries.length, 1], data: Float32Array.from(lastTokens) },
    };
    const picked = { context, kvLen, queries, tokens, lastTokens, targets: targets[at] };
    return {
      ...shared,
      ...(learnsPositives(recipe)
        ? positiveTensors(picked, recipe)
        : massTensors(picked, recipe, middle.length / tokens.length)),
    };
  };
}

/** For a `share` of the draws another context than `at`, to stand before it; else null. */
function precedingContext(
  random: Random,
  contexts: readonly FitContext[],
  at: number,
  share: number,
): FitContext | null {
  if (contexts.length === 1 || random.uniform() >= share) return null;
  return contexts[(at + 1 + random.below(contexts.length - 1)) % contexts.length];
}

/** The tokens from `first` up to `end`. */
function tokensFrom(first: number, end: number): number[] {
  return Array.from({ length: end - first }, (_, i) => first + i);
}

function joinRows(
  first: Float32Array<ArrayBuffer>,
  second: Float32Array<ArrayBuffer>,
): Float32Array<ArrayBuffer> {
  const joined = new Float32Array(first.length + second.length);
  joined.set(first);
  joined.set(second, first.length);
  return joined;
}

/** Turns rows by a common offset, in place; without RoPE, or by 0, it leaves them. */
export function createRotation(
  headDim: number,
  base: number | null,
): (rows: Float32Array<ArrayBuffer>, offset: number) => Float32Array<ArrayBuffer> {
  const rope = base === null ? null : createRope(headDim, base);
  return (rows, offset) => {
    if (offset === 0) return rows;
    rope?.(rows, offset, Array.from({ length: rows.length / headDim }, (_, row) => row * headDim));
    return rows;
  };
}

interface Picked {
  readonly context: FitContext;
  /** Tokens of the context and of the one before it. */
  readonly kvLen: number;
  readonly queries: readonly number[];
  readonly tokens: readonly number[];
  readonly lastTokens: readonly number[];
  readonly targets: Targets;
}

function massTensors(
  { context, kvLen, queries, tokens, lastTokens, targets }: Picked,
  { sparsity }: Recipe,
  keyWeight: number,
): Record<MassTensors, HostTensor> {
  const budget = Math.floor(kvLen / sparsity) / keyWeight;
  const cuts = lastTokens.map((last) => {
    let valid = 0;
    for (const token of tokens) valid += Number(token <= last);
    return normalExceededBy(Math.min(MOST_TAKEN, budget / Math.max(1, valid)));
  });
  const { queryHeads: heads } = context;
  const edges = Array.from(
    { length: heads },
    (_, head) => queries.map((query) => targets.edgeLogSum(head, query)),
  );
  return {
    edges: { shape: [heads, queries.length, 1], data: Float32Array.from(edges.flat()) },
    cuts: { shape: [queries.length, 1], data: Float32Array.from(cuts) },
    keyWeight: { shape: [1, 1], data: Float32Array.of(keyWeight) },
  };
}

function positiveTensors(
  { context, queries, tokens, targets }: Picked,
  { top }: Recipe,
): Record<PositiveTensors, HostTensor> {
  const { queryHeads: heads } = context;
  const data = new Float32Array(heads * queries.length * tokens.length);
  const places = new Map(tokens.map((token, place) => [token, place]));
  for (let head = 0; head < heads; head++) {
    for (const [i, query] of queries.entries()) {
      const row = (head * queries.length + i) * tokens.length;
      for (const token of targets.positives(head, query, top)) {
        const place = places.get(token);
        if (place !== undefined) data[row + place] = 1;
      }
    }
  }
  return { labels: { shape: [heads, queries.length, tokens.length], data } };
}

/** `count` of the values without replacement, or all: a Fisher-Yates shuffle cut short. */
function draw(random: Random, values: readonly number[], count: number): number[] {
  const pool = [...values];
  const taken = Math.min(count, pool.length);
  for (let i = 0; i < taken; i++) {
    const other = i + random.below(pool.length - i);
    [pool[i], pool[other]] = [pool[other], pool[i]];
  }
  return pool.slice(0, taken);
}

function takeRows(
  rows: Float32Array,
  places: readonly number[],
  width: number,
): Float32Array<ArrayBuffer> {
  const taken = new Float32Array(places.length * width);
  for (const [i, place] of places.entries()) {
    taken.set(rows.subarray(place * width, (place + 1) * width), i * width);
  }
  return taken;
}
