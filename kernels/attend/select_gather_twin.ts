/**
 * Steps 1 to 4 of `select_gather.wgsl` and `select_gather_group.wgsl` in TypeScript, up to the
 * tokens that a workgroup attends. This is not a reference: it does the same steps as the kernels
 * in the same order, so that each phase can be tested alone and without a GPU.
 *
 * Functions and variables have their WGSL names. A function that no kernel has is a part of `main`.
 * A function for one thread takes the thread or its block as an argument. A function for the whole
 * workgroup loops over the threads, and the end of the loop is a barrier. Numbers are u32: `>>> 0`
 * wraps them around as in WGSL.
 */
import type { Windows } from "../core/problem.ts";

/** Two counts or masks, as vec2<u32>. */
export type Pair = readonly [x: number, y: number];

/** Four counts, as vec4<u32>. */
export type Quad = readonly [x: number, y: number, z: number, w: number];

/** The parameters that both kernels have, and the device's subgroup size. */
export interface TwinParams {
  readonly CAPACITY: number;
  readonly LIST_CAPACITY: number;
  readonly BITS: number;
  readonly BLOCK: number;
  readonly SUBGROUP_MIN: number;
  readonly WORKGROUP: number;
  readonly SPLITS: number;
  /** The device's subgroup size, at least SUBGROUP_MIN. It is not a parameter of the kernels. */
  readonly subgroup_lanes: number;
}

/** Parameters of `select_gather.wgsl`. */
export interface SelectParams extends TwinParams {
  readonly NEWEST: number;
  readonly AHEAD: number;
}

/** Parameters of `select_gather_group.wgsl`. */
export interface GroupParams extends TwinParams {
  readonly QUERIES_PER_LIST: number;
  readonly DISTANCE_BYTES: number;
}

/** The result of the score for a list: its tokens, and their distances packed into words. */
export interface ScoredList {
  readonly length: number;
  readonly windows: Windows;
  readonly distances: Uint32Array;
  readonly newest_distance: number;
}

/** The same with the histograms of `select_gather.wgsl`, one per block. */
export interface HistogramList extends ScoredList {
  readonly histograms: Uint32Array;
}

/**
 * The same with the ranks of `select_gather_group.wgsl`: those of all blocks, and of each block.
 */
export interface RankList extends ScoredList {
  readonly rank_totals: Uint32Array;
  readonly block_ranks: Uint32Array;
}

/** The places [begin, end) of a list that a split attends. */
export interface Share {
  readonly begin: number;
  readonly end: number;
}

/** Marks a slot of the share that no thread has written. */
export const UNWRITTEN = 0xffffffff;

// Functions of WGSL.

/** `countOneBits` of WGSL. */
export function countOneBits(word: number): number {
  let count = 0;
  for (let rest = word; rest !== 0; rest = (rest & (rest - 1)) >>> 0) count++;
  return count;
}

function firstLeadingBit(word: number): number {
  return 31 - Math.clz32(word);
}

function firstTrailingBit(word: number): number {
  return 31 - Math.clz32(word & -word);
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high);
}

/** Quotient of two u32. */
function div(a: number, b: number): number {
  return Math.floor(a / b);
}

// Functions that both kernels have.

export function bits_from(count: number): number {
  return count > 31 ? 0 : (0xffffffff << Math.min(count, 31)) >>> 0;
}

export function window_tokens(
  first: number,
  after: number,
  { sinkEnd: sink_end, recentStart: recent_start }: Windows,
): number {
  const in_sink = Math.max(Math.min(after, sink_end), first) - first;
  return in_sink + after - clamp(recent_start, first, after);
}

export function window_mask(
  first: number,
  { sinkEnd: sink_end, recentStart: recent_start }: Windows,
): number {
  const in_sink = ~bits_from(Math.max(first, sink_end) - first);
  return (in_sink | bits_from(Math.max(first, recent_start) - first)) >>> 0;
}

export function first_bits(mask: number, count: number): number {
  let kept = count === 0 ? 0 : mask;
  while (countOneBits(kept) > count) {
    kept = (kept & ~(1 << firstLeadingBit(kept))) >>> 0;
  }
  return kept;
}

/** The share of a split. */
export function share_of(
  { SPLITS }: Pick<TwinParams, "SPLITS">,
  split: number,
  attended: number,
): Share {
  const share = div(attended + SPLITS - 1, SPLITS);
  const begin = Math.min(split * share, attended);
  return { begin, end: Math.min(begin + share, attended) };
}

/** The bin of the newest token, or BINS if it is in a window or already in the histograms. */
export function newest_bin_of(
  BINS: number,
  lacks_newest: boolean,
  { length, windows, newest_distance }: ScoredList,
): number {
  const newest_is_middle = lacks_newest && windows.recentStart === length &&
    windows.sinkEnd < length;
  return newest_is_middle ? newest_distance : BINS;
}

/** `subgroupExclusiveAdd` in every subgroup of the workgroup. */
function subgroupExclusiveAdd(values: readonly Pair[], lanes: number): Pair[] {
  let sum: Pair = [0, 0];
  return values.map((value, thread) => {
    if (thread % lanes === 0) sum = [0, 0];
    const before = sum;
    sum = [sum[0] + value[0], sum[1] + value[1]];
    return before;
  });
}

// select_gather.wgsl

/** The derived constants of the kernel. */
function constants(params: SelectParams) {
  const { BITS, CAPACITY, BLOCK, SUBGROUP_MIN, WORKGROUP } = params;
  return {
    ...params,
    BINS: BITS + 1,
    BLOCKS: div(CAPACITY + BLOCK - 1, BLOCK),
    LANE_BINS: div(BITS + SUBGROUP_MIN - 1, SUBGROUP_MIN),
    SPAN: WORKGROUP * 32,
    LIST_LOADS: CAPACITY / 16,
    MOST_SUBGROUPS: WORKGROUP / SUBGROUP_MIN,
  };
}

/** Workgroup memory of `select_gather.wgsl`; `pool` is in words. */
export class SelectMemory {
  readonly histograms: Uint32Array;
  readonly share_range: Uint32Array = new Uint32Array(3);
  split_ties: Pair = [0, 0];
  readonly subtotals: Pair[];
  /** The half of `subtotals` that threads may still be reading. Only the twin has it. */
  half_in_use?: number;
  readonly tokens: Uint32Array;
  readonly pool: Uint32Array;

  constructor(params: SelectParams) {
    const { BLOCKS, BINS, MOST_SUBGROUPS, AHEAD, SPAN } = constants(params);
    this.histograms = new Uint32Array(BLOCKS * BINS);
    this.subtotals = Array.from({ length: 2 * MOST_SUBGROUPS }, () => [0, 0]);
    this.tokens = unwrittenTokens(params);
    this.pool = new Uint32Array(AHEAD * SPAN / 4);
  }
}

function unwrittenTokens({ LIST_CAPACITY, SPLITS }: TwinParams): Uint32Array {
  return new Uint32Array(div(LIST_CAPACITY + SPLITS - 1, SPLITS)).fill(UNWRITTEN);
}

export function bytes_below(BITS: number, word: number, limit: number): number {
  const spread = Math.imul(Math.min(limit, 128), 0x01010101);
  const bytes = ((0x7f7f7f7f + spread - word) >>> 7) & 0x01010101;
  const all_or_none = limit > 0 ? 15 : 0;
  if (BITS === 128 && limit % 129 === 0) return all_or_none;
  return Math.imul(bytes, 0x10204080) >>> 28;
}

export function stage_distances(
  params: SelectParams,
  memory: SelectMemory,
  distances: Uint32Array,
  first: number,
): void {
  const { WORKGROUP, AHEAD, LIST_LOADS } = constants(params);
  for (let thread = 0; thread < WORKGROUP; thread++) {
    for (let i = 0; i < 2 * AHEAD; i++) {
      const load = Math.min(div(first, 16) + i * WORKGROUP + thread, LIST_LOADS - 1);
      memory.pool.set(distances.subarray(4 * load, 4 * load + 4), 4 * (i * WORKGROUP + thread));
    }
  }
}

/** @throws {Error} if two calls in a row use the same half: threads would race. */
export function scan_by_turns(
  params: SelectParams,
  memory: SelectMemory,
  values: readonly Pair[],
  turn: number,
): Quad[] {
  const { WORKGROUP, MOST_SUBGROUPS, subgroup_lanes: lanes } = constants(params);
  const { subtotals } = memory;
  const half = turn % 2 * MOST_SUBGROUPS;
  if (half === memory.half_in_use) throw new Error(`turn ${turn} writes a half still being read`);
  memory.half_in_use = half;
  const in_subgroup = subgroupExclusiveAdd(values, lanes);
  for (let thread = 0; thread < WORKGROUP; thread++) {
    if (thread % lanes === lanes - 1) {
      const [before, value] = [in_subgroup[thread], values[thread]];
      subtotals[half + div(thread, lanes)] = [before[0] + value[0], before[1] + value[1]];
    }
  }
  return values.map((_, thread) => {
    let before = in_subgroup[thread];
    let all: Pair = [0, 0];
    for (let s = 0; s < MOST_SUBGROUPS; s++) {
      if (s < div(WORKGROUP, lanes)) {
        const subtotal = subtotals[half + s];
        if (s < div(thread, lanes)) {
          before = [before[0] + subtotal[0], before[1] + subtotal[1]];
        }
        all = [all[0] + subtotal[0], all[1] + subtotal[1]];
      }
    }
    return [...before, ...all];
  });
}

export function guess_start(params: SelectParams, split: number, length: number): number {
  const { SPLITS, SPAN, BLOCK } = constants(params);
  const middle = (2 * split + 1) * div(length, 2 * SPLITS);
  const first = Math.max(middle, SPAN / 2) - SPAN / 2;
  return div(first + BLOCK / 2, BLOCK) * BLOCK;
}

export function complete_count(
  params: SelectParams,
  at: number,
  count: number,
  newest_bin: number,
  length: number,
): number {
  const { BINS, BLOCK } = constants(params);
  const block = div(at, BINS);
  const has_newest = at % BINS === newest_bin && block === div((length - 1) >>> 0, BLOCK);
  return (block * BLOCK < length ? count : 0) + Number(has_newest);
}

/** Copies the histograms to workgroup memory and adds the newest token. */
export function load_histograms(
  params: SelectParams,
  memory: SelectMemory,
  { histograms, length }: Pick<HistogramList, "histograms" | "length">,
  newest_bin: number,
): void {
  const { BLOCKS, BINS } = constants(params);
  for (let at = 0; at < BLOCKS * BINS; at++) {
    memory.histograms[at] = complete_count(params, at, histograms[at], newest_bin, length);
  }
}

export function find_threshold(
  params: SelectParams,
  { histograms }: SelectMemory,
  picks_wanted: number,
): Pair {
  const { LANE_BINS, BLOCKS, BINS, BITS, subgroup_lanes } = constants(params);
  const lane_counts: number[][] = [];
  const sums: Pair[] = [];
  for (let lane = 0; lane < subgroup_lanes; lane++) {
    const bin_counts = Array<number>(LANE_BINS).fill(0);
    let below = 0;
    for (let b = 0; b < LANE_BINS; b++) {
      for (let block = 0; block < BLOCKS; block++) {
        bin_counts[b] += histograms[block * BINS + Math.min(lane * LANE_BINS + b, BITS)];
      }
      below += bin_counts[b];
    }
    lane_counts.push(bin_counts);
    sums.push([below, 0]);
  }
  const before = subgroupExclusiveAdd(sums, subgroup_lanes);
  let threshold = 0; // subgroupAdd
  let below_threshold = 0; // subgroupMax
  for (let lane = 0; lane < subgroup_lanes; lane++) {
    let below = before[lane][0];
    let bins_passed = 0;
    let nearer = 0;
    for (let b = 0; b < LANE_BINS; b++) {
      below += lane_counts[lane][b];
      if (lane * LANE_BINS + b < BITS && below < picks_wanted) {
        bins_passed++;
        nearer = below;
      }
    }
    threshold += bins_passed;
    below_threshold = Math.max(below_threshold, nearer);
  }
  return [threshold, below_threshold];
}

export function count_block(
  params: SelectParams,
  { histograms }: SelectMemory,
  block: number,
  threshold: number,
  { length, windows }: Pick<ScoredList, "length" | "windows">,
): Pair {
  const { BLOCK, BINS, BITS } = constants(params);
  let below = 0;
  for (let bin = 0; bin < BITS; bin++) {
    below += bin < threshold ? histograms[block * BINS + bin] : 0;
  }
  const first = Math.min(block * BLOCK, length);
  const after = Math.min(first + BLOCK, length);
  below += window_tokens(first, after, windows);
  return [below, histograms[block * BINS + threshold]];
}

export function place_share(
  params: SelectParams,
  memory: SelectMemory,
  block: number,
  counts: Pair,
  before: Pair,
  ties: number,
  { begin, end }: Share,
): void {
  const { BLOCK, BLOCKS } = constants(params);
  const { share_range } = memory;
  const place = before[0] + Math.min(before[1], ties);
  const next = before[0] + counts[0] + Math.min(before[1] + counts[1], ties);
  if (place <= begin && begin < next) {
    share_range[0] = block * BLOCK;
    share_range[2] = place;
  }
  if (begin < end && place < end && end <= next) {
    share_range[1] = (block + 1) * BLOCK;
  }
  if (before[1] <= ties && ties < before[1] + counts[1]) {
    memory.split_ties = [(BLOCKS - block) >>> 0, ties - before[1]];
  }
}

/** The results of earlier phases that `match_staged` needs. */
export interface Limits {
  readonly threshold: number;
  readonly split_block: number;
  readonly newest_bin: number;
}

export function match_staged(
  params: SelectParams,
  { pool }: SelectMemory,
  first: number,
  staged: number,
  { threshold, split_block, newest_bin }: Limits,
  { length, windows }: Pick<ScoredList, "length" | "windows">,
): Pair {
  const { BITS, BLOCK, NEWEST } = params;
  const limit = threshold + Number(div(first, BLOCK) < split_block);
  const tie_limit = limit + Number(div(first, BLOCK) === split_block);
  let below_mask = 0;
  let tie_mask = 0;
  for (let word = 0; word < 8; word++) {
    const four = pool[(first - staged) / 4 + word];
    below_mask |= bytes_below(BITS, four, limit) << (4 * word);
    if (tie_limit > limit) {
      tie_mask |= bytes_below(BITS, four, tie_limit) << (4 * word);
    }
  }
  const to_newest = (length - 1 - first) >>> 0;
  const newest = NEWEST === 1 && to_newest < 32 ? 1 << to_newest : 0;
  below_mask = newest_bin < limit ? below_mask | newest : below_mask & ~newest;
  tie_mask = newest_bin < tie_limit ? tie_mask | newest : tie_mask & ~newest;
  below_mask |= window_mask(first, windows);
  tie_mask &= ~below_mask;
  const inside = ~bits_from(length - first);
  return [(below_mask & inside) >>> 0, (tie_mask & inside) >>> 0];
}

export function store_picks(
  { tokens }: Pick<SelectMemory, "tokens">,
  first: number,
  picks: number,
  first_slot: number,
  share: number,
): void {
  let slot = first_slot;
  for (let left = picks; left !== 0;) {
    for (let i = 0; i < 4; i++) {
      if (left !== 0 && slot < share) tokens[slot] = first + firstTrailingBit(left);
      left = (left & (left - 1)) >>> 0;
      slot = (slot + 1) >>> 0;
    }
  }
}

/** Step 4: from the staged distances at `guess` to the tokens of the share. */
export function compact(
  params: SelectParams,
  memory: SelectMemory,
  list: ScoredList,
  guess: number,
  limits: Limits,
  split_count: number,
  { begin, end }: Share,
): void {
  const { SPAN, AHEAD, WORKGROUP } = constants(params);
  const range = memory.share_range;
  let staged = guess;
  let before_span: Pair = [(range[2] - begin) >>> 0, 0];
  for (let span = range[0]; span < range[1]; span += SPAN) {
    if (span < staged || Math.min(span + SPAN, range[1]) > staged + AHEAD * SPAN) {
      staged = span;
      stage_distances(params, memory, list.distances, staged);
    }
    const masks: Pair[] = [];
    for (let thread = 0; thread < WORKGROUP; thread++) {
      const first = span + thread * 32;
      masks[thread] = first < Math.min(range[1], list.length)
        ? match_staged(params, memory, first, staged, limits, list)
        : [0, 0];
    }
    const turn = 1 + (span - range[0]) / SPAN;
    const sums = scan_by_turns(params, memory, masks.map(countPair), turn);
    for (let thread = 0; thread < WORKGROUP; thread++) {
      const first = span + thread * 32;
      const before = addPairs(before_span, sums[thread]);
      const ties_before = Math.min(before[1], split_count);
      const picks = masks[thread][0] | first_bits(masks[thread][1], split_count - ties_before);
      const slot = (before[0] + ties_before) >>> 0;
      store_picks(memory, first, picks >>> 0, slot, end - begin);
    }
    const [, , z, w] = sums[0];
    before_span = addPairs(before_span, [z, w]);
  }
}

function countPair(masks: Pair): Pair {
  return [countOneBits(masks[0]), countOneBits(masks[1])];
}

function addPairs(a: Pair, b: Pair | Quad): Pair {
  return [(a[0] + b[0]) >>> 0, (a[1] + b[1]) >>> 0];
}

/** Steps 1 to 4 in the workgroup of a split. Returns the tokens that it attends. */
export function select_share(
  params: SelectParams,
  list: HistogramList,
  split: number,
): Uint32Array {
  const { BLOCKS, BINS, WORKGROUP, NEWEST } = constants(params);
  const memory = new SelectMemory(params);
  const { kEff: picks_wanted, attended } = list.windows;
  const guess = guess_start(params, split, list.length);
  stage_distances(params, memory, list.distances, guess);

  const share = share_of(params, split, attended);
  const newest_bin = newest_bin_of(BINS, NEWEST === 1, list);
  load_histograms(params, memory, list, newest_bin);
  const [threshold, nearer] = find_threshold(params, memory, picks_wanted);
  const ties = picks_wanted - nearer;

  const counts: Pair[] = [];
  for (let thread = 0; thread < WORKGROUP; thread++) {
    counts[thread] = thread < BLOCKS
      ? count_block(params, memory, thread, threshold, list)
      : [0, 0];
  }
  const sums = scan_by_turns(params, memory, counts, 0);
  for (let thread = 0; thread < WORKGROUP; thread++) {
    const before: Pair = [sums[thread][0], sums[thread][1]];
    place_share(params, memory, thread, counts[thread], before, ties, share);
  }
  const [blocks_left, split_count] = memory.split_ties;
  const limits = { threshold, split_block: BLOCKS - blocks_left, newest_bin };

  compact(params, memory, list, guess, limits, split_count, share);
  return memory.tokens.slice(0, share.end - share.begin);
}

// select_gather_group.wgsl, where it differs

/** The derived constants of the kernel. */
function groupConstants(params: GroupParams) {
  const { BITS, QUERIES_PER_LIST, CAPACITY, BLOCK, SUBGROUP_MIN, WORKGROUP } = params;
  const LAST = BITS * QUERIES_PER_LIST;
  const BINS = LAST + 1;
  const PER_WORD = 4 / params.DISTANCE_BYTES;
  return {
    ...params,
    LAST,
    BINS,
    BLOCKS: div(CAPACITY + BLOCK - 1, BLOCK),
    RANK_WORDS: div(BINS + 1, 2),
    DISTANCE_BITS: 8 * params.DISTANCE_BYTES,
    PER_WORD,
    PER_LOAD: 4 * PER_WORD,
    SPAN: WORKGROUP * 32,
    MOST_SUBGROUPS: WORKGROUP / SUBGROUP_MIN,
  };
}

/** Workgroup memory of `select_gather_group.wgsl`. */
export class GroupMemory {
  readonly share_range: Uint32Array = new Uint32Array(4);
  readonly subtotals: Pair[];
  readonly tokens: Uint32Array;

  constructor(params: GroupParams) {
    const { MOST_SUBGROUPS } = groupConstants(params);
    this.subtotals = Array.from({ length: MOST_SUBGROUPS }, () => [0, 0]);
    this.tokens = unwrittenTokens(params);
  }
}

export function scan_pair(
  params: GroupParams,
  { subtotals }: GroupMemory,
  values: readonly Pair[],
): Quad[] {
  const { WORKGROUP, MOST_SUBGROUPS, subgroup_lanes: lanes } = groupConstants(params);
  const in_subgroup = subgroupExclusiveAdd(values, lanes);
  for (let thread = 0; thread < WORKGROUP; thread++) {
    if (thread % lanes === lanes - 1) {
      subtotals[div(thread, lanes)] = addPairs(in_subgroup[thread], values[thread]);
    }
  }
  return values.map((_, thread) => {
    let [x, y] = in_subgroup[thread];
    let [z, w] = [0, 0];
    for (let s = 0; s < MOST_SUBGROUPS; s++) {
      if (s < div(thread, lanes)) {
        x += subtotals[s][0];
        y += subtotals[s][1];
      }
      z += subtotals[s][0];
      w += subtotals[s][1];
    }
    return [x, y, z, w];
  });
}

export function is_threshold(
  params: GroupParams,
  bin: number,
  totals: Pair,
  picks_wanted: number,
): boolean {
  const { BINS, LAST } = groupConstants(params);
  const too_few_before = totals[0] < picks_wanted || bin === 0;
  const enough = totals[1] >= picks_wanted || bin === LAST;
  return bin < BINS && too_few_before && enough;
}

/** Step 2: the bin that some thread of the workgroup stores as the threshold. */
export function find_ranked_threshold(
  params: GroupParams,
  { rank_totals }: Pick<RankList, "rank_totals">,
  picks_wanted: number,
): number {
  const { BINS, LAST, WORKGROUP } = groupConstants(params);
  let threshold_bin = 0;
  for (let at = 0; at < div(BINS + WORKGROUP - 1, WORKGROUP) * WORKGROUP; at++) {
    const bin = Math.min(at, LAST);
    const totals: Pair = [rank_totals[Math.max(bin, 1) - 1], rank_totals[bin]];
    if (is_threshold(params, at, totals, picks_wanted)) threshold_bin = at;
  }
  return threshold_bin;
}

export function rank_in(word: number, distance: number): number {
  return (word >>> (16 * (distance % 2))) & 0xffff;
}

export function count_ranked_block(
  params: GroupParams,
  { block_ranks, length, windows }: Pick<RankList, "block_ranks" | "length" | "windows">,
  block: number,
  threshold: number,
  newest_bin: number,
): Pair {
  const { BLOCK, RANK_WORDS } = groupConstants(params);
  const ranks = block * RANK_WORDS;
  const before = Math.max(threshold, 1) - 1;
  const word_before = block_ranks[ranks + div(before, 2)];
  const word = block_ranks[ranks + div(threshold, 2)];
  let below = threshold > 0 ? rank_in(word_before, before) : 0;
  let tied = rank_in(word, threshold) - below;
  const has_newest = div((length - 1) >>> 0, BLOCK) === block;
  below += Number(has_newest && newest_bin < threshold);
  tied += Number(has_newest && newest_bin === threshold);
  const first = block * BLOCK;
  const after = Math.min(first + BLOCK, length);
  below += window_tokens(first, after, windows);
  return [below, tied];
}

export function place_ranked_share(
  { share_range }: GroupMemory,
  block: number,
  counts: Pair,
  before: Pair,
  ties: number,
  { begin, end }: Share,
): void {
  const place = before[0] + Math.min(before[1], ties);
  const next = before[0] + counts[0] + Math.min(before[1] + counts[1], ties);
  if (place <= begin && begin < next) {
    share_range[0] = block;
    share_range[2] = before[0];
    share_range[3] = before[1];
  }
  if (begin < end && place < end && end <= next) {
    share_range[1] = block + 1;
  }
}

export function match_loaded(
  params: GroupParams,
  { distances, length, windows }: Pick<ScoredList, "distances" | "length" | "windows">,
  first: number,
  threshold: number,
  newest_bin: number,
): Pair {
  const { CAPACITY, PER_LOAD, PER_WORD, DISTANCE_BITS } = groupConstants(params);
  let below_mask = 0;
  let tie_mask = 0;
  for (let load = 0; load < 32 / PER_LOAD; load++) {
    const token = Math.min(first + load * PER_LOAD, CAPACITY - PER_LOAD);
    const packed = distances.subarray(token / PER_WORD, token / PER_WORD + 4);
    for (let i = 0; i < PER_LOAD; i++) {
      const shift = i % PER_WORD * DISTANCE_BITS;
      const distance = (packed[div(i, PER_WORD)] >>> shift) & (2 ** DISTANCE_BITS - 1);
      below_mask |= Number(distance < threshold) << (load * PER_LOAD + i);
      tie_mask |= Number(distance === threshold) << (load * PER_LOAD + i);
    }
  }
  const to_newest = (length - 1 - first) >>> 0;
  const newest = to_newest < 32 ? 1 << to_newest : 0;
  below_mask = (below_mask & ~newest) | (newest_bin < threshold ? newest : 0);
  tie_mask = (tie_mask & ~newest) | (newest_bin === threshold ? newest : 0);
  const in_window = window_mask(first, windows);
  const inside = ~bits_from(Math.max(first, length) - first);
  return [((below_mask | in_window) & inside) >>> 0, (tie_mask & ~in_window & inside) >>> 0];
}

/** Step 4: from the distances to the tokens of the share. */
export function compact_ranked(
  params: GroupParams,
  memory: GroupMemory,
  list: ScoredList,
  threshold: number,
  newest_bin: number,
  ties: number,
  { begin, end }: Share,
): void {
  const { BLOCK, SPAN, WORKGROUP } = groupConstants(params);
  const { share_range: range, tokens } = memory;
  let before_span: Pair = [range[2], range[3]];
  for (let span = range[0] * BLOCK; span < range[1] * BLOCK; span += SPAN) {
    const masks: Pair[] = [];
    for (let thread = 0; thread < WORKGROUP; thread++) {
      masks[thread] = match_loaded(params, list, span + thread * 32, threshold, newest_bin);
    }
    const sums = scan_pair(params, memory, masks.map(countPair));
    for (let thread = 0; thread < WORKGROUP; thread++) {
      const first = span + thread * 32;
      const before = addPairs(before_span, sums[thread]);
      const ties_before = Math.min(before[1], ties);
      let slot = (before[0] + ties_before - begin) >>> 0;
      let picks = (masks[thread][0] | first_bits(masks[thread][1], ties - ties_before)) >>> 0;
      for (; picks !== 0; picks = (picks & (picks - 1)) >>> 0) {
        if (slot < end - begin) tokens[slot] = first + firstTrailingBit(picks);
        slot = (slot + 1) >>> 0;
      }
    }
    const [, , z, w] = sums[0];
    before_span = addPairs(before_span, [z, w]);
  }
}

/** Steps 1 to 4 in the workgroup of a split. Returns the tokens that it attends. */
export function select_ranked_share(
  params: GroupParams,
  list: RankList,
  split: number,
): Uint32Array {
  const { BLOCK, BLOCKS, BINS, WORKGROUP } = groupConstants(params);
  const memory = new GroupMemory(params);
  const { length, windows } = list;
  const { sinkEnd, recentStart, kEff: picks_wanted } = windows;

  const in_windows = sinkEnd + length - recentStart;
  const share = share_of(params, split, in_windows + picks_wanted);
  const threshold = find_ranked_threshold(params, list, picks_wanted);
  const newest_bin = newest_bin_of(BINS, true, list);

  const counts: Pair[] = [];
  for (let thread = 0; thread < WORKGROUP; thread++) {
    counts[thread] = thread < BLOCKS && thread * BLOCK < length
      ? count_ranked_block(params, list, thread, threshold, newest_bin)
      : [0, 0];
  }
  const sums = scan_pair(params, memory, counts);
  const nearer = sums[0][2] - in_windows;
  const ties = picks_wanted - Math.min(nearer, picks_wanted);
  for (let thread = 0; thread < WORKGROUP; thread++) {
    const before: Pair = [sums[thread][0], sums[thread][1]];
    place_ranked_share(memory, thread, counts[thread], before, ties, share);
  }

  compact_ranked(params, memory, list, threshold, newest_bin, ties, share);
  return memory.tokens.slice(0, share.end - share.begin);
}
