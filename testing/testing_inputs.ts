/**
 * Makes the inputs of a variant's plan. References compute the outputs of earlier stages, so that
 * each stage is tested alone. Rows past a sequence's length are poison.
 */
import { type CodeKind, generateCodes, generateKv, type KvKind } from "../fixtures/generate.ts";
import { packKv } from "../fixtures/half.ts";
import { createPageTable, placeCache } from "../fixtures/cache_layout.ts";
import { createRandom, type Random } from "../fixtures/random.ts";
import { createTokenIndex, scatterTokens } from "../fixtures/token_pool.ts";
import type { Params, Variant } from "../kernels/core/variant.ts";
import { branchRows, headStats, INDEX, NO_SINK_LOGIT } from "../kernels/core/layout.ts";
import { hasPlainCache } from "../kernels/core/cache_layout.ts";
import {
  binsOf,
  codeHeads,
  codeWords,
  distanceBytes,
  groupSize,
  isRotated,
  listCapacity,
  listHeads,
  mapLayers,
  maxDistance,
  planesOf,
  prefixOf,
  type Problem,
  queriesPerList,
  queryWords,
  tiesOf,
  valueDimOf,
  windowsOf,
} from "../kernels/core/problem.ts";
import { centroidDtype, CENTROIDS, codePlace, PQ_PARTS, pqNames } from "../kernels/encode/pq.ts";
import { decayBlocks } from "../kernels/attend/decayed.ts";
import { keptDecays, normOf } from "../kernels/attend/decay_reference.ts";
import { slotCapacity } from "../kernels/encode/route.ts";
import { slotsOf } from "../kernels/encode/route_reference.ts";
import { compressedRows, NSA } from "../kernels/pipeline/nsa_reference.ts";
import { factorValue } from "../kernels/encode/rotation.ts";
import { packScale, scaleOf } from "../kernels/score/bins.ts";
import {
  binnedScoreReference,
  byteRowReference,
  histogramReference,
  scoreReference,
} from "../kernels/score/reference.ts";
import { pageCapacity, pagesOf } from "../kernels/core/pages.ts";
import { labelFormOf } from "../kernels/verify/verify_labels.ts";
import { labelsOfKeys, randomChannels } from "./testing_labels.ts";
import { boundsOfPages, listsOfPages } from "./testing_pages.ts";
import { packPrefix, sharePrefix } from "./testing_prefix.ts";
import { selectReference } from "../kernels/select/reference.ts";

/** Contents of input buffers by name. */
export type Inputs = Readonly<Record<string, ArrayBufferView<ArrayBuffer>>>;

/** Options of {@linkcode makeInputs}. */
export interface InputOptions {
  readonly seed: number;
  /** Tokens of each sequence. */
  readonly lengths: readonly number[];
  readonly kind?: KvKind;
  readonly codeKind?: CodeKind;
  /** Fills every row of K and V that no list has selected with NaN (attend only). */
  readonly poisonUnselected?: boolean;
}

/** Numbers of the random streams, different from those of `generateKv`. */
const STREAM = {
  maps: 101,
  sinks: 102,
  partials: 103,
  prompts: 104,
  factors: 105,
  scores: 106,
  centroids: 107,
  index: 108,
  decays: 109,
  slots: 110,
  gates: 111,
  compress: 112,
} as const;

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

/**
 * The caches of NSA's branches, and the queries. All keys are made for these queries, but lie in
 * another order in each branch, and values are its own. Rows that a step must not read are NaN.
 */
function branchCaches(
  p: Problem,
  { lengths, seed, kind }: InputOptions,
): Record<string, ArrayBufferView<ArrayBuffer>> {
  const { headDim, kvHeads, capacity } = p;
  const headRows = branchRows(p);
  const valueDim = valueDimOf(p);
  const [keys, values] = [headDim, valueDim].map((dim) =>
    new Float32Array(p.batch * kvHeads * headRows * dim).fill(NaN)
  );
  const branches = [
    { first: 0, rows: (length: number) => length },
    { first: capacity, rows: compressedRows },
    {
      first: capacity + capacity / NSA.stride,
      rows: (length: number) => Math.min(length, NSA.window),
    },
  ];
  const makeKv = (rows: (length: number) => number, ownSeed: number, dim = headDim) =>
    generateKv({
      ...p,
      headDim: dim,
      kvLen: lengths.map((length) => Math.max(1, rows(length))),
      seed: ownSeed,
      kind,
    });
  branches.forEach(({ first, rows }, branch) => {
    const { k } = makeKv(rows, seed);
    const { v } = makeKv(rows, seed + 1000 * (branch + 1), valueDim);
    // So large a logit leaves nothing of the logits of another branch.
    const scale = kind === "one-huge-logit" && branch > 0 ? 2 : 1;
    for (let head = 0; head < p.batch * kvHeads; head++) {
      const count = rows(lengths[Math.floor(head / kvHeads)]);
      for (let row = 0; row < count; row++) {
        const from = head * capacity + row;
        const to = head * headRows + first;
        const place = branch === 0 ? row : count - 1 - row;
        const scaled = k.subarray(from * headDim, (from + 1) * headDim).map((x) => scale * x);
        keys.set(scaled, (to + place) * headDim);
        values.set(v.subarray(from * valueDim, (from + 1) * valueDim), (to + row) * valueDim);
      }
    }
  });
  const { q } = makeKv((length) => length, seed);
  return { q, branch_keys: packKv(keys, p.dtype), branch_values: packKv(values, p.dtype) };
}

/** The last tokens of NSA's caches, and the maps that compress them. */
function lastTokens(
  p: Problem,
  { seed }: InputOptions,
): Record<string, ArrayBufferView<ArrayBuffer>> {
  const random = createRandom(seed, STREAM.compress);
  const normal = (count: number, scale = 1) =>
    packKv(Float64Array.from({ length: count }, () => scale * random.normal()), p.dtype);
  const span = NSA.span * p.headDim;
  return {
    raw_keys: normal(p.batch * p.kvHeads * span),
    raw_values: normal(p.batch * p.kvHeads * span),
    compress_map: normal(2 * p.kvHeads * p.headDim * span, 1 / Math.sqrt(span)),
    compress_positions: normal(2 * p.kvHeads * span),
  };
}

/** Gates from 0 to 1; every fifth head closes one. */
function gates(p: Problem, { seed }: InputOptions): Float32Array<ArrayBuffer> {
  const random = createRandom(seed, STREAM.gates);
  return Float32Array.from(
    { length: 3 * p.batch * p.qHeads },
    (_, i) => i % 15 === 7 ? 0 : random.uniform(),
  );
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

/**
 * Centroids and product-quantised codes of `parts` parts. Every seventh centroid equals the one
 * before it. Codes that the variant makes, and those past the lengths, are poison.
 */
function pqInputs(
  variant: Variant,
  p: Problem,
  parts: number,
  { lengths, seed, codeKind }: InputOptions,
): Record<string, ArrayBufferView<ArrayBuffer>> {
  const random = createRandom(seed, STREAM.centroids);
  const heads = p.batch * p.kvHeads;
  const elements = new Float64Array(heads * CENTROIDS * p.headDim);
  for (let i = 0; i < elements.length; i++) {
    const c = Math.floor(i / 4) % CENTROIDS;
    elements[i] = c % 7 === 6 ? elements[i - 4] : random.normal();
  }
  const codes = new Uint8Array(heads * p.capacity * parts).fill(0xff);
  for (let head = 0; head < heads; head++) {
    const length = lengths[Math.floor(head / p.kvHeads)];
    // A step makes the newest code itself.
    const known = variant.stage === "score" ? length : length - 1;
    for (let token = 0; token < known; token++) {
      for (let part = 0; part < parts; part++) {
        const at = head * p.capacity * parts + codePlace(part, token, parts, p.capacity);
        codes[at] = codeKind === "all-equal" ? 255 : random.uint32() % CENTROIDS;
      }
    }
  }
  const { centroids, pq_codes } = pqNames(parts);
  const dtype = centroidDtype(p) === 1 ? "f16" : "f32";
  return { [centroids]: packKv(elements, dtype), [pq_codes]: codes };
}

/** What the rows of an index are of, by the kind of keys. A row has a size and a spread. */
const INDEX_FLOATS: Readonly<Partial<Record<KvKind, (random: Random) => number>>> = {
  "outliers": (random) => random.normal() * (random.uniform() < 0.05 ? 1000 : 1),
  // Halves between bytes, which are rounded to even ones, and values that round to 128.
  "alternating": (random) => (random.uint32() % 255 - 127) / 2 + (random.uniform() < 0.1 ? 64 : 0),
  "tiny": (random) => 1e-33 * random.normal(),
  "zero-rows": (random) => random.uniform() < 0.5 ? 0 : -0,
};

/** The rows of an index. All keys are equal of kind `equal-logits`, so that all scores are. */
function indexInputs(
  p: Problem,
  { lengths, seed, kind = "normal" }: InputOptions,
): Record<string, ArrayBufferView<ArrayBuffer>> {
  const random = createRandom(seed, STREAM.index);
  const { heads, dim } = INDEX;
  const floatOf = INDEX_FLOATS[kind] ?? ((each: Random) => each.normal());
  const floats = (count: number) => Float32Array.from({ length: count }, () => floatOf(random));
  const codes = new Int8Array(p.batch * p.capacity * dim).fill(-128);
  const scales = new Float32Array(p.batch * p.capacity).fill(NaN);
  const made = {
    index_queries: floats(p.batch * heads * dim),
    index_weights: Float32Array.from({ length: p.batch * heads }, () => random.normal()),
    index_keys: floats(p.batch * dim),
    index_codes: codes,
    index_scales: scales,
  };
  const equal = kind === "equal-logits";
  lengths.forEach((length, sequence) => {
    const same = made.index_keys.subarray(sequence * dim, (sequence + 1) * dim);
    for (let token = 0; token < length - 1; token++) {
      const { bytes, scale } = byteRowReference(equal ? same : floats(dim));
      codes.set(bytes, (sequence * p.capacity + token) * dim);
      scales[sequence * p.capacity + token] = scale;
    }
  });
  return made;
}

/**
 * Gates and the decays of the tokens before the newest. Heads forget at different rates, from 1.3 a
 * token to hardly at all. Of the two halves of a state the one that a step writes is poison.
 */
function decayInputs(
  p: Problem,
  params: Params,
  keys: Float32Array,
  { lengths, seed }: InputOptions,
): Record<string, Float32Array<ArrayBuffer>> {
  const random = createRandom(seed, STREAM.decays);
  const block = params.DECAY_BLOCK;
  const blocks = decayBlocks(p, params);
  const heads = p.batch * p.qHeads;
  const made = {
    log_gates: new Float32Array(heads),
    decay_state: new Float32Array(2 * heads * (block + 2)).fill(NaN),
    decays: new Float32Array(heads * p.capacity).fill(NaN),
    block_decays: new Float32Array(heads * (blocks + 2)).fill(NaN),
  };
  for (let row = 0; row < heads; row++) {
    const length = lengths[Math.floor(row / p.qHeads)];
    const mean = -1 + 9 * (row % p.qHeads) / p.qHeads;
    if (length === 0) continue;
    const gates = Float32Array.from(
      { length },
      () => -Math.log1p(Math.exp(-mean - random.normal())),
    );
    made.log_gates[row] = gates[length - 1];
    const older = keptDecays(gates.subarray(0, length - 1), block);
    made.decays.set(older.decays, row * p.capacity);
    made.block_decays.set(older.blocks, row * (blocks + 2) + 2);
    const first = Math.floor((length - 1) / block) * block;
    const state = (2 * row + (length - 1) % 2) * (block + 2);
    made.decay_state.set([older.blocks[first / block], ...older.decays.subarray(first)], state);
    made.decay_state[state + block + 1] = largestNorm(p, keys, row, length - 1);
  }
  return made;
}

/** A bound of the norms of a query head's first keys after they are rounded to bf16 or f16. */
function largestNorm(p: Problem, keys: Float32Array, row: number, tokens: number): number {
  const first = Math.floor(row / groupSize(p)) * p.capacity;
  const norms = Array.from({ length: tokens }, (_, token) => {
    const start = (first + token) * p.headDim;
    return normOf(keys.subarray(start, start + p.headDim));
  });
  return (1 + 2 ** -8) * Math.max(0, ...norms);
}

/**
 * A router, the newest token, and the slots before it. Scores in slots are above 0.6 in even heads
 * and below 0.4 in odd ones, and a router's score is near 0.5: so odd heads take the token. A
 * fourth of the slots has scores that others have, too.
 */
function slotInputs(
  p: Problem,
  params: Params,
  { lengths, seed, kind }: InputOptions,
): Record<string, ArrayBufferView<ArrayBuffer>> {
  const random = createRandom(seed, STREAM.slots);
  const { DENSE_HEADS: dense, MOSA_SPARSITY: sparsity } = params;
  const model = p.qHeads * p.headDim;
  const capacity = slotCapacity(p, params);
  // Every head has K and V of its own, and each slot those of some token.
  const { q, k, v } = generateKv({
    ...p,
    kvHeads: p.qHeads,
    kvLen: lengths.map((length) => Math.max(length, 1)),
    seed,
    kind,
  });
  const sparseRows = (p.qHeads - dense) * capacity;
  const rows = p.batch * (dense * p.capacity + sparseRows);
  const [slotKeys, slotValues] = [k, v].map(() => new Float32Array(rows * p.headDim).fill(NaN));
  const tokenRows = new Float32Array(2 * p.batch * model);
  const slotTokens = new Uint32Array(2 * p.batch * sparseRows).fill(0xffffffff);
  let [row, slot] = [0, 0];
  for (let head = 0; head < p.batch * p.qHeads; head++) {
    const length = lengths[Math.floor(head / p.qHeads)];
    const isDense = head % p.qHeads < dense;
    const copy = (to: Float32Array, at: number, from: Float32Array, token: number) => {
      const start = (head * p.capacity + token) * p.headDim;
      to.set(from.subarray(start, start + p.headDim), at * p.headDim);
    };
    const older = Math.max(0, length - 1);
    copy(tokenRows, 2 * head, k, older);
    copy(tokenRows, 2 * head + 1, v, older);
    const held = isDense ? older : slotsOf(older, sparsity, head % p.qHeads);
    const tokens = Array.from({ length: held }, (_, i) => Math.floor(i * older / held));
    // In no certain order.
    if (!isDense) tokens.reverse();
    tokens.forEach((token, i) => {
      copy(slotKeys, row + i, k, token);
      copy(slotValues, row + i, v, token);
      if (isDense) return;
      const base = head % 2 === 0 ? 0.6 : 0.1;
      const r = Math.fround(base + (i % 4 === 3 ? 0 : 0.3 * random.uniform()));
      slotTokens.set([new Uint32Array(Float32Array.of(r).buffer)[0], token], 2 * (slot + i));
    });
    row += isDense ? p.capacity : capacity;
    if (!isDense) slot += capacity;
  }
  const small = () => 0.1 * random.normal() / Math.sqrt(model);
  return {
    q,
    hidden: Float32Array.from({ length: p.batch * model }, () => random.normal()),
    router: packKv(Float64Array.from({ length: p.qHeads * model }, small), "f16"),
    token_rows: packKv(tokenRows, p.dtype),
    slot_keys: packKv(slotKeys, p.dtype),
    slot_values: packKv(slotValues, p.dtype),
    slot_tokens: slotTokens,
  };
}

/** Makes codes, and their distances and selections with the references of score and select. */
function makeLists(
  variant: Variant,
  p: Problem,
  params: Params,
  { lengths, seed, codeKind: kind }: InputOptions,
): { buffers: Record<string, ArrayBufferView<ArrayBuffer>>; selections: Uint32Array[] } {
  const words = codeWords(p);
  const queries = queriesPerList(p);
  const lists = p.batch * listHeads(p);
  const listsPerCode = listHeads(p) / codeHeads(p);
  const bins = maxDistance(p) + 1;
  const planes = planesOf(p);
  const queryCodes = generateCodes({ count: p.batch * p.qHeads, words: queryWords(p), seed });
  const codeRows = p.batch * codeHeads(p) * p.capacity;
  const codes = generateCodes({ count: codeRows, words, seed: seed + 1, kind });
  sharePrefix(p, codeHeads(p), codes);
  const factors = randomFactors(p, seed, kind);
  const distances = poisoned(lists * p.capacity * distanceBytes(p));
  const packed = distanceBytes(p) === 1 ? distances : new Uint16Array(distances.buffer);
  const blocks = params.BLOCK ? Math.ceil(p.capacity / params.BLOCK) : 0;
  const histograms = new Uint32Array(poisoned(4 * lists * blocks * bins).buffer);
  const selected = new Uint32Array(poisoned(4 * lists * listCapacity(p)).buffer);
  const selections: Uint32Array[] = [];
  for (let list = 0; list < lists; list++) {
    const length = lengths[Math.floor(list / listHeads(p))];
    const start = Math.floor(list / listsPerCode) * p.capacity;
    // A pipeline encodes the newest token itself.
    const newest = variant.stage === "pipeline" ? length - 1 : length;
    codes.fill(0xffffffff, (start + newest) * words, (start + p.capacity) * words);
    const ofQueries = queryCodes.subarray(
      list * queries * queryWords(p),
      (list + 1) * queries * queryWords(p),
    );
    const ofTokens = codes.subarray(start * words, (start + length) * words);
    const ofFactors = factors.bytes.subarray(start, start + length);
    if (isRotated(p)) ofQueries.set([factors.scaleOf(ofQueries, start, length)], queryWords(p) - 1);
    const found = isRotated(p)
      ? binnedScoreReference(ofQueries, ofTokens, ofFactors, planes, binsOf(p))
      : scoreReference(ofQueries, ofTokens, words, planes);
    const windows = windowsOf(p, length);
    packed.set(found, list * p.capacity);
    if (blocks > 0) {
      const counts = histogramReference(found, params.BLOCK, windows, bins);
      histograms.set(counts, list * blocks * bins);
    }
    selections.push(selectReference(found, windows, tiesOf(p)));
    selected.set(selections[list], list * listCapacity(p));
  }
  const buffers = {
    query_codes: queryCodes,
    // An encoder starts from an empty cache, so that missing writes show.
    codes: variant.stage.startsWith("encode") ? codes.fill(0xffffffff) : codes,
    factors: poisonNewest(p, factors.bytes, variant, lengths),
    key_stats: factors.stats(lengths),
    distances,
    block_histograms: histograms,
    selected,
    selected_counts: Uint32Array.from(selections, (tokens) => tokens.length),
  };
  return { buffers, selections };
}

/** Factors of all keys, and what follows from them. */
function randomFactors(p: Problem, seed: number, kind?: CodeKind) {
  const random = createRandom(seed, STREAM.factors);
  const rows = isRotated(p) ? p.batch * p.kvHeads * p.capacity : 0;
  const equals: Partial<Record<CodeKind, number>> = {
    "all-ones": 255,
    "all-equal": 130,
    "all-zero": 15, // the last one without an exponent
  };
  const equal = equals[kind ?? "random"];
  // Most factors are near each other, as in a real cache; others are anything.
  const one = () => random.uniform() < 0.9 ? 120 + random.uint32() % 32 : random.uint32() % 256;
  const bytes = Uint8Array.from({ length: rows }, () => equal ?? one());
  sharePrefix(p, p.kvHeads, bytes);
  const squares = (start: number, tokens: number) =>
    bytes.subarray(start, start + tokens).reduce((sum, byte) => sum + factorValue(byte) ** 2, 0);
  return {
    bytes,
    /**
     * The sum of the tokens before the newest, and the mean key if keys are centred. The sum with the
     * newest is poison.
     */
    stats(lengths: readonly number[]) {
      const size = headStats(p);
      const stats = new Float32Array(rows === 0 ? 0 : size * p.batch * p.kvHeads).fill(NaN);
      for (let i = 0; i < stats.length / size; i++) {
        const cached = lengths[Math.floor(i / p.kvHeads)] - 1;
        stats[size * i + cached % 2] = squares(i * p.capacity, cached);
        for (let d = 2; d < size; d++) stats[size * i + d] = 2 * random.uniform() - 1;
      }
      return stats;
    },
    /** The scale of a query that is compared with `length` tokens. */
    scaleOf(queryCode: Uint32Array, start: number, length: number): number {
      const words = codeWords(p);
      const magnitudes = Array.from({ length: p.bits }, (_, j) => {
        const bitOf = (plane: number) =>
          (queryCode[(1 + plane) * words + (j >>> 5)] >>> (j & 31)) & 1;
        return Array.from({ length: planesOf(p) }, (_, plane) => bitOf(plane) * 2 ** plane)
          .reduce((sum, each) => sum + each, planesOf(p) === 0 ? 1 : 0);
      });
      return packScale(scaleOf(magnitudes, Math.sqrt(squares(start, length) / length), binsOf(p)));
    },
  };
}

/** Factors without those that the variant makes: of the newest tokens, and past the lengths. */
function poisonNewest(
  p: Problem,
  factors: Uint8Array<ArrayBuffer>,
  variant: Variant,
  lengths: readonly number[],
): Uint8Array<ArrayBuffer> {
  const poisonedBytes = factors.slice();
  for (let row = 0; row * p.capacity < factors.length; row++) {
    const length = lengths[Math.floor(row / p.kvHeads)];
    const known = variant.stage === "pipeline" ? length - 1 : length;
    poisonedBytes.fill(0xff, row * p.capacity + known, (row + 1) * p.capacity);
  }
  return poisonedBytes;
}

function poisoned(bytes: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(bytes).fill(0xff);
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
