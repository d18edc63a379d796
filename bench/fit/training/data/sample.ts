/**
 * Draws the samples of a training step: queries of one context, keys of it and in some steps of
 * another context before it, and the targets to learn.
 */
import { createRandom, type Random } from "../../../../fixtures/random.ts";
import type { EdgeWindows } from "../../../selection/selector.ts";
import { type FitContext, middleOf } from "./contexts.ts";
import { normalExceededBy } from "./normal_quantile.ts";
import type { PositivesLoss, Recipe } from "../recipe.ts";
import { countUpTo, createRotation, draw, takeRows } from "./rows.ts";
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
  /** [1, K], the token of each key. */
  | "tokens"
  /** [Q, 1], the last token of each query's middle. */
  | "lastTokens";

/** Tensors of the recipes that learn attention mass. */
export type MassTensors =
  /** [heads, Q, 1], log-sum-exp of the logits outside the middle. */
  | "edges"
  /** [Q, 1], the cut at the budget in standard deviations above the mean similarity. */
  | "cuts"
  /** [1, 1], middle keys of the context per sampled key. */
  | "keyWeight";

/** Tensors of the paper's recipe: [heads, Q, K], 1 for a positive and 0 for a negative. */
export type PositiveTensors = "labels";

/** The samples of one step. */
export type Batch = Readonly<
  Record<SharedTensors, HostTensor> & Partial<Record<MassTensors | PositiveTensors, HostTensor>>
>;

/** Draws the samples of a step, counted from 0. Equal steps give equal samples. */
export type Sampler = (step: number) => Batch;

/** Settings that decide the samples. */
export interface SamplerOptions {
  readonly contexts: readonly FitContext[];
  readonly windows: EdgeWindows;
  readonly recipe: Recipe;
  readonly seed: number;
  /** Base of the model's RoPE; null without RoPE, which turns the rotation off. */
  readonly ropeBase: number | null;
}

/** The largest share of the keys above the cut. Few keys may all be within the budget. */
const MOST_TAKEN = 0.6;

/** Creates the sampler of a run. Each step has a random stream of its own. */
export function createSampler(options: SamplerOptions): Sampler {
  const { contexts, windows, recipe, seed } = options;
  const targets = contexts.map((context) => createTargets(context, windows));
  const rotate = createRotation(contexts[0].headDim, options.ropeBase);
  return (step) => {
    const random = createRandom(seed, step);
    const index = random.below(contexts.length);
    const context = contexts[index];
    const { headDim, positions, queryHeads: heads, usable } = context;
    const queries = draw(random, usable.length, recipe.queries).map((i) => usable[i]);
    const before = precedingContext(random, contexts, index, recipe.joins);
    const start = before?.kvLen ?? 0;
    const middle = middleTokens(windows.sink, start, start + context.kvLen);
    const tokens = recipe.keys === null
      ? middle
      : draw(random, middle.length, recipe.keys).map((i) => middle[i]).sort();
    const offset = Math.floor(random.uniform() * recipe.ropeOffsets);
    const lastTokens = queries.map((query) =>
      start + middleOf(windows, positions[query]).recentStart - 1
    );

    const queryRows = new Float32Array(heads * queries.length * headDim);
    for (let head = 0; head < heads; head++) {
      const indices = queries.map((query) => head * positions.length + query);
      takeRows(context.q, indices, headDim, queryRows.subarray(head * queries.length * headDim));
    }
    const keyRows = new Float32Array(tokens.length * headDim);
    const countBefore = countUpTo(tokens, start - 1);
    const rowsBefore = keyRows.subarray(0, countBefore * headDim);
    const contextRows = keyRows.subarray(countBefore * headDim);
    if (before) takeRows(before.k, tokens.subarray(0, countBefore), headDim, rowsBefore);
    takeRows(context.k, tokens.subarray(countBefore).map((t) => t - start), headDim, contextRows);
    rotate(rowsBefore, offset);
    for (const rows of [queryRows, contextRows]) rotate(rows, offset + start);

    const kvLen = start + context.kvLen;
    const picked = { context, kvLen, queries, tokens, lastTokens, targets: targets[index] };
    return {
      queries: { shape: [heads, queries.length, headDim], data: queryRows },
      keys: { shape: [tokens.length, headDim], data: keyRows },
      tokens: { shape: [1, tokens.length], data: Float32Array.from(tokens) },
      lastTokens: { shape: [queries.length, 1], data: Float32Array.from(lastTokens) },
      ...(recipe.loss.learns === "positives"
        ? positiveTensors(picked, recipe.loss)
        : massTensors(picked, recipe, middle.length / tokens.length)),
    };
  };
}

/** In a `share` of the draws, a context to put before the one at `index`; otherwise null. */
function precedingContext(
  random: Random,
  contexts: readonly FitContext[],
  index: number,
  share: number,
): FitContext | null {
  if (contexts.length === 1 || random.uniform() >= share) return null;
  return contexts[(index + 1 + random.below(contexts.length - 1)) % contexts.length];
}

/** Tokens after the sink of each of two joined contexts, which end at `start` and at `end`. */
function middleTokens(sink: number, start: number, end: number): Uint32Array<ArrayBuffer> {
  const countBefore = Math.max(0, start - sink);
  const tokens = new Uint32Array(countBefore + end - start - sink);
  for (let i = 0; i < tokens.length; i++) {
    tokens[i] = sink + (i < countBefore ? i : start + i - countBefore);
  }
  return tokens;
}

interface Picked {
  readonly context: FitContext;
  /** Tokens of the context and of the one before it. */
  readonly kvLen: number;
  readonly queries: Uint32Array;
  readonly tokens: Uint32Array;
  readonly lastTokens: Uint32Array;
  readonly targets: Targets;
}

function massTensors(
  { context, kvLen, queries, tokens, lastTokens, targets }: Picked,
  { sparsity }: Recipe,
  keyWeight: number,
): Record<MassTensors, HostTensor> {
  const budget = Math.floor(kvLen / sparsity) / keyWeight;
  const { queryHeads: heads } = context;
  const edges = new Float32Array(heads * queries.length);
  for (let i = 0; i < edges.length; i++) {
    const head = Math.floor(i / queries.length);
    edges[i] = targets.edgeLogSum(head, queries[i - head * queries.length]);
  }
  const cuts = Float32Array.from(lastTokens, (last) => {
    const valid = countUpTo(tokens, last);
    return normalExceededBy(Math.min(MOST_TAKEN, budget / Math.max(1, valid)));
  });
  return {
    edges: { shape: [heads, queries.length, 1], data: edges },
    cuts: { shape: [queries.length, 1], data: cuts },
    keyWeight: { shape: [1, 1], data: Float32Array.of(keyWeight) },
  };
}

function positiveTensors(
  { context, queries, tokens, targets }: Picked,
  { top }: PositivesLoss,
): Record<PositiveTensors, HostTensor> {
  const { queryHeads: heads } = context;
  const data = new Float32Array(heads * queries.length * tokens.length);
  for (let head = 0; head < heads; head++) {
    for (const [i, query] of queries.entries()) {
      const row = (head * queries.length + i) * tokens.length;
      for (const token of targets.positives(head, query, top)) {
        const key = countUpTo(tokens, token) - 1;
        if (tokens[key] === token) data[row + key] = 1;
      }
    }
  }
  return { labels: { shape: [heads, queries.length, tokens.length], data } };
}
