// select_gather_group.wgsl: select, attend and join lists that a group's query heads share.
//
// This is select_gather.wgsl, plus QUERIES_PER_LIST query heads that attend each loaded row.
// Distances are sums over these heads, which makes too many bins to add up here. So the score
// leaves ranks in place of histograms (encode_score_group.wgsl): entry d of a block's row of ranks
// is the number of its middle tokens at distance d or less.
//
// Dispatch (SPLITS, code heads, batch): a workgroup attends an equal share of one list.
//
// A list holds the sink, the recent window, and the picks between them: all middle tokens whose
// distance is below the threshold, and the first of those at the threshold (the ties), or with
// TIES = 1 the last. Lists are in the order of tokens. Distances and ranks lack the newest token;
// step 1 computes its distance. Logits are in log2 units. Subgroups are consecutive threads, of at
// least SUBGROUP_MIN and LANES.
//
// 1. Load the ranks of all blocks together (the totals), the queries, and the codes of the queries
//    and of the newest token.
// 2. Find the threshold: the first distance up to which the totals count enough tokens.
// 3. Place the share: count the picks of every block from two of its ranks, and find the blocks
//    that hold the share.
// 4. Compact: load the distances of these blocks span by span, compare them with the threshold, and
//    write the tokens of the share to workgroup memory.
// 5. Attend: each group of LANES threads loads rows of its own and keeps a running softmax per
//    query head.
// 6. Join the row groups into the partials of this split, TOGETHER heads at a time.
// 7. Join the splits in the last workgroup of the list, which also leaves the totals at zero.
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
const QUERIES_PER_LIST: u32 = 4u; // @param query heads that share a list
const SEQUENCE_LISTS: u32 = 8u; // @param lists of a sequence
const CAPACITY: u32 = 4096u; // @param
const LIST_CAPACITY: u32 = 256u; // @param
const KV_DTYPE: u32 = 1u; // @param 0 f32, 1 f16, 2 bf16
const BITS: u32 = 128u; // @param
const DISTANCE_BYTES: u32 = 2u; // @param 1 or 2
const TIES: u32 = 0u; // @param 0 lower, 1 higher index first
const SINK: u32 = 0u; // @param
const RECENT: u32 = 0u; // @param
const K_COUNT: u32 = 128u; // @param used where SPARSITY is 0
const SPARSITY: u32 = 0u; // @param k = length / SPARSITY
const BLOCK: u32 = 1024u; // @param tokens per row of ranks
const SUBGROUP_MIN: u32 = 4u; // @param smallest subgroup of the device
const WORKGROUP: u32 = 128u; // @param
const LANES: u32 = 4u; // @param threads per row
const TOKENS: u32 = 2u; // @param rows in flight per thread
const TOGETHER: u32 = 1u; // @param heads whose row groups are joined at a time
const SPLITS: u32 = 8u; // @param
const HAND_OVER: u32 = 1u; // @param 0 dispatch, 1 barrier, 2 atomics

const KV_HEADS = SEQUENCE_LISTS * QUERIES_PER_LIST / GROUP;
// @shared cache_strides
// Rows of K and V. Strides are in 16-byte loads, or all 0 for [B, KV_HEADS, CAPACITY, HEAD_DIM].
const OUTER_STRIDE: u32 = 0u; // @param from a sequence, or a page, to the next
const HEAD_STRIDE: u32 = 0u; // @param from a KV head to the next
const TOKEN_STRIDE: u32 = 0u; // @param from a token to the next
const TABLE_BITS: u32 = 0u; // @param log2 of the tokens of a page; 0 without a page table
const KV_WIDTH = 4u + 4u * u32(KV_DTYPE != 0u); // values of a load
const KV_LOADS = HEAD_DIM / KV_WIDTH; // loads of a row
// @end
const LAST = BITS * QUERIES_PER_LIST; // the last bin, which is the largest distance
const BINS = LAST + 1u;
const BIN_TURNS = (BINS + WORKGROUP - 1u) / WORKGROUP; // bins per thread
const BLOCKS = (CAPACITY + BLOCK - 1u) / BLOCK;
const RANK_WORDS = (BINS + 1u) / 2u; // of a block's row of ranks, two to a word
const QUERY_WORDS = LAST / 32u; // of the codes of a list's queries
const CODE_WORDS = BITS / 32u;
const DISTANCE_BITS = 8u * DISTANCE_BYTES;
const PER_WORD = 4u / DISTANCE_BYTES; // distances in a word
const PER_LOAD = 4u * PER_WORD; // distances in a 16-byte load
const SPAN = WORKGROUP * 32u; // tokens that the workgroup looks at together
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
const JOIN_TURNS = (QUERIES_PER_LIST + TOGETHER - 1u) / TOGETHER;
const Q_HEADS = SEQUENCE_LISTS * QUERIES_PER_LIST;
const LISTS = BATCH * SEQUENCE_LISTS;
const LIST_HEADS = QUERIES_PER_LIST; // query heads of a list
// @shared hand_over_sizes
const PARTIAL_QUADS = HEAD_QUADS + 1u; // acc, then (m, l, 0, 0)
const LINE_QUADS = 8u; // of a cache line: no two lists share one, see HandOver
const LIST_LINES = (LIST_HEADS * SPLITS * PARTIAL_QUADS + LINE_QUADS - 1u) / LINE_QUADS;
const LIST_QUADS = LIST_LINES * LINE_QUADS;
const ALL_QUADS = LISTS * LIST_QUADS;
const ATOMIC_WORDS = max(64u - LISTS % 64u, 4u * ALL_QUADS * u32(HAND_OVER == 2u));
const PLAIN_QUADS = max(1u, ALL_QUADS * u32(HAND_OVER != 2u));
// @end
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
@group(0) @binding(6) var<storage, read_write> list_state: ListState;
@group(0) @binding(7) var<storage, read_write> hand_over: HandOver;
@group(0) @binding(8) var<storage, read_write> out: array<vec4f>;

/// What the score leaves for each list, see layout.ts.
struct ListState {
  query_codes: array<u32, LISTS * QUERY_WORDS>,
  newest_codes: array<u32, LISTS * CODE_WORDS>,
  rank_totals: array<atomic<u32>, LISTS * BINS>, // zero between steps
  block_ranks: array<u32, LISTS * BLOCKS * RANK_WORDS>,
}

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

var<workgroup> newest_distance: atomic<u32>;
var<workgroup> threshold_bin: u32;
// Of the blocks that hold the share: the first, the end, and the tokens before them that are below
// the threshold or in a window, and the ties before them.
var<workgroup> share_range: array<u32, 4>;
var<workgroup> subtotals: array<vec2<u32>, MOST_SUBGROUPS>;
var<workgroup> tokens: array<u32, (LIST_CAPACITY + SPLITS - 1u) / SPLITS>;
var<workgroup> row_acc: array<vec4f, TOGETHER * ROWS * HEAD_QUADS>;
var<workgroup> row_stats: array<vec2f, TOGETHER * ROWS>; // m, l
var<workgroup> is_last: u32;

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

/// Sums of `value` over the threads before this one (xy) and over all threads (zw).
fn scan_pair(value: vec2<u32>, thread: u32, lane: u32, lanes: u32) -> vec4<u32> {
  var sums = vec4<u32>(subgroupExclusiveAdd(value), vec2<u32>(0u));
  workgroupBarrier();
  if (lane == lanes - 1u) {
    subtotals[thread / lanes] = sums.xy + value;
  }
  workgroupBarrier();
  for (var s = 0u; s < MOST_SUBGROUPS; s++) { // @unroll
    let before = select(vec2<u32>(0u), subtotals[s], s < thread / lanes);
    sums += vec4<u32>(before, subtotals[s]);
  }
  return sums;
}

/// Whether `bin` is the threshold: the first bin up to which there are `picks_wanted` tokens, or
/// the last bin if there are fewer. `totals` are the tokens up to the bin before (x; anything for
/// the first bin) and up to this one (y).
///
/// The totals lack the newest token. With it there may be enough tokens below the threshold
/// already; then no tie is a pick.
fn is_threshold(bin: u32, totals: vec2<u32>, picks_wanted: u32) -> bool {
  let too_few_before = totals.x < picks_wanted || bin == 0u;
  let enough = totals.y >= picks_wanted || bin == LAST;
  return bin < BINS && too_few_before && enough;
}

/// Rank `distance` out of the word that holds it.
fn rank_in(word: u32, distance: u32) -> u32 {
  return (word >> (16u * (distance % 2u))) & 0xffffu;
}

/// The number of a block's tokens below the threshold or in a window (x), and of its ties (y).
fn count_ranked_block(
  list: u32,
  block: u32,
  threshold: u32,
  newest_bin: u32,
  length: u32,
  sink_end: u32,
  recent_start: u32,
) -> vec2<u32> {
  let ranks = (list * BLOCKS + block) * RANK_WORDS;
  let before = max(threshold, 1u) - 1u;
  let word_before = list_state.block_ranks[ranks + before / 2u];
  let word = list_state.block_ranks[ranks + threshold / 2u];
  var below = select(0u, rank_in(word_before, before), threshold > 0u);
  var tied = rank_in(word, threshold) - below;
  let has_newest = (length - 1u) / BLOCK == block;
  below += u32(has_newest && newest_bin < threshold);
  tied += u32(has_newest && newest_bin == threshold);
  let first = block * BLOCK;
  let after = min(first + BLOCK, length);
  below += window_tokens(first, after, sink_end, recent_start);
  return vec2<u32>(below, tied);
}

/// Notes the block if the share, places [begin, end) of the list, begins or ends in it.
/// count_ranked_block() gives `counts`; `before` is their sum over all earlier blocks.
fn place_ranked_share(
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
    share_range[0] = block;
    share_range[2] = before.x;
    share_range[3] = before.y;
  }
  if (begin < end && place < end && end <= next) {
    share_range[1] = block + 1u;
  }
}

/// Loads the distances of 32 tokens and gives two masks, bit i for token first + i: the tokens
/// below the threshold or in a window (x), and the ties (y).
fn match_loaded(
  list: u32,
  first: u32,
  threshold: u32,
  newest_bin: u32,
  length: u32,
  sink_end: u32,
  recent_start: u32,
) -> vec2<u32> {
  var below_mask = 0u;
  var tie_mask = 0u;
  for (var load = 0u; load < 32u / PER_LOAD; load++) { // @unroll
    let token = min(first + load * PER_LOAD, CAPACITY - PER_LOAD);
    let packed = distances[(list * CAPACITY + token) / PER_LOAD];
    for (var i = 0u; i < PER_LOAD; i++) { // @unroll
      let shift = i % PER_WORD * DISTANCE_BITS;
      let distance = extractBits(packed[i / PER_WORD], shift, DISTANCE_BITS);
      below_mask |= u32(distance < threshold) << (load * PER_LOAD + i);
      tie_mask |= u32(distance == threshold) << (load * PER_LOAD + i);
    }
  }
  // The newest token has no distance in memory.
  let to_newest = length - 1u - first;
  let newest = select(0u, 1u << (to_newest % 32u), to_newest < 32u);
  below_mask = (below_mask & ~newest) | (newest * u32(newest_bin < threshold));
  tie_mask = (tie_mask & ~newest) | (newest * u32(newest_bin == threshold));
  let windows = window_mask(first, sink_end, recent_start);
  let inside = ~bits_from(max(first, length) - first);
  return vec2<u32>(below_mask | windows, tie_mask & ~windows) & vec2<u32>(inside);
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

// @shared atomic_stats
/// Loads m and l of a partial that was handed over by atomics.
fn atomic_stats(at: u32) -> vec2f {
  let m = atomicLoad(&hand_over.words[at * 4u]);
  let l = atomicLoad(&hand_over.words[at * 4u + 1u]);
  return bitcast<vec2f>(vec2<u32>(m, l));
}
// @end

// @shared join_partials
/// Joins the partials of a query head's splits, the first of which begins at quad `first`. Gives a
/// quad of the output, zero for a list of no tokens. `sink` is a logit in log2 units.
fn join_plain(first: u32, column: u32, sink: f32) -> vec4f {
  var m = max(sink, NEG_LARGE);
  for (var s = 0u; s < SPLITS; s++) { // @unroll
    m = max(m, hand_over.partials[first + s * PARTIAL_QUADS + HEAD_QUADS].x);
  }
  var l = 0.0;
  var acc = vec4f(0.0);
  for (var s = 0u; s < SPLITS; s++) { // @unroll
    let split_stats = hand_over.partials[first + s * PARTIAL_QUADS + HEAD_QUADS];
    let alpha = exp2(split_stats.x - m);
    l += split_stats.y * alpha;
    acc += hand_over.partials[first + s * PARTIAL_QUADS + column] * alpha;
  }
  let attends = !(l <= 0.0); // a NaN goes on
  l += select(exp2(sink - m), 0.0, sink <= NEG_LARGE);
  return select(vec4f(0.0), acc / l, attends);
}

/// The same for partials that were handed over by atomics.
fn join_atomic(first: u32, column: u32, sink: f32) -> vec4f {
  var m = max(sink, NEG_LARGE);
  for (var s = 0u; s < SPLITS; s++) { // @unroll
    m = max(m, atomic_stats(first + s * PARTIAL_QUADS + HEAD_QUADS).x);
  }
  var l = 0.0;
  var acc = vec4f(0.0);
  for (var s = 0u; s < SPLITS; s++) { // @unroll
    let split_stats = atomic_stats(first + s * PARTIAL_QUADS + HEAD_QUADS);
    let alpha = exp2(split_stats.x - m);
    l += split_stats.y * alpha;
    acc += atomic_partial(first + s * PARTIAL_QUADS + column) * alpha;
  }
  let attends = !(l <= 0.0); // a NaN goes on
  l += select(exp2(sink - m), 0.0, sink <= NEG_LARGE);
  return select(vec4f(0.0), acc / l, attends);
}
// @end

// @shared arrives_last
/// Counts this workgroup's arrival. True if it is the last one of its list to arrive.
fn arrives_last(list: u32, thread: u32) -> bool {
  storageBarrier();
  if (thread == 0u) {
    is_last = u32(atomicAdd(&hand_over.arrivals[list], 1u) == SPLITS - 1u);
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
  let list = wid.z * SEQUENCE_LISTS + wid.y;
  let first_head = list * QUERIES_PER_LIST;
  let lane = thread % LANES;
  let row = thread / LANES;

  // 1. Load all that has a known place, so that these loads are in flight together.
  var totals: array<vec2<u32>, BIN_TURNS>; // up to the bin before, up to the bin
  for (var i = 0u; i < BIN_TURNS; i++) { // @unroll
    let bin = min(i * WORKGROUP + thread, LAST);
    totals[i].y = atomicLoad(&list_state.rank_totals[list * BINS + bin]);
    totals[i].x = atomicLoad(&list_state.rank_totals[list * BINS + max(bin, 1u) - 1u]);
  }
  if (thread < QUERY_WORDS) {
    let query_code = list_state.query_codes[list * QUERY_WORDS + thread];
    let newest_code = list_state.newest_codes[list * CODE_WORDS + thread % CODE_WORDS];
    atomicAdd(&newest_distance, countOneBits(query_code ^ newest_code));
  }
  let length = lengths[wid.z];
  var query: array<vec4f, QUERIES_PER_LIST * PARTS>;
  var m: array<f32, QUERIES_PER_LIST>;
  for (var h = 0u; h < QUERIES_PER_LIST; h++) { // @unroll
    m[h] = NEG_LARGE;
    for (var part = 0u; part < PARTS; part++) { // @unroll
      let quad = query_quad((first_head + h) * HEAD_QUADS + row_quad(part, lane));
      query[h * PARTS + part] = quad * query_scale(part, lane);
    }
  }

  // 2. Find the threshold.
  // @shared windows
  let sink_end = min(SINK, length);
  let recent_start = max(sink_end, length - min(RECENT, length));
  let wanted = select(length / max(SPARSITY, 1u), K_COUNT, SPARSITY == 0u);
  let picks_wanted = min(wanted, recent_start - sink_end);
  // @end
  let in_windows = sink_end + length - recent_start;
  let share = (in_windows + picks_wanted + SPLITS - 1u) / SPLITS;
  // The share is places [begin, end) of the list.
  let begin = min(wid.x * share, in_windows + picks_wanted);
  let end = min(begin + share, in_windows + picks_wanted);
  for (var i = 0u; i < BIN_TURNS; i++) { // @unroll
    if (is_threshold(i * WORKGROUP + thread, totals[i], picks_wanted)) {
      threshold_bin = i * WORKGROUP + thread;
    }
  }
  workgroupBarrier();
  let threshold = threshold_bin;
  // In a window the newest token needs no distance, and no bin may count it.
  let newest_is_middle = recent_start == length && sink_end < length;
  let newest_bin = select(BINS, atomicLoad(&newest_distance), newest_is_middle);

  // 3. Place the share. Thread i counts block i.
  var block_counts = vec2<u32>(0u);
  if (thread < BLOCKS && thread * BLOCK < length) {
    block_counts = count_ranked_block(
      list,
      thread,
      threshold,
      newest_bin,
      length,
      sink_end,
      recent_start,
    );
  }
  let block_sums = scan_pair(block_counts, thread, subgroup_lane, lanes);
  let nearer = block_sums.z - in_windows; // middle tokens below the threshold
  let ties = picks_wanted - min(nearer, picks_wanted); // ties that are picks
  let tie_bound = select(ties, block_sums.w - ties, TIES == 1u);
  place_ranked_share(thread, block_counts, block_sums.xy, tie_bound, begin, end);
  let range = workgroupUniformLoad(&share_range);

  // 4. Compact.
  var before_span = vec2<u32>(range[2], range[3]); // below the threshold or in a window, ties
  for (var span = range[0] * BLOCK; span < range[1] * BLOCK; span += SPAN) {
    let first = span + thread * 32u;
    let masks = match_loaded(
      list,
      first,
      threshold,
      newest_bin,
      length,
      sink_end,
      recent_start,
    );
    let sums = scan_pair(countOneBits(masks), thread, subgroup_lane, lanes);
    let before = before_span + sums.xy;
    before_span += sums.zw;
    // Slots before the share wrap around below zero, so one comparison finds them too.
    var slot = before.x + picks_of_ties(before.y, tie_bound) - begin;
    var picks = masks.x | mask_tie_picks(masks.y, before.y, tie_bound);
    for (; picks != 0u; picks &= picks - 1u) {
      if (slot < end - begin) {
        tokens[slot] = first + firstTrailingBit(picks);
      }
      slot += 1u;
    }
  }
  workgroupBarrier();

  // 5. Attend. Past the end of the share the last row repeats; its logit is masked.
  var l = array<f32, QUERIES_PER_LIST>();
  var acc = array<vec4f, QUERIES_PER_LIST * PARTS>();
  let kv_head = first_head / GROUP;
  let lane_base = head_start(kv_head) + lane;
  for (var tile = begin; tile < end; tile += ROWS * TOKENS) {
    var loaded_k: array<vec4<u32>, LOADS>;
    var loaded_v: array<vec4<u32>, LOADS>;
    for (var load = 0u; load < LOADS; load++) { // @unroll
      let token = tokens[min(tile + (load / CHUNKS) * ROWS + row, end - 1u) - begin];
      let at = lane_base + row_offset(kv_head, token) + chunk_offset(load % CHUNKS, lane);
      loaded_k[load] = keys[at];
      loaded_v[load] = values[at];
    }
    var logits = array<f32, TOKENS * QUERIES_PER_LIST>();
    for (var i = 0u; i < TOKENS * PARTS; i++) { // @unroll
      let k = widen(loaded_k[i / QUADS], i % QUADS);
      for (var h = 0u; h < QUERIES_PER_LIST; h++) { // @unroll
        logits[i / PARTS * QUERIES_PER_LIST + h] += dot(k, query[h * PARTS + i % PARTS]);
      }
    }
    var p: array<f32, TOKENS * QUERIES_PER_LIST>;
    for (var h = 0u; h < QUERIES_PER_LIST; h++) { // @unroll
      var m_new = m[h];
      for (var t = 0u; t < TOKENS; t++) { // @unroll
        let i = t * QUERIES_PER_LIST + h;
        for (var step = 0u; step < firstTrailingBit(LANES); step++) { // @unroll
          logits[i] += subgroupShuffleXor(logits[i], 1u << step);
        }
        logits[i] = select(2.0 * NEG_LARGE, capped(logits[i]), tile + t * ROWS + row < end);
        m_new = max(m_new, logits[i]);
      }
      let alpha = exp2(m[h] - m_new);
      m[h] = m_new;
      l[h] *= alpha;
      for (var part = 0u; part < PARTS; part++) { // @unroll
        acc[h * PARTS + part] *= alpha;
      }
      for (var t = 0u; t < TOKENS; t++) { // @unroll
        let i = t * QUERIES_PER_LIST + h;
        p[i] = exp2(logits[i] - m_new);
        l[h] += p[i];
      }
    }
    for (var i = 0u; i < TOKENS * PARTS; i++) { // @unroll
      let v = widen(loaded_v[i / QUADS], i % QUADS);
      for (var h = 0u; h < QUERIES_PER_LIST; h++) { // @unroll
        acc[h * PARTS + i % PARTS] += p[i / PARTS * QUERIES_PER_LIST + h] * v;
      }
    }
  }

  // 6. Join the row groups.
  for (var turn = 0u; turn < JOIN_TURNS; turn++) { // @unroll
    for (var i = 0u; i < TOGETHER; i++) { // @unroll
      let h = min(turn * TOGETHER + i, QUERIES_PER_LIST - 1u);
      for (var part = 0u; part < PARTS; part++) { // @unroll
        row_acc[(i * ROWS + row) * HEAD_QUADS + row_quad(part, lane)] = acc[h * PARTS + part];
      }
      row_stats[i * ROWS + row] = vec2f(m[h], l[h]);
    }
    workgroupBarrier();
    let columns = min(TOGETHER, QUERIES_PER_LIST - turn * TOGETHER) * HEAD_QUADS;
    for (var column = thread; column < columns; column += WORKGROUP) {
      let first_row = column / HEAD_QUADS * ROWS;
      var m_all = NEG_LARGE;
      for (var r = 0u; r < ROWS; r++) { // @unroll
        m_all = max(m_all, row_stats[first_row + r].x);
      }
      var l_all = 0.0;
      var acc_all = vec4f(0.0);
      for (var r = 0u; r < ROWS; r++) { // @unroll
        let alpha = exp2(row_stats[first_row + r].x - m_all);
        l_all += row_stats[first_row + r].y * alpha;
        acc_all += row_acc[(first_row + r) * HEAD_QUADS + column % HEAD_QUADS] * alpha;
      }
      let h = turn * TOGETHER + column / HEAD_QUADS;
      let at = list * LIST_QUADS + (h * SPLITS + wid.x) * PARTIAL_QUADS;
      store_partial(at + column % HEAD_QUADS, acc_all);
      if (column % HEAD_QUADS == 0u) {
        store_partial(at + HEAD_QUADS, vec4f(m_all, l_all, 0.0, 0.0));
      }
    }
    workgroupBarrier();
  }
  if (HAND_OVER == 0u) {
    return;
  }

  // 7. Join the splits in the last workgroup to arrive, which leaves totals and counter at zero.
  if (!arrives_last(list, thread)) {
    return;
  }
  storageBarrier();
  if (thread == 0u) {
    atomicStore(&hand_over.arrivals[list], 0u);
  }
  for (var bin = thread; bin < BINS; bin += WORKGROUP) {
    atomicStore(&list_state.rank_totals[list * BINS + bin], 0u);
  }
  // @shared join_columns
  for (var column = thread; column < LIST_HEADS * HEAD_QUADS; column += WORKGROUP) {
    let h = column / HEAD_QUADS;
    let first = list * LIST_QUADS + h * SPLITS * PARTIAL_QUADS;
    let own_head = wid.y * LIST_HEADS + h; // of the sequence
    let sink = sink_logits[own_head / 4u][own_head % 4u] * LOG2_E;
    if (HAND_OVER == 2u) {
      store_out(first_head * HEAD_QUADS + column, join_atomic(first, column % HEAD_QUADS, sink));
    } else {
      store_out(first_head * HEAD_QUADS + column, join_plain(first, column % HEAD_QUADS, sink));
    }
  }
  // @end
}
