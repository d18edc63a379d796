/**
 * Makes the inputs of a variant's plan. References compute the outputs of earlier stages, so that
 * each stage is tested alone. Rows past a sequence's length are poison.
 */
import { type CodeKind, generateKv } from "../../fixtures/generate.ts";
import { packKv } from "../../fixtures/half.ts";
import { createPageTable, placeCache } from "../../fixtures/cache_layout.ts";
import { createRandom, type Random } from "../../fixtures/random.ts";
import { createTokenIndex, scatterTokens } from "../../fixtures/token_pool.ts";
import type { Params } from "../../kernels/core/problem/constants.ts";
import type { Variant } from "../../kernels/core/variant.ts";
import { NO_SINK_LOGIT } from "../../kernels/core/layout.ts";
import { hasPlainCache } from "../../kernels/core/problem/cache_layout.ts";
import {
  codeHeads,
  groupSize,
  listHeads,
  mapLayers,
  prefixOf,
  queriesPerList,
} from "../../kernels/core/problem/derived.ts";
import type { Problem } from "../../kernels/core/problem/problem.ts";
import { PQ_PARTS, pqNames } from "../../kernels/encode/pq.ts";
import { pageCapacity, pagesOf } from "../../kernels/core/problem/pages.ts";
import { labelFormOf } from "../../kernels/verify/verify_labels.ts";
import { labelsOfKeys, randomChannels } from "./label_inputs.ts";
import { boundsOfPages, listsOfPages } from "./page_inputs.ts";
import { packPrefix, sharePrefix } from "./prefix_inputs.ts";
import { type InputOptions, type Inputs, STREAM } from "./input_options.ts";
import { makeLists } from "./list_inputs.ts";
import {
  branchCaches,
  decayInputs,
  gates,
  indexInputs,
  lastTokens,
  pqInputs,
  slotInputs,
} from "./system_inputs.ts";

/** Makes the contents of every input buffer of a variant's plan. */
export function makeInputs(
  variant: Variant,
  p: Problem,
  params: Params,
  options: InputOptions,
): Inputs {
  const wanted = Object.entries(variant.plan(p, params).buffers)
    .filter(([name, { role }]) => role === "input" || name === "codes")
    .map(([name]) => name);
  const has = (...names: string[]) => names.some((name) => wanted.includes(name));
  const made: Record<string, ArrayBufferView<ArrayBuffer>> = {
    lengths: Uint32Array.from(options.lengths),
    first_tokens: new Uint32Array(options.lengths.length),
    sink_logits: sinkLogits(p, options),
    ...(has("query_map") ? { query_map: randomMaps(p, options.seed) } : {}),
    ...(has("key_map") ? { key_map: randomMaps(p, options.seed + 1) } : {}),
    ...(has("scores") ? { scores: randomScores(p, options, p.capacity, options.lengths) } : {}),
    ...(has("index_codes") ? indexInputs(p, options) : {}),
    ...Object.assign(
      {},
      ...PQ_PARTS.filter((parts) => has(...Object.values(pqNames(parts))))
        .map((parts) => pqInputs(variant, p, parts, options)),
    ),
    ...(has("partial_out") ? randomPartials(p, params, options.seed) : {}),
  };
  if (has("branch_keys")) Object.assign(made, branchCaches(p, options));
  if (has("compress_map")) Object.assign(made, lastTokens(p, options));
  if (has("gates")) made.gates = gates(p, options);
  const lists = has("codes", "query_codes", "key_stats", "distances", "selected")
    ? makeLists(variant, p, params, options)
    : undefined;
  if (lists) Object.assign(made, lists.buffers);
  const pages = has("page_scores", "selected_pages") ? makePageLists(p, options) : undefined;
  if (pages) Object.assign(made, pages.buffers);
  const form = labelFormOf((name) =>
    wanted.includes(name) || name in variant.plan(p, params).buffers
  );
  const channels = form ? randomChannels(form, p, options.seed) : undefined;
  if (form) made[form.channels] = channels!;
  if (has("slot_keys")) return { ...made, ...slotInputs(p, params, options) };
  if (has("q", "prompt_q", "keys", "values", "pool_keys", "pool_values", "page_bounds")) {
    const { q, k, v } = generateKv({
      ...p,
      // A sequence without tokens gets a row that nobody may read.
      kvLen: options.lengths.map((length) => Math.max(length, 1)),
      seed: options.seed,
      kind: options.kind,
    });
    for (const cache of [k, v]) sharePrefix(p, p.kvHeads, cache);
    const selections = lists?.selections ?? pages?.selections;
    if (options.poisonUnselected && selections) poisonUnselected(p, selections, [k, v]);
    if (has("page_bounds")) {
      // An encoder puts in the newest token itself.
      const known = variant.stage === "score" ? 0 : 1;
      made.page_bounds = boundsOfPages(p, k, options.lengths.map((length) => length - known));
    }
    if (form) {
      // An encoder makes the label of the newest token itself.
      const known = variant.stage === "score" ? 0 : 1;
      const before = options.lengths.map((length) => length - known);
      made[form.labels] = labelsOfKeys(form, p, k, channels!, before);
    }
    if (has("prompt_q")) made.prompt_q = promptQueries(p, q, options);
    const placed = placedCache(p, [k, v], options);
    Object.assign(made, placed.table ? { lengths: placed.table } : {}, {
      q: made.q ?? (p.qDtype === "f16" ? packKv(q, "f16") : q),
      keys: packKv(placed.caches[0], p.dtype),
      values: packKv(placed.caches[1], p.dtype),
    });
    if (has("decays")) Object.assign(made, decayInputs(p, params, k, options));
    if (has("token_index")) {
      const index = createTokenIndex({ ...options, capacity: p.capacity });
      const pool = (cache: Float32Array) =>
        packKv(scatterTokens(cache, index, { ...p, ...options }), p.dtype);
      Object.assign(made, { token_index: index, pool_keys: pool(k), pool_values: pool(v) });
    }
  }
  const inputs = Object.fromEntries(
    wanted.filter((name) => made[name]).map((name) => [name, made[name]]),
  );
  return prefixOf(p) > 0 ? packPrefix(p, inputs) : inputs;
}

/** K and V where the problem has them, and the lengths with the page table behind them. */
function placedCache(
  p: Problem,
  caches: readonly Float32Array<ArrayBuffer>[],
  options: InputOptions,
): { readonly caches: readonly Float32Array<ArrayBuffer>[]; readonly table?: Uint32Array } {
  if (hasPlainCache(p)) return { caches };
  const { lengths } = options;
  const table = p.kvPages ? createPageTable(p, options) : undefined;
  return {
    caches: caches.map((cache) => placeCache(p, cache, lengths, table)),
    ...(table ? { table: Uint32Array.from([...lengths, ...table]) } : {}),
  };
}

/**
 * Queries of every token: the head's generated query, scaled down and with noise. Rows past the end
 * are NaN.
 */
function promptQueries(
  p: Problem,
  q: Float32Array,
  { lengths, seed }: InputOptions,
): Float32Array<ArrayBuffer> {
  const random = createRandom(seed, STREAM.prompts);
  const row = p.qHeads * p.headDim;
  const made = new Float32Array(p.batch * p.capacity * row).fill(NaN);
  lengths.forEach((length, sequence) => {
    for (let token = 0; token < length; token++) {
      const strength = token === length - 1 ? 1 : random.uniform();
      const start = (sequence * p.capacity + token) * row;
      for (let i = 0; i < row; i++) {
        made[start + i] = strength * q[sequence * row + i] + 0.25 * random.normal();
      }
    }
  });
  return made;
}

/** Random sink logits; every third head has none. */
function sinkLogits(p: Problem, { seed }: InputOptions): Float32Array<ArrayBuffer> {
  const random = createRandom(seed, STREAM.sinks);
  return Float32Array.from(
    { length: p.qHeads },
    (_, head) => head % 3 === 2 ? NO_SINK_LOGIT : 2 * random.normal(),
  );
}

/** Random weights that give the outputs of every layer about the spread of its inputs. */
function randomMaps(p: Problem, seed: number): Uint32Array<ArrayBuffer> {
  const random = createRandom(seed, STREAM.maps);
  const numbers: number[] = [];
  for (let head = 0; head < codeHeads(p); head++) {
    for (const [inputs, outputs] of mapLayers(p)) {
      const scale = 1 / Math.sqrt(inputs);
      for (let i = 0; i < inputs * outputs; i++) numbers.push(scale * random.normal());
      for (let i = 0; i < outputs; i++) numbers.push(0.25 * random.normal());
    }
  }
  return packKv(Float64Array.from(numbers), p.map.dtype);
}

/** Random partials. Every fourth split is empty, and every split of every fifth row. */
function randomPartials(
  p: Problem,
  { SPLITS: splits }: Params,
  seed: number,
): Record<string, Float32Array<ArrayBuffer>> {
  const random = createRandom(seed, STREAM.partials);
  const rows = p.batch * p.qHeads;
  const out = new Float32Array(rows * splits * p.headDim);
  const stats = new Float32Array(rows * splits * 2);
  for (let slot = 0; slot < rows * splits; slot++) {
    const empty = slot % 4 === 3 || Math.floor(slot / splits) % 5 === 4;
    const weight = empty ? 0 : 1 + 30 * random.uniform();
    stats[2 * slot] = empty ? NO_SINK_LOGIT : 8 * random.normal();
    stats[2 * slot + 1] = weight;
    for (let d = 0; d < p.headDim; d++) out[slot * p.headDim + d] = weight * random.normal();
  }
  return { partial_out: out, partial_stats: stats };
}

/** One score of a kind. Scores of a kind that is not random are few values, or one. */
const SCORES: Readonly<Record<CodeKind, (random: Random) => number>> = {
  "random": (random) => 10 * random.normal(),
  "all-ones": () => NaN,
  "all-zero": (random) => random.uniform() < 0.5 ? 0 : -0,
  "all-equal": () => 3.25,
  "near-ties": (random) => Math.floor(4 * random.uniform()) - 1,
};

/** Scores of pages, and the lists that they select. */
function makePageLists(p: Problem, options: InputOptions) {
  // The newest page has no score.
  const ranked = options.lengths.map((length) => pagesOf(length) - 1);
  const scores = randomScores(p, options, pageCapacity(p), ranked);
  const { buffers, selections } = listsOfPages(p, scores, options.lengths);
  return { buffers: { page_scores: scores, ...buffers }, selections };
}

/**
 * Scores of all lists, each with room for `capacity`. Those past the lengths are the largest, so
 * that reading them shows.
 */
function randomScores(
  p: Problem,
  { seed, codeKind = "random" }: InputOptions,
  capacity: number,
  lengths: readonly number[],
): Float32Array<ArrayBuffer> {
  const random = createRandom(seed, STREAM.scores);
  const scores = new Float32Array(p.batch * listHeads(p) * capacity).fill(Infinity);
  for (let list = 0; list < p.batch * listHeads(p); list++) {
    const length = lengths[Math.floor(list / listHeads(p))];
    for (let token = 0; token < length; token++) {
      scores[list * capacity + token] = SCORES[codeKind](random);
    }
  }
  return scores;
}

/** Fills the rows that no list of their KV head has selected with NaN. */
function poisonUnselected(
  p: Problem,
  selections: readonly Uint32Array[],
  caches: readonly Float32Array[],
): void {
  const listsPerKvHead = groupSize(p) / queriesPerList(p);
  for (let kvHead = 0; kvHead < p.batch * p.kvHeads; kvHead++) {
    const lists = selections.slice(kvHead * listsPerKvHead, (kvHead + 1) * listsPerKvHead);
    const used = new Set(lists.flatMap((tokens) => [...tokens]));
    for (let token = 0; token < p.capacity; token++) {
      if (used.has(token)) continue;
      const start = (kvHead * p.capacity + token) * p.headDim;
      for (const cache of caches) cache.fill(NaN, start, start + p.headDim);
    }
  }
}
