/** Steps 1 to 4 of `select_gather_group.wgsl` in TypeScript: see `common.ts`. */
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

/** Parameters of `select_gather_group.wgsl`. */
export interface GroupParams extends TwinParams {
  readonly DISTANCE_BYTES: number;
}

/**
 * The same with the ranks of `select_gather_group.wgsl`: those of all blocks, and of each block.
 */
export interface RankList extends ScoredList {
  readonly rank_totals: Uint32Array;
  readonly block_ranks: Uint32Array;
}

/** The derived constants of the kernel. */
function constants(params: GroupParams) {
  const { LAST, CAPACITY, BLOCK, SUBGROUP_MIN, WORKGROUP } = params;
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
    const { MOST_SUBGROUPS } = constants(params);
    this.subtotals = Array.from({ length: MOST_SUBGROUPS }, () => [0, 0]);
    this.tokens = unwrittenTokens(params);
  }
}

export function scan_pair(
  params: GroupParams,
  { subtotals }: GroupMemory,
  values: readonly Pair[],
): Quad[] {
  const { WORKGROUP, MOST_SUBGROUPS, subgroup_lanes: lanes } = constants(params);
  const in_subgroup = subgroupExclusiveAdd(values, lanes);
  for (let thread = 0; thread < WORKGROUP; thread++) {
    if (thread % lanes === lanes - 1) {
      subtotals[div(thread, lanes)] = addPairs(in_subgroup[thread], values[thread]);
    }
  }
  return values.map((_, thread) => {
    let before = in_subgroup[thread];
    let all: Pair = [0, 0];
    for (let s = 0; s < MOST_SUBGROUPS; s++) {
      if (s < div(thread, lanes)) before = addPairs(before, subtotals[s]);
      all = addPairs(all, subtotals[s]);
    }
    return [...before, ...all];
  });
}

export function is_threshold(
  params: GroupParams,
  bin: number,
  totals: Pair,
  picks_wanted: number,
): boolean {
  const { BINS, LAST } = constants(params);
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
  const { BINS, LAST, WORKGROUP } = constants(params);
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
  const { BLOCK, RANK_WORDS } = constants(params);
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
  params: GroupParams,
  { share_range }: GroupMemory,
  block: number,
  counts: Pair,
  before: Pair,
  tie_bound: number,
  { begin, end }: Share,
): void {
  const place = before[0] + picks_of_ties(params, before[1], tie_bound);
  const next = before[0] + counts[0] + picks_of_ties(params, before[1] + counts[1], tie_bound);
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
  const { CAPACITY, PER_LOAD, PER_WORD, DISTANCE_BITS } = constants(params);
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
  tie_bound: number,
  { begin, end }: Share,
): void {
  const { BLOCK, SPAN, WORKGROUP } = constants(params);
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
      let slot = (before[0] + picks_of_ties(params, before[1], tie_bound) - begin) >>> 0;
      const [below, tied] = masks[thread];
      let picks = (below | mask_tie_picks(params, tied, before[1], tie_bound)) >>> 0;
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
  const { BLOCK, BLOCKS, BINS, WORKGROUP } = constants(params);
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
  const tie_bound = tie_bound_of(params, ties, sums[0][3]);
  for (let thread = 0; thread < WORKGROUP; thread++) {
    const before: Pair = [sums[thread][0], sums[thread][1]];
    place_ranked_share(params, memory, thread, counts[thread], before, tie_bound, share);
  }

  compact_ranked(params, memory, list, threshold, newest_bin, tie_bound, share);
  return memory.tokens.slice(0, share.end - share.begin);
}
