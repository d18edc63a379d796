/** Steps 1 to 4 of `select_gather.wgsl` in TypeScript: see `common.ts`. */
import {
  addPairs,
  bits_from,
  countPair,
  div,
  firstTrailingBit,
  mask_tie_picks,
  newest_bin_of,
  type Pair,
  picks_of_ties,
  type Quad,
  type ScoredList,
  type Share,
  share_of,
  subgroupExclusiveAdd,
  tie_bound_of,
  type TwinParams,
  unwrittenTokens,
  window_mask,
  window_tokens,
} from "./common.ts";

/** Parameters of `select_gather.wgsl`. */
export interface SelectParams extends TwinParams {
  readonly NEWEST: number;
  readonly AHEAD: number;
}

/** The same with the histograms of `select_gather.wgsl`, one per block. */
export interface HistogramList extends ScoredList {
  readonly histograms: Uint32Array;
}

/** The derived constants of the kernel. */
function constants(params: SelectParams) {
  const { LAST, CAPACITY, BLOCK, SUBGROUP_MIN, WORKGROUP } = params;
  return {
    ...params,
    BINS: LAST + 1,
    BLOCKS: div(CAPACITY + BLOCK - 1, BLOCK),
    LANE_BINS: div(LAST + SUBGROUP_MIN - 1, SUBGROUP_MIN),
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

export function bytes_below(LAST: number, word: number, limit: number): number {
  if (LAST > 128) {
    const wide = 0x7fff7fff + Math.imul(limit, 0x00010001);
    const even = (wide - (word & 0x00ff00ff)) >>> 15;
    const odd = (wide - ((word >>> 8) & 0x00ff00ff)) >>> 15;
    return (even & 1) | ((even >>> 14) & 4) | ((odd & 1) << 1) | ((odd >>> 13) & 8);
  }
  const spread = Math.imul(Math.min(limit, 128), 0x01010101);
  const bytes = ((0x7f7f7f7f + spread - word) >>> 7) & 0x01010101;
  const all_or_none = limit > 0 ? 15 : 0;
  if (LAST === 128 && limit % 129 === 0) return all_or_none;
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
      subtotals[half + div(thread, lanes)] = addPairs(in_subgroup[thread], values[thread]);
    }
  }
  return values.map((_, thread) => {
    let before = in_subgroup[thread];
    let all: Pair = [0, 0];
    for (let s = 0; s < MOST_SUBGROUPS; s++) {
      if (s < div(WORKGROUP, lanes)) {
        const subtotal = subtotals[half + s];
        if (s < div(thread, lanes)) before = addPairs(before, subtotal);
        all = addPairs(all, subtotal);
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
  const { LANE_BINS, BLOCKS, BINS, LAST, subgroup_lanes } = constants(params);
  const lane_counts: number[][] = [];
  const sums: Pair[] = [];
  for (let lane = 0; lane < subgroup_lanes; lane++) {
    const bin_counts = Array<number>(LANE_BINS).fill(0);
    let below = 0;
    for (let b = 0; b < LANE_BINS; b++) {
      for (let block = 0; block < BLOCKS; block++) {
        bin_counts[b] += histograms[block * BINS + Math.min(lane * LANE_BINS + b, LAST)];
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
      if (lane * LANE_BINS + b < LAST && below < picks_wanted) {
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
  const { BLOCK, BINS, LAST } = constants(params);
  let below = 0;
  for (let bin = 0; bin < LAST; bin++) {
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
  tie_bound: number,
  { begin, end }: Share,
): void {
  const { BLOCK, BLOCKS } = constants(params);
  const { share_range } = memory;
  const place = before[0] + picks_of_ties(params, before[1], tie_bound);
  const next = before[0] + counts[0] + picks_of_ties(params, before[1] + counts[1], tie_bound);
  if (place <= begin && begin < next) {
    share_range[0] = block * BLOCK;
    share_range[2] = place;
  }
  if (begin < end && place < end && end <= next) {
    share_range[1] = (block + 1) * BLOCK;
  }
  if (before[1] <= tie_bound && tie_bound < before[1] + counts[1]) {
    memory.split_ties = [(BLOCKS - block) >>> 0, tie_bound - before[1]];
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
  const { LAST, BLOCK, NEWEST, TIES } = params;
  const block = div(first, BLOCK);
  const takes_ties = TIES === 1 ? split_block < block : block < split_block;
  const limit = threshold + Number(takes_ties);
  const tie_limit = limit + Number(block === split_block);
  let below_mask = 0;
  let tie_mask = 0;
  for (let word = 0; word < 8; word++) {
    const four = pool[(first - staged) / 4 + word];
    below_mask |= bytes_below(LAST, four, limit) << (4 * word);
    if (tie_limit > limit) {
      tie_mask |= bytes_below(LAST, four, tie_limit) << (4 * word);
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
      const [listed, tied] = masks[thread];
      const picks = listed | mask_tie_picks(params, tied, before[1], split_count);
      const slot = (before[0] + picks_of_ties(params, before[1], split_count)) >>> 0;
      store_picks(memory, first, picks >>> 0, slot, end - begin);
    }
    const [, , z, w] = sums[0];
    before_span = addPairs(before_span, [z, w]);
  }
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
  const tie_bound = tie_bound_of(params, ties, sums[0][3]);
  for (let thread = 0; thread < WORKGROUP; thread++) {
    const before: Pair = [sums[thread][0], sums[thread][1]];
    place_share(params, memory, thread, counts[thread], before, tie_bound, share);
  }
  const [blocks_left, split_count] = memory.split_ties;
  const limits = { threshold, split_block: BLOCKS - blocks_left, newest_bin };

  compact(params, memory, list, guess, limits, split_count, share);
  return memory.tokens.slice(0, share.end - share.begin);
}
