// select_gather.wgsl: select the nearest tokens, attend them and join the splits, in one dispatch.
//
// This is select/counting_subgroup.wgsl and gather_merge.wgsl in one: each workgroup selects only
// the tokens that it attends, so the list stays in workgroup memory.
//
// Dispatch (SPLITS, query heads, batch): a workgroup attends an equal share of one list.
//
// With SHARES > 0 sequences may be of unequal lengths, which the host need not know. A sequence has
// as many workgroups as the length of its list asks for. The dispatch is (query heads, portions),
// with as many portions as full caches need. Those that the lengths do not need come last and end
// at once.
//
// A list holds the sink, the recent window, and the picks between them: all middle tokens whose
// distance is below the threshold, and the first of those at the threshold (the ties), or with
// TIES = 1 the last. Lists are in the order of tokens.
// Logits are in log2 units. Subgroups are consecutive threads, of at least SUBGROUP_MIN and LANES.
//
// 1. Load the block histograms, the query, and the codes of the query and of the newest token. Also
//    stage distances before the threshold is known: guess where the share lies, as if picks were
//    spread evenly. A span is the 32 tokens per thread that step 4 compares at a time, and AHEAD
//    spans are staged. Longer shares and wrong guesses cost one more load, since step 4 stages the
//    right distances.
// 2. Find the threshold: the first distance up to which there are enough tokens.
// 3. Place the share: count the picks of every block, and find the blocks that hold the share.
// 4. Compact: compare the distances of these blocks with the threshold, span by span, and write the
//    tokens of the share to workgroup memory.
// 5. Attend: each group of LANES threads loads rows of its own and keeps a running softmax.
// 6. Join the row groups into the partial of this split.
// 7. Join the splits in the last workgroup of the list.
//
// With NEWEST = 1, distances and histograms lack the newest token, because the score encodes it
// while it scores the others. list_state then begins with the codes of the queries and of the
// newest tokens, with FACTORS = 1 also their factors. Step 1 computes the newest distance from
// them.
//
// HAND_OVER says where the splits are joined:
//   0  In a second dispatch, merge/join_splits.wgsl. WGSL guarantees no more than this.
//   1  In the last workgroup to arrive, over plain memory. No workgroup waits for another. The
//      device must order all of its memory at storageBarrier(), as it does for naga's SPIR-V.
//   2  In the last workgroup to arrive, over atomics. Devices keep these coherent, though WGSL does
//      not order them.
const HEAD_DIM: u32 = 128u; // @param
const BATCH: u32 = 1u; // @param sequences
const GROUP: u32 = 4u; // @param query heads per KV head
const Q_HEADS: u32 = 32u; // @param
const CAPACITY: u32 = 4096u; // @param
const PREFIX: u32 = 0u; // @param tokens that all sequences share
const LIST_CAPACITY: u32 = 256u; // @param
const KV_DTYPE: u32 = 1u; // @param 0 f32, 1 f16, 2 bf16
const BITS: u32 = 32u; // @param
const PLANES: u32 = 0u; // @param magnitude planes of a query code
const QUERIES_PER_CODE: u32 = 1u; // @param query heads that are compared with one code
const FACTORS: u32 = 0u; // @param 1 if distances are bins of scores with factors
const LAST: u32 = 32u; // @param largest distance, at most 255
const TIES: u32 = 0u; // @param 0 lower, 1 higher index first
const SINK: u32 = 0u; // @param
const RECENT: u32 = 0u; // @param
const K_COUNT: u32 = 128u; // @param used where SPARSITY is 0
const SPARSITY: u32 = 0u; // @param k = length / SPARSITY
const BLOCK: u32 = 1024u; // @param tokens per histogram; at most WORKGROUP blocks
const NEWEST: u32 = 0u; // @param 1 if the newest token is in neither histograms nor distances
const SUBGROUP_MIN: u32 = 4u; // @param smallest subgroup of the device
const WORKGROUP: u32 = 128u; // @param
const AHEAD: u32 = 1u; // @param spans whose distances are staged before the threshold is known
const LANES: u32 = 4u; // @param threads per row
const TOKENS: u32 = 2u; // @param rows in flight per thread
const SPLITS: u32 = 16u; // @param workgroups of a list, with SHARES > 0 at most
const SHARES: u32 = 0u; // @param workgroups for the lists of all sequences; 0 to have SPLITS each
const HELD_TOKENS: u32 = 1024u; // @param tokens that a share may have, with SHARES > 0
const HAND_OVER: u32 = 1u; // @param 0 dispatch, 1 barrier, 2 atomics

const KV_HEADS = Q_HEADS / GROUP;
// @shared cache_strides
// Rows of K and V. Strides are in 16-byte loads, or all 0 for [B, KV_HEADS, CAPACITY, HEAD_DIM].
const OUTER_STRIDE: u32 = 0u; // @param from a sequence, or a page, to the next
const HEAD_STRIDE: u32 = 0u; // @param from a KV head to the next
const TOKEN_STRIDE: u32 = 0u; // @param from a token to the next
const TABLE_BITS: u32 = 0u; // @param log2 of the tokens of a page; 0 without a page table
const KV_WIDTH = 4u + 4u * u32(KV_DTYPE != 0u); // values of a load
const KV_LOADS = HEAD_DIM / KV_WIDTH; // loads of a row
// @end
const BINS = LAST + 1u;
const BLOCKS = (CAPACITY + BLOCK - 1u) / BLOCK;
const COUNTS = BLOCKS * BINS; // of a list's histograms
const THREAD_COUNTS = (COUNTS + WORKGROUP - 1u) / WORKGROUP; // of these, per thread
const LANE_BINS = (LAST + SUBGROUP_MIN - 1u) / SUBGROUP_MIN; // bins that a lane adds up
const CODE_WORDS = BITS / 32u;
const QUERY_WORDS = (1u + PLANES) * CODE_WORDS + FACTORS; // signs, planes, the scale of bins
const NEWEST_WORDS = CODE_WORDS + FACTORS; // the newest key's code, and its factor
const SPAN = WORKGROUP * 32u; // tokens that the workgroup looks at together
const LIST_LOADS = CAPACITY / 16u; // 16-byte loads of a list's distances
const MOST_SUBGROUPS = WORKGROUP / SUBGROUP_MIN;
// @shared row_layout
const WIDTH = 4u + 4u * u32(KV_DTYPE != 0u); // values of a 16-byte load
const QUADS = WIDTH / 4u; // vec4f of a load
const ROW_LOADS = HEAD_DIM / WIDTH; // loads of a row
const CHUNKS = (ROW_LOADS + LANES - 1u) / LANES; // loads of a row per thread
const PARTS = CHUNKS * QUADS; // vec4f of a row per thread
const ROWS = WORKGROUP / LANES; // rows that the workgroup reads side by side
const LOADS = TOKENS * CHUNKS; // loads in flight per thread
const HEAD_QUADS = HEAD_DIM / 4u;
// @end
const UNIT = ROWS * TOKENS; // places of a list that a workgroup attends at a time
const LIST_UNITS = (LIST_CAPACITY + UNIT - 1u) / UNIT;
const LEAST_UNITS = (LIST_UNITS + SPLITS - 1u) / SPLITS; // of a share of the longest list
const MOST_UNITS = max(LEAST_UNITS, HELD_TOKENS / UNIT);
const EQUAL_TOKENS = (LIST_CAPACITY + SPLITS - 1u) / SPLITS;
const SHARE_TOKENS = EQUAL_TOKENS * u32(SHARES == 0u) + MOST_UNITS * UNIT * u32(SHARES > 0u);
const PORTION_BOUNDS = vec3<u32>(SHARES, SPLITS, MOST_UNITS);
const LISTS = BATCH * Q_HEADS;
const LIST_HEADS = 1u; // query heads of a list
// @shared hand_over_sizes
const PARTIAL_QUADS = HEAD_QUADS + 1u; // acc, then (m, l, 0, 0)
const LINE_QUADS = 8u; // of a cache line: no two lists share one, see HandOver
const LIST_LINES = (LIST_HEADS * SPLITS * PARTIAL_QUADS + LINE_QUADS - 1u) / LINE_QUADS;
const LIST_QUADS = LIST_LINES * LINE_QUADS;
const ALL_QUADS = LISTS * LIST_QUADS;
const ATOMIC_WORDS = max(64u - LISTS % 64u, 4u * ALL_QUADS * u32(HAND_OVER == 2u));
const PLAIN_QUADS = max(1u, ALL_QUADS * u32(HAND_OVER != 2u));
// @end
const SPLIT_QUADS = SPLITS * PARTIAL_QUADS; // of the partials of a list
const THREAD_QUADS = (SPLIT_QUADS + WORKGROUP - 1u) / WORKGROUP; // of these, per thread
const MOST_JOINED = max(ROWS, SPLITS + 1u); // row groups, or splits and the sink logit
// Places in list_state at which the codes of the newest tokens and the histograms begin.
const NEWEST_CODES = LISTS * QUERY_WORDS;
const HISTOGRAMS = NEWEST * (NEWEST_CODES + LISTS / QUERIES_PER_CODE * NEWEST_WORDS);
// @shared softmax
const NEG_LARGE = -1e30; // in place of minus infinity, for which WGSL promises nothing
const LOG2_E = 1.4426950408889634; // logits are in log2 units
// @end
// @shared logit_scale
const SCALE = LOG2_E / sqrt(f32(HEAD_DIM)); // from a dot to a logit
// @end

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read> q: array<vec4f>;
@group(0) @binding(2) var<storage, read> keys: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> values: array<vec4<u32>>;
@group(0) @binding(4) var<uniform> sink_logits: array<vec4f, (Q_HEADS + 3u) / 4u>;
@group(0) @binding(5) var<storage, read> distances: array<vec4<u32>>;
@group(0) @binding(6) var<storage, read> list_state: array<u32>;
@group(0) @binding(7) var<storage, read_write> hand_over: HandOver;
@group(0) @binding(8) var<storage, read_write> out: array<vec4f>;

// @shared hand_over
/// Partials that the workgroups of a list hand over. One of the two arrays is used.
///
/// A barrier does not drop what a processor has cached. So nobody reads a line of partials before
/// all of its list have arrived, and each list begins a line of its own.
struct HandOver {
  arrivals: array<atomic<u32>, LISTS>, // zero between steps
  words: array<atomic<u32>, ATOMIC_WORDS>,
  partials: array<vec4f, PLAIN_QUADS>,
}
// @end

var<workgroup> histograms: array<u32, COUNTS>;
// Of the blocks that hold the share: the first token, the end, and the first place in the list.
var<workgroup> share_range: array<u32, 3>;
// BLOCKS minus the block that holds tie number tie_bound, and the ties of that block before it.
// Memory starts at zero, which stands for no such block.
var<workgroup> split_ties: vec2<u32>;
var<workgroup> subtotals: array<vec2<u32>, 2u * MOST_SUBGROUPS>;
var<workgroup> tokens: array<u32, SHARE_TOKENS>;
// Step 4 keeps staged distances here, steps 6 and 7 the partials that they join.
var<workgroup> pool: array<vec4<u32>, max(AHEAD * SPAN / 16u, MOST_JOINED * PARTIAL_QUADS)>;
var<workgroup> is_last: u32;
var<workgroup> own_portion: vec4<u32>; // a Portion

// @shared cache_rows
/// Where the rows of a KV head begin in keys and values, in 16-byte loads: in the whole cache, or
/// in each page of a paged one. KV heads are counted over all sequences.
fn head_start(kv_head: u32) -> u32 {
  if (OUTER_STRIDE == 0u) {
    return kv_head * CAPACITY * KV_LOADS;
  }
  let outer = select(kv_head / KV_HEADS * OUTER_STRIDE, 0u, TABLE_BITS != 0u);
  return outer + kv_head % KV_HEADS * HEAD_STRIDE;
}

/// How far from there a token's row begins. A page table stands behind the lengths.
fn row_offset(kv_head: u32, token: u32) -> u32 {
  if (OUTER_STRIDE == 0u) {
    return token * KV_LOADS;
  }
  if (TABLE_BITS == 0u) {
    return token * TOKEN_STRIDE;
  }
  let pages = (CAPACITY + (1u << TABLE_BITS) - 1u) >> TABLE_BITS; // of a sequence
  let page = lengths[BATCH + kv_head / KV_HEADS * pages + (token >> TABLE_BITS)];
  return page * OUTER_STRIDE + token % (1u << TABLE_BITS) * TOKEN_STRIDE;
}
// @end

// @shared widen
/// Values 4 * quad .. 4 * quad + 3 of a 16-byte load of keys or values.
fn widen(raw: vec4<u32>, quad: u32) -> vec4f {
  if (KV_DTYPE == 0u) {
    return bitcast<vec4f>(raw);
  }
  let pair = select(raw.xy, raw.zw, quad == 1u);
  if (KV_DTYPE == 1u) {
    return vec4f(unpack2x16float(pair.x), unpack2x16float(pair.y));
  }
  let low = pair << vec2<u32>(16u);
  let high = pair & vec2<u32>(0xffff0000u);
  return bitcast<vec4f>(vec4<u32>(low.x, high.x, low.y, high.y));
}
// @end

// @shared query_quad
/// A quad of the queries.
fn query_quad(at: u32) -> vec4f {
  return q[at];
}
// @end

// @shared capped
/// A logit under the soft cap, of which there is none in this text: see core/formats.ts.
fn capped(logit: f32) -> f32 {
  return logit;
}
// @end

// @shared store_out
/// Stores a quad of the output.
fn store_out(at: u32, quad: vec4f) {
  out[at] = quad;
}
// @end

// @shared bits_from
/// A word whose bits `count` and up are set.
fn bits_from(count: u32) -> u32 {
  return select(0xffffffffu << min(count, 31u), 0u, count > 31u);
}
// @end

// @shared window_tokens
/// The number of tokens of [first, after) that lie in the sink or the recent window.
fn window_tokens(first: u32, after: u32, sink_end: u32, recent_start: u32) -> u32 {
  let in_sink = max(min(after, sink_end), first) - first;
  return in_sink + after - clamp(recent_start, first, after);
}
// @end

// @shared window_mask
/// The tokens of the sink or the recent window among the 32 from `first` on, as a mask: bit i is
/// token first + i. Tokens at the length and past it count as recent.
fn window_mask(first: u32, sink_end: u32, recent_start: u32) -> u32 {
  let in_sink = ~bits_from(max(first, sink_end) - first);
  return in_sink | bits_from(max(first, recent_start) - first);
}
// @end

// @shared first_bits
/// The lowest `count` of the bits that are set in `mask`, or all if there are fewer.
fn first_bits(mask: u32, count: u32) -> u32 {
  var kept = select(mask, 0u, count == 0u);
  for (; countOneBits(kept) > count;) {
    kept &= ~(1u << firstLeadingBit(kept));
  }
  return kept;
}
// @end

// @shared tie_picks
/// How many of the first `count` ties are picks. Picks are the first `tie_bound` ties, or with
/// TIES = 1 all ties but these.
fn picks_of_ties(count: u32, tie_bound: u32) -> u32 {
  let first = min(count, tie_bound);
  return select(first, count - first, TIES == 1u);
}

/// The picks among the ties of a mask, where `before` ties come before the mask.
fn mask_tie_picks(tie_mask: u32, before: u32, tie_bound: u32) -> u32 {
  let first = first_bits(tie_mask, tie_bound - min(before, tie_bound));
  return select(first, tie_mask & ~first, TIES == 1u);
}
// @end

// @shared factor_value
/// The whole number that a factor's byte stands for.
fn factor_value(byte: u32) -> u32 {
  return select((16u + (byte & 15u)) << (max(byte >> 4u, 1u) - 1u), byte, byte < 16u);
}
// @end

// @shared score_bin
/// The bin of a token's score, 0 for scores below zero. `weighted` are the weights of the bits that
/// differ from the query's signs, `value` is that of the key's factor.
fn score_bin(weighted: u32, value: u32, scale: u32) -> u32 {
  let total = scale >> 21u; // of all weights
  let score = (max(total, 2u * weighted) - 2u * weighted) * value;
  let bounded = min(score >> ((scale >> 16u) & 31u), 65535u);
  return min((bounded * (scale & 0xffffu)) >> 16u, BINS - 1u);
}
// @end

// @shared cache_row
/// The row of a token in the caches. The first PREFIX tokens lie there once for all sequences, then
/// come the own tokens of each. `head` is the KV head, counted through all sequences.
fn cache_row(head: u32, token: u32) -> u32 {
  let shared_row = head % KV_HEADS * PREFIX + token;
  let own_row = KV_HEADS * PREFIX + head * (CAPACITY - PREFIX) + token - PREFIX;
  return select(own_row, shared_row, token < PREFIX);
}
// @end

// @shared kv_row
/// Where a token's row begins in keys and values, in 16-byte loads. Caches of sequences that share
/// a prefix have no strides or pages of their own.
fn kv_row(kv_head: u32, token: u32) -> u32 {
  if (PREFIX != 0u) {
    return cache_row(kv_head, token) * KV_LOADS;
  }
  return head_start(kv_head) + row_offset(kv_head, token);
}
// @end

// @shared row_quad
/// Where a lane's chunk `chunk` lies in a row, in loads from place `lane`. Lanes that are left over
/// at the end of a row repeat its last load. They make of it what the lane makes that owns it, but
/// their part of the query is zero, so that dots count the load once.
fn chunk_offset(chunk: u32, lane: u32) -> u32 {
  if (ROW_LOADS % LANES == 0u) {
    return chunk * LANES;
  }
  return min(chunk * LANES + lane, ROW_LOADS - 1u) - lane; // may wrap around below zero
}

/// The quad of a row that a lane holds as its part `part`.
fn row_quad(part: u32, lane: u32) -> u32 {
  return (chunk_offset(part / QUADS, lane) + lane) * QUADS + part % QUADS;
}
// @end

// @shared query_scale
/// The factor of a lane's part of a query: the scale of logits, or zero where the lane repeats the
/// last load of the row.
fn query_scale(part: u32, lane: u32) -> f32 {
  let is_own = part / QUADS * LANES + lane < ROW_LOADS;
  return select(0.0, SCALE, is_own);
}
// @end

/// Bit i of the result is set if byte i of `word`, a distance, is below `limit`.
///
/// One subtraction compares all four: limit + 127 - distance has its top bit set if and only if the
/// distance is below the limit. Bytes do not borrow from each other, unless distances reach 128 and
/// the limit is 0 or 129. These two limits are handled apart. Distances above 128 need fields of 16
/// bits: first the even bytes, then the odd ones.
fn bytes_below(word: u32, limit: u32) -> u32 {
  if (LAST > 128u) {
    let wide = 0x7fff7fffu + limit * 0x00010001u;
    let even = (wide - (word & 0x00ff00ffu)) >> 15u;
    let odd = (wide - ((word >> 8u) & 0x00ff00ffu)) >> 15u;
    return (even & 1u) | ((even >> 14u) & 4u) | ((odd & 1u) << 1u) | ((odd >> 13u) & 8u);
  }
  let bytes = ((0x7f7f7f7fu + min(limit, 128u) * 0x01010101u - word) >> 7u) & 0x01010101u;
  let all_or_none = 15u * u32(limit > 0u);
  return select((bytes * 0x10204080u) >> 28u, all_or_none, LAST == 128u && limit % 129u == 0u);
}

/// Loads the distances of AHEAD spans into workgroup memory, from token `first` on.
fn stage_distances(list: u32, first: u32, thread: u32) {
  for (var i = 0u; i < 2u * AHEAD; i++) { // @unroll
    let load = min(first / 16u + i * WORKGROUP + thread, LIST_LOADS - 1u);
    pool[i * WORKGROUP + thread] = distances[list * LIST_LOADS + load];
  }
}

/// Sums of `value` over the threads before this one (xy) and over all threads (zw).
///
/// Successive calls use the two halves of `subtotals` by turns. So one barrier per call is enough:
/// a thread reaches the next call's barrier only after it has read this call's half.
fn scan_by_turns(
  value: vec2<u32>,
  turn: u32,
  thread: u32,
  lane: u32,
  lanes: u32,
) -> vec4<u32> {
  let half = turn % 2u * MOST_SUBGROUPS;
  var before = subgroupExclusiveAdd(value);
  if (lane == lanes - 1u) {
    subtotals[half + thread / lanes] = before + value;
  }
  workgroupBarrier();
  var all = vec2<u32>(0u);
  for (var s = 0u; s < MOST_SUBGROUPS; s++) { // @unroll
    if (s < WORKGROUP / lanes) {
      before += select(vec2<u32>(0u), subtotals[half + s], s < thread / lanes);
      all += subtotals[half + s];
    }
  }
  return vec4<u32>(before, all);
}

/// Units of a sequence's list, of which even an empty one has one.
fn units_of(sequence: u32) -> u32 {
  let length = lengths[sequence];
  // @shared windows
  let sink_end = min(SINK, length);
  let recent_start = max(sink_end, length - min(RECENT, length));
  let wanted = select(length / max(SPARSITY, 1u), K_COUNT, SPARSITY == 0u);
  let picks_wanted = min(wanted, recent_start - sink_end);
  // @end
  let attended = sink_end + picks_wanted + length - recent_start;
  return max((attended + UNIT - 1u) / UNIT, 1u);
}

// @shared find_portion
/// The part of a sequence that a workgroup takes.
struct Portion {
  sequence: u32,
  split: u32, // place of the workgroup among those of the sequence
  splits: u32, // workgroups of the sequence; 0 if the workgroup has no part
  all: u32, // units of all sequences
}

/// The workgroups of a sequence with `units` units, where all sequences have `all`. `bounds` are
/// the workgroups among which these are shared out, the most workgroups of a sequence, and the most
/// units of a workgroup.
fn splits_of(units: u32, all: u32, bounds: vec3<u32>) -> u32 {
  let quota = min((all + bounds.x - 1u) / bounds.x, bounds.z);
  return min((units + quota - 1u) / quota, bounds.y);
}

/// The portion of a workgroup: portions are numbered through all sequences. Every subgroup finds it
/// for itself; a lane has a run of sequences.
fn find_portion(index: u32, thread: u32, lane: u32, lanes: u32) -> Portion {
  let run = (BATCH + lanes - 1u) / lanes;
  let run_begin = min(lane * run, BATCH);
  let run_end = min(run_begin + run, BATCH);
  var units = 0u;
  for (var b = run_begin; b < run_end; b++) {
    units += units_of(b);
  }
  let all = subgroupAdd(units);
  var portions = 0u;
  for (var b = run_begin; b < run_end; b++) {
    portions += splits_of(units_of(b), all, PORTION_BOUNDS);
  }
  let through = subgroupInclusiveAdd(portions);
  // The lane that has the portion looks for its sequence.
  var found = vec2<u32>(0u);
  if (through - portions <= index && index < through) {
    found = vec2<u32>(run_begin, index - (through - portions));
    var splits = splits_of(units_of(found.x), all, PORTION_BOUNDS);
    for (; found.y >= splits;) {
      found = vec2<u32>(found.x + 1u, found.y - splits);
      splits = splits_of(units_of(found.x), all, PORTION_BOUNDS);
    }
  }
  found = subgroupMax(found);
  let has_portion = index < subgroupMax(through);
  let splits = splits_of(units_of(found.x), all, PORTION_BOUNDS);
  if (thread == 0u) {
    own_portion = vec4<u32>(found, select(0u, splits, has_portion), all);
  }
  let own = workgroupUniformLoad(&own_portion);
  return Portion(own.x, own.y, own.z, own.w);
}
// @end

/// The token from which distances are staged before the threshold is known, the first of a block.
///
/// If picks are spread evenly, split i of the list lies in split i of the sequence. One span has
/// its middle there.
fn guess_start(split: u32, splits: u32, length: u32) -> u32 {
  let middle = (2u * split + 1u) * (length / (2u * splits));
  let first = max(middle, SPAN / 2u) - SPAN / 2u;
  return (first + BLOCK / 2u) / BLOCK * BLOCK;
}

/// Count `at` of a list's histograms, with the newest token. The score writes no histogram for
/// blocks past the length; their counts are zero.
fn complete_count(at: u32, count: u32, newest_bin: u32, length: u32) -> u32 {
  let block = at / BINS;
  let has_newest = at % BINS == newest_bin && block == (length - 1u) / BLOCK;
  return select(0u, count, block * BLOCK < length) + u32(has_newest);
}

/// The threshold (x) and the number of middle tokens below it (y). The threshold is the first bin
/// up to which there are `picks_wanted` tokens, or the last bin if there are fewer.
///
/// Every subgroup finds the threshold for itself, which saves a barrier.
fn find_threshold(lane: u32, picks_wanted: u32) -> vec2<u32> {
  var bin_counts = array<u32, LANE_BINS>();
  var below = 0u;
  for (var b = 0u; b < LANE_BINS; b++) { // @unroll
    for (var block = 0u; block < BLOCKS; block++) { // @unroll
      bin_counts[b] += histograms[block * BINS + min(lane * LANE_BINS + b, LAST)];
    }
    below += bin_counts[b];
  }
  below = subgroupExclusiveAdd(below);
  var bins_passed = 0u;
  var nearer = 0u;
  for (var b = 0u; b < LANE_BINS; b++) { // @unroll
    below += bin_counts[b];
    if (lane * LANE_BINS + b < LAST && below < picks_wanted) {
      bins_passed += 1u;
      nearer = below;
    }
  }
  return vec2<u32>(subgroupAdd(bins_passed), subgroupMax(nearer));
}

/// The number of a block's tokens below the threshold or in a window (x), and of its ties (y).
fn count_block(
  block: u32,
  threshold: u32,
  length: u32,
  sink_end: u32,
  recent_start: u32,
) -> vec2<u32> {
  var below = 0u;
  for (var bin = 0u; bin < LAST; bin++) { // @unroll
    below += select(0u, histograms[block * BINS + bin], bin < threshold);
  }
  let first = min(block * BLOCK, length);
  let after = min(first + BLOCK, length);
  below += window_tokens(first, after, sink_end, recent_start);
  return vec2<u32>(below, histograms[block * BINS + threshold]);
}

/// Notes the block if the share, places [begin, end) of the list, begins or ends in it, or if it
/// holds tie number `tie_bound`. count_block() gives `counts`; `before` is their sum over all
/// earlier blocks.
fn place_share(
  block: u32,
  counts: vec2<u32>,
  before: vec2<u32>,
  tie_bound: u32,
  begin: u32,
  end: u32,
) {
  let place = before.x + picks_of_ties(before.y, tie_bound);
  let next = before.x + counts.x + picks_of_ties(before.y + counts.y, tie_bound);
  if (place <= begin && begin < next) {
    share_range[0] = block * BLOCK;
    share_range[2] = place;
  }
  if (begin < end && place < end && end <= next) {
    share_range[1] = (block + 1u) * BLOCK;
  }
  if (before.y <= tie_bound && tie_bound < before.y + counts.y) {
    split_ties = vec2<u32>(BLOCKS - block, tie_bound - before.y);
  }
}

/// Two masks of 32 staged tokens, bit i for token first + i: the tokens that the list holds (x),
/// and in `split_block` the ties, of which it may hold only some (y).
///
/// In blocks before `split_block` all ties are picks and in blocks after it none is, or with
/// TIES = 1 the other way round. So there a single comparison is enough, with a limit that includes
/// the ties or not.
fn match_staged(
  first: u32,
  staged: u32,
  threshold: u32,
  split_block: u32,
  newest_bin: u32,
  length: u32,
  sink_end: u32,
  recent_start: u32,
) -> vec2<u32> {
  let block = first / BLOCK;
  let takes_ties = select(block < split_block, split_block < block, TIES == 1u);
  let limit = threshold + u32(takes_ties);
  let tie_limit = limit + u32(block == split_block);
  var below_mask = 0u;
  var tie_mask = 0u;
  for (var word = 0u; word < 8u; word++) { // @unroll
    let four = pool[(first - staged) / 16u + word / 4u][word % 4u];
    below_mask |= bytes_below(four, limit) << (4u * word);
    if (tie_limit > limit) {
      tie_mask |= bytes_below(four, tie_limit) << (4u * word);
    }
  }
  let to_newest = length - 1u - first;
  let newest = select(0u, 1u << (to_newest % 32u), NEWEST == 1u && to_newest < 32u);
  below_mask = select(below_mask & ~newest, below_mask | newest, newest_bin < limit);
  tie_mask = select(tie_mask & ~newest, tie_mask | newest, newest_bin < tie_limit);
  below_mask |= window_mask(first, sink_end, recent_start);
  tie_mask &= ~below_mask;
  let inside = ~bits_from(length - first);
  return vec2<u32>(below_mask & inside, tie_mask & inside);
}

/// Writes the tokens of the mask `picks` to consecutive slots of the share, and skips slots outside
/// of it. Slots before the share wrap around below zero, so one comparison finds them too.
///
/// A turn of the loop writes four tokens, because naga guards every turn with a counter.
fn store_picks(first: u32, picks: u32, first_slot: u32, slots: u32) {
  var slot = first_slot;
  for (var left = picks; left != 0u;) {
    for (var i = 0u; i < 4u; i++) { // @unroll
      if (left != 0u && slot < slots) {
        tokens[slot] = first + firstTrailingBit(left);
      }
      left &= left - 1u;
      slot += 1u;
    }
  }
}

/// Joins the first `count` partials in `pool`: gives a quad of the sum, the last of which is
/// (m, l, 0, 0).
fn join_pool(quad: u32, count: u32) -> vec4f {
  var m = NEG_LARGE;
  for (var i = 0u; i < MOST_JOINED; i++) { // @unroll
    if (i < count) {
      m = max(m, bitcast<f32>(pool[i * PARTIAL_QUADS + HEAD_QUADS].x));
    }
  }
  var sum = vec4f(0.0);
  for (var i = 0u; i < MOST_JOINED; i++) { // @unroll
    let alpha = exp2(bitcast<f32>(pool[i * PARTIAL_QUADS + HEAD_QUADS].x) - m);
    if (i < count) {
      sum += bitcast<vec4f>(pool[i * PARTIAL_QUADS + quad]) * alpha;
    }
  }
  return select(sum, vec4f(m, sum.yzw), quad == HEAD_QUADS);
}

// @shared store_partial
/// Stores a quad of a partial for the workgroup that joins the splits.
fn store_partial(at: u32, quad: vec4f) {
  if (HAND_OVER == 2u) {
    let words = bitcast<vec4<u32>>(quad);
    atomicStore(&hand_over.words[at * 4u], words.x);
    atomicStore(&hand_over.words[at * 4u + 1u], words.y);
    atomicStore(&hand_over.words[at * 4u + 2u], words.z);
    atomicStore(&hand_over.words[at * 4u + 3u], words.w);
  } else {
    hand_over.partials[at] = quad;
  }
}

/// Loads a quad of a partial that was handed over by atomics. Plain partials are read where they
/// are needed: compilers issue such loads together only if no branch stands between them.
fn atomic_partial(at: u32) -> vec4f {
  let x = atomicLoad(&hand_over.words[at * 4u]);
  let y = atomicLoad(&hand_over.words[at * 4u + 1u]);
  let z = atomicLoad(&hand_over.words[at * 4u + 2u]);
  let w = atomicLoad(&hand_over.words[at * 4u + 3u]);
  return bitcast<vec4f>(vec4<u32>(x, y, z, w));
}
// @end

// @shared arrives_last_of
/// Counts this workgroup's arrival. True if it is the last one of `count` of its list to arrive.
fn arrives_last_of(count: u32, list: u32, thread: u32) -> bool {
  storageBarrier();
  if (thread == 0u) {
    is_last = u32(atomicAdd(&hand_over.arrivals[list], 1u) == count - 1u);
  }
  return workgroupUniformLoad(&is_last) != 0u;
}
// @end

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
  @builtin(subgroup_invocation_id) subgroup_lane: u32,
  @builtin(subgroup_size) subgroup_size: u32,
) {
  let lanes = min(subgroup_size, WORKGROUP); // a subgroup may be larger than the workgroup
  var portion = Portion(wid.z, wid.x, SPLITS, 0u);
  var own_head = wid.y;
  if (SHARES > 0u) {
    own_head = wid.x;
    portion = find_portion(wid.y, thread, subgroup_lane, lanes);
    if (portion.splits == 0u) {
      return;
    }
  }
  let split = portion.split;
  let splits = portion.splits;
  let list = portion.sequence * Q_HEADS + own_head;
  let lane = thread % LANES;
  let row = thread / LANES;

  // 1. Load all that has a known place, so that these loads are in flight together.
  let length = lengths[portion.sequence];
  var counts: array<u32, THREAD_COUNTS>;
  for (var i = 0u; i < THREAD_COUNTS; i++) { // @unroll
    let at = min(i * WORKGROUP + thread, COUNTS - 1u);
    counts[i] = list_state[HISTOGRAMS + list * COUNTS + at];
  }
  var newest_distance = 0u;
  if (NEWEST == 1u) {
    let newest_code = NEWEST_CODES + list / QUERIES_PER_CODE * NEWEST_WORDS;
    for (var i = 0u; i < CODE_WORDS; i++) { // @unroll
      let at = list * QUERY_WORDS + i;
      let differing = list_state[newest_code + i] ^ list_state[at];
      if (PLANES == 0u) {
        newest_distance += countOneBits(differing);
      }
      for (var plane = 0u; plane < PLANES; plane++) { // @unroll
        let weighed = differing & list_state[at + (plane + 1u) * CODE_WORDS];
        newest_distance += countOneBits(weighed) << plane;
      }
    }
    if (FACTORS == 1u) {
      let value = factor_value(list_state[newest_code + NEWEST_WORDS - 1u]);
      let scale = list_state[list * QUERY_WORDS + QUERY_WORDS - 1u];
      newest_distance = LAST - score_bin(newest_distance, value, scale);
    }
  }
  var query: array<vec4f, PARTS>;
  for (var part = 0u; part < PARTS; part++) { // @unroll
    let quad = query_quad(list * HEAD_QUADS + row_quad(part, lane));
    query[part] = quad * query_scale(part, lane);
  }
  let guess = guess_start(split, splits, length);
  stage_distances(list, guess, thread);

  // 2. Find the threshold.
  // @shared windows
  let sink_end = min(SINK, length);
  let recent_start = max(sink_end, length - min(RECENT, length));
  let wanted = select(length / max(SPARSITY, 1u), K_COUNT, SPARSITY == 0u);
  let picks_wanted = min(wanted, recent_start - sink_end);
  // @end
  let attended = sink_end + picks_wanted + length - recent_start;
  var share = (attended + splits - 1u) / splits;
  if (SHARES > 0u) {
    share = (share + UNIT - 1u) / UNIT * UNIT;
  }
  let begin = min(split * share, attended); // the share is places [begin, end) of the list
  let end = min(begin + share, attended);
  // In a window the newest token needs no distance, and no bin may count it.
  let newest_is_middle = NEWEST == 1u && recent_start == length && sink_end < length;
  let newest_bin = select(BINS, newest_distance, newest_is_middle);
  for (var i = 0u; i < THREAD_COUNTS; i++) { // @unroll
    let at = i * WORKGROUP + thread;
    if (at < COUNTS) {
      histograms[at] = complete_count(at, counts[i], newest_bin, length);
    }
  }
  workgroupBarrier();
  let found = find_threshold(subgroup_lane, picks_wanted);
  let threshold = found.x;
  let ties = picks_wanted - found.y; // ties that are picks

  // 3. Place the share. Thread i counts block i.
  var block_counts = vec2<u32>(0u);
  if (thread < BLOCKS) {
    block_counts = count_block(thread, threshold, length, sink_end, recent_start);
  }
  let block_sums = scan_by_turns(block_counts, 0u, thread, subgroup_lane, lanes);
  let tie_bound = select(ties, block_sums.w - ties, TIES == 1u);
  place_share(thread, block_counts, block_sums.xy, tie_bound, begin, end);
  // The barrier of this load also publishes split_ties and the distances that step 1 staged.
  let range = workgroupUniformLoad(&share_range);
  let split_block = BLOCKS - split_ties.x;
  let split_count = split_ties.y;

  // 4. Compact.
  var staged = guess;
  // Slot of the next token below the threshold, and the ties of the split block so far. The first
  // may wrap around below zero.
  var before_span = vec2<u32>(range[2] - begin, 0u);
  for (var span = range[0]; span < range[1]; span += SPAN) {
    if (span < staged || min(span + SPAN, range[1]) > staged + AHEAD * SPAN) {
      staged = span;
      stage_distances(list, staged, thread);
      workgroupBarrier();
    }
    let first = span + thread * 32u;
    var masks = vec2<u32>(0u);
    if (first < min(range[1], length)) {
      masks = match_staged(
        first,
        staged,
        threshold,
        split_block,
        newest_bin,
        length,
        sink_end,
        recent_start,
      );
    }
    let turn = 1u + (span - range[0]) / SPAN;
    let sums = scan_by_turns(countOneBits(masks), turn, thread, subgroup_lane, lanes);
    let before = before_span + sums.xy;
    before_span += sums.zw;
    let picks = masks.x | mask_tie_picks(masks.y, before.y, split_count);
    let slot = before.x + picks_of_ties(before.y, split_count);
    store_picks(first, picks, slot, end - begin);
  }
  workgroupBarrier();

  // 5. Attend. Past the end of the share the last row repeats; its logit is masked.
  var m = NEG_LARGE;
  var l = 0.0;
  var acc = array<vec4f, PARTS>();
  let kv_head = list / GROUP;
  for (var tile = begin; tile < end; tile += ROWS * TOKENS) {
    var loaded_k: array<vec4<u32>, LOADS>;
    var loaded_v: array<vec4<u32>, LOADS>;
    for (var load = 0u; load < LOADS; load++) { // @unroll
      let token = tokens[min(tile + (load / CHUNKS) * ROWS + row, end - 1u) - begin];
      let at = kv_row(kv_head, token) + lane + chunk_offset(load % CHUNKS, lane);
      loaded_k[load] = keys[at];
      loaded_v[load] = values[at];
    }
    var logits = array<f32, TOKENS>();
    var m_new = m;
    for (var t = 0u; t < TOKENS; t++) { // @unroll
      for (var part = 0u; part < PARTS; part++) { // @unroll
        let k = widen(loaded_k[t * CHUNKS + part / QUADS], part % QUADS);
        logits[t] += dot(k, query[part]);
      }
      for (var step = 0u; step < firstTrailingBit(LANES); step++) { // @unroll
        logits[t] += subgroupShuffleXor(logits[t], 1u << step);
      }
      logits[t] = select(2.0 * NEG_LARGE, capped(logits[t]), tile + t * ROWS + row < end);
      m_new = max(m_new, logits[t]);
    }
    let alpha = exp2(m - m_new);
    m = m_new;
    l *= alpha;
    var p: array<f32, TOKENS>;
    for (var t = 0u; t < TOKENS; t++) { // @unroll
      p[t] = exp2(logits[t] - m_new);
      l += p[t];
    }
    for (var part = 0u; part < PARTS; part++) { // @unroll
      acc[part] *= alpha;
      for (var t = 0u; t < TOKENS; t++) { // @unroll
        acc[part] += p[t] * widen(loaded_v[t * CHUNKS + part / QUADS], part % QUADS);
      }
    }
  }

  // 6. Join the row groups.
  for (var part = 0u; part < PARTS; part++) { // @unroll
    pool[row * PARTIAL_QUADS + row_quad(part, lane)] = bitcast<vec4<u32>>(acc[part]);
  }
  // All lanes of a row hold the same m and l, and write the same.
  pool[row * PARTIAL_QUADS + HEAD_QUADS] = bitcast<vec4<u32>>(vec4f(m, l, 0.0, 0.0));
  workgroupBarrier();
  if (thread < PARTIAL_QUADS) {
    let at = list * LIST_QUADS + split * PARTIAL_QUADS + thread;
    store_partial(at, join_pool(thread, ROWS));
  }
  if (HAND_OVER == 0u) {
    if (SHARES > 0u && split == 0u && thread == 0u) {
      atomicStore(&hand_over.arrivals[list], splits); // for merge/join_splits.wgsl
    }
    return;
  }

  // 7. Join the splits in the last workgroup to arrive, which leaves the counter at zero.
  if (!arrives_last_of(splits, list, thread)) {
    return;
  }
  storageBarrier();
  if (thread == 0u) {
    atomicStore(&hand_over.arrivals[list], 0u);
  }
  let sink = sink_logits[own_head / 4u][own_head % 4u] * LOG2_E;
  let split_quads = splits * PARTIAL_QUADS;
  if (HAND_OVER == 2u) {
    for (var i = 0u; i < THREAD_QUADS; i++) { // @unroll
      let at = min(i * WORKGROUP + thread, split_quads - 1u);
      pool[at] = bitcast<vec4<u32>>(atomic_partial(list * LIST_QUADS + at));
    }
  } else {
    for (var i = 0u; i < THREAD_QUADS; i++) { // @unroll
      let at = min(i * WORKGROUP + thread, split_quads - 1u);
      pool[at] = bitcast<vec4<u32>>(hand_over.partials[list * LIST_QUADS + at]);
    }
  }
  // The sink logit joins like one more split, which attended a row of zeros.
  let sink_stats = vec4f(sink, f32(sink > NEG_LARGE), 0.0, 0.0);
  if (thread < PARTIAL_QUADS) {
    let quad = select(vec4f(0.0), sink_stats, thread == HEAD_QUADS);
    pool[split_quads + thread] = bitcast<vec4<u32>>(quad);
  }
  workgroupBarrier();
  if (thread < HEAD_QUADS) {
    let l_all = join_pool(HEAD_QUADS, splits + 1u).y;
    let normalized = join_pool(thread, splits + 1u) / l_all;
    store_out(list * HEAD_QUADS + thread, select(normalized, vec4f(0.0), l_all == 0.0));
  }
}
