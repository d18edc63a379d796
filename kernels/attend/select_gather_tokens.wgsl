// select_gather_tokens.wgsl: select_gather.wgsl for short lists over long caches.
//
// select_gather.wgsl shares a list out by places, and a workgroup scans the blocks in which its
// places lie. Of a short list the scan takes longer than the rows, so here workgroups share out the
// tokens: each selects among blocks of its own, whose distances it loads before the threshold is
// known.
//
// Dispatch (SPLITS, query heads, batch). Workgroup s takes blocks s, s + SPLITS, and so on: picks
// cluster, and so every workgroup gets some of them.
//
// With SHARES > 0 sequences may be of unequal lengths, which the host need not know. A sequence has
// as many workgroups as its length asks for. The dispatch is (query heads, portions), with as many
// portions as full caches need. Those that the lengths do not need come last and end at once.
// SCORE_SHARES is the SHARES of the score.
//
// A list holds the sink, the recent window, and the picks between them: all middle tokens whose
// distance is below the threshold, and some of those at the threshold (the ties): those of the
// lowest or the highest index.
// Logits are in log2 units. Subgroups are consecutive threads, of at least SUBGROUP_MIN and LANES.
//
// 1. Load the distances of the blocks, the counts of the list's bins, the query, and the codes of
//    the query and of the newest token.
// 2. Find the threshold from the counts: the first distance up to which there are enough tokens.
// 3. Count the ties of each block, to know which of them are picks. Meanwhile compare the distances
//    with the threshold.
// 4. Give each pick a slot. The tokens of the windows are dealt to the workgroups in turn; their
//    slots come after.
// 5. Attend: write CHUNK tokens to workgroup memory at a time. Each group of LANES threads loads
//    rows of its own and keeps a running softmax.
// 6. Join the row groups into the partial of this split; of a single split into the output.
// 7. Join the splits in the last workgroup of the list.
//
// Distances and counts lack the newest token, because the score encodes it while it scores the
// others. Step 1 computes its distance from its code. list_state holds the codes of the queries and
// of the newest tokens (with FACTORS = 1 also their factors), then the histograms of the blocks,
// then the sums of these over the blocks of each of the score's splits.
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
const SCORE_SPLITS: u32 = 16u; // @param workgroups of the score that a list has, or may have
const SCORE_SHARES: u32 = 0u; // @param SHARES of the score
const SUBGROUP_MIN: u32 = 4u; // @param smallest subgroup of the device
const WORKGROUP: u32 = 128u; // @param
const CHUNK: u32 = 512u; // @param tokens that are attended at a time
const LANES: u32 = 4u; // @param threads per row
const TOKENS: u32 = 2u; // @param rows in flight per thread
const SPLITS: u32 = 16u; // @param workgroups of a list, with SHARES > 0 at most
const SHARES: u32 = 0u; // @param workgroups for the blocks of all sequences; 0 to have SPLITS each
const HELD_LOADS: u32 = 4u; // @param loads of distances that a thread may hold, with SHARES > 0
const TOUCH: u32 = 0u; // @param bytes of K from a touch to the next; 0 for none
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
const BIN_TURNS = (BINS + WORKGROUP - 1u) / WORKGROUP; // bins that a thread adds up
const BIN_THREADS = max(1u, min(WORKGROUP / BINS, SCORE_SPLITS)); // threads that add up a bin
const BIN_LOADS = (SCORE_SPLITS + BIN_THREADS - 1u) / BIN_THREADS; // sums that each of them loads
const LANE_BINS = (LAST + SUBGROUP_MIN - 1u) / SUBGROUP_MIN; // bins that a lane adds up
const CODE_WORDS = BITS / 32u;
const QUERY_WORDS = (1u + PLANES) * CODE_WORDS + FACTORS; // signs, planes, the scale of bins
const NEWEST_WORDS = CODE_WORDS + FACTORS; // the newest key's code, and its factor
const LEAST_UNITS = (BLOCKS + SPLITS - 1u) / SPLITS; // blocks of a workgroup of a full cache
const MOST_UNITS = max(LEAST_UNITS, HELD_LOADS * 16u * WORKGROUP / BLOCK);
// Blocks of a workgroup.
const SHARE_BLOCKS = LEAST_UNITS * u32(SHARES == 0u) + MOST_UNITS * u32(SHARES > 0u);
const PORTION_BOUNDS = vec3<u32>(SHARES, SPLITS, MOST_UNITS);
const BLOCK_LOADS = BLOCK / 16u; // 16-byte loads of a block's distances
const SHARE_LOADS = SHARE_BLOCKS * BLOCK_LOADS;
const THREAD_LOADS = (SHARE_LOADS + WORKGROUP - 1u) / WORKGROUP;
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
// A workgroup touches a row of K and of V in every TOUCH bytes of its KV head, while it makes its
// list. That brings near the translations of the addresses of rows that it gathers later.
const TOUCH_TOKENS = max(1u, TOUCH / (16u * KV_LOADS));
const TOUCHES = 2u * u32(TOUCH > 0u) * ((CAPACITY + TOUCH_TOKENS - 1u) / TOUCH_TOKENS);
const TOUCH_TURNS = (TOUCHES + WORKGROUP - 1u) / WORKGROUP; // touches of a thread
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
const MOST_JOINED = max(ROWS, SPLITS) + 1u; // row groups or splits, and the sink logit
// Places in list_state at which its parts begin.
const NEWEST_CODES = LISTS * QUERY_WORDS;
const HISTOGRAMS = NEWEST_CODES + LISTS / QUERIES_PER_CODE * NEWEST_WORDS;
const SPLIT_SUMS = HISTOGRAMS + LISTS * BLOCKS * BINS;
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

var<workgroup> bin_counts: array<atomic<u32>, BINS>; // zero at first
// Ties of the share whose places among all ties of the list are before the bound; zero at first.
var<workgroup> share_bound: atomic<u32>;
var<workgroup> share_count: u32; // tokens that the workgroup attends
var<workgroup> block_subtotals: array<u32, MOST_SUBGROUPS>;
var<workgroup> share_subtotals: array<vec2<u32>, THREAD_LOADS * MOST_SUBGROUPS>;
var<workgroup> tokens: array<u32, CHUNK>;
// Steps 6 and 7 keep the partials here that they join.
var<workgroup> pool: array<vec4<u32>, MOST_JOINED * PARTIAL_QUADS>;
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

// @shared block_units
/// Blocks of a sequence, of which even an empty one has one.
fn units_of(sequence: u32) -> u32 {
  return max((lengths[sequence] + BLOCK - 1u) / BLOCK, 1u);
}
// @end

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

/// The token at which load i of a thread begins; past the share a token past the capacity.
fn load_token(i: u32, split: u32, splits: u32, thread: u32) -> u32 {
  let at = i * WORKGROUP + thread; // among the loads of the share
  let block = at / BLOCK_LOADS * splits + split;
  return select(CAPACITY, block * BLOCK + at % BLOCK_LOADS * 16u, at < SHARE_LOADS);
}

/// The threshold (x) and the number of middle tokens below it (y). The threshold is the first bin
/// up to which there are `picks_wanted` tokens, or the last bin if there are fewer.
///
/// Every subgroup finds the threshold for itself, which saves a barrier.
fn find_counted_threshold(lane: u32, picks_wanted: u32) -> vec2<u32> {
  var counts = array<u32, LANE_BINS>();
  var below = 0u;
  for (var b = 0u; b < LANE_BINS; b++) { // @unroll
    counts[b] = atomicLoad(&bin_counts[min(lane * LANE_BINS + b, LAST)]);
    below += counts[b];
  }
  below = subgroupExclusiveAdd(below);
  var bins_passed = 0u;
  var nearer = 0u;
  for (var b = 0u; b < LANE_BINS; b++) { // @unroll
    below += counts[b];
    if (lane * LANE_BINS + b < LAST && below < picks_wanted) {
      bins_passed += 1u;
      nearer = below;
    }
  }
  return vec2<u32>(subgroupAdd(bins_passed), subgroupMax(nearer));
}

/// Masks of the 16 tokens of a load, bit i for token first + i: the middle tokens below the
/// threshold, and from bit 16 on the ties.
fn match_load(
  load: vec4<u32>,
  first: u32,
  threshold: u32,
  newest_bin: u32,
  length: u32,
  sink_end: u32,
  recent_start: u32,
) -> u32 {
  var below_mask = 0u;
  var upto_mask = 0u;
  for (var word = 0u; word < 4u; word++) { // @unroll
    below_mask |= bytes_below(load[word], threshold) << (4u * word);
    upto_mask |= bytes_below(load[word], threshold + 1u) << (4u * word);
  }
  let to_newest = length - 1u - first;
  let newest = select(0u, 1u << (to_newest % 32u), to_newest < 16u);
  below_mask = select(below_mask & ~newest, below_mask | newest, newest_bin < threshold);
  upto_mask = select(upto_mask & ~newest, upto_mask | newest, newest_bin <= threshold);
  let middle = ~window_mask(first, sink_end, recent_start) & 0xffffu;
  let is_inside = first < length;
  return select(0u, (below_mask & middle) | ((upto_mask & ~below_mask & middle) << 16u), is_inside);
}

/// Writes the tokens of the mask `picks` to consecutive slots of the chunk, and skips slots outside
/// of it. Slots before the chunk wrap around below zero, so one comparison finds them too.
fn store_chunk_picks(first: u32, picks: u32, first_slot: u32) {
  var slot = first_slot;
  for (var left = picks; left != 0u; left &= left - 1u) {
    if (slot < CHUNK) {
      tokens[slot] = first + firstTrailingBit(left);
    }
    slot += 1u;
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

/// Joins the first `count` partials in `pool`, and stores the output of the list.
fn store_output(list: u32, thread: u32, count: u32) {
  if (thread < HEAD_QUADS) {
    let l_all = join_pool(HEAD_QUADS, count).y;
    let normalized = join_pool(thread, count) / l_all;
    store_out(list * HEAD_QUADS + thread, select(normalized, vec4f(0.0), l_all == 0.0));
  }
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
  var score_splits = SCORE_SPLITS;
  if (SCORE_SHARES > 0u) {
    const BOUNDS = vec3<u32>(SCORE_SHARES, SCORE_SPLITS, BLOCKS);
    score_splits = splits_of(units_of(portion.sequence), portion.all, BOUNDS);
  }
  var counts = array<u32, BIN_TURNS>();
  for (var turn = 0u; turn < BIN_TURNS; turn++) { // @unroll
    let at = turn * WORKGROUP + thread;
    for (var load = 0u; load < BIN_LOADS; load++) { // @unroll
      let s = at / BINS * BIN_LOADS + load;
      let place = (list * SCORE_SPLITS + min(s, score_splits - 1u)) * BINS + at % BINS;
      counts[turn] += select(0u, list_state[SPLIT_SUMS + place], s < score_splits);
    }
  }
  var loads: array<vec4<u32>, THREAD_LOADS>;
  for (var i = 0u; i < THREAD_LOADS; i++) { // @unroll
    let at = min(load_token(i, split, splits, thread) / 16u, LIST_LOADS - 1u);
    loads[i] = distances[list * LIST_LOADS + at];
  }
  var touched = array<u32, max(1u, TOUCH_TURNS)>();
  for (var turn = 0u; turn < TOUCH_TURNS; turn++) { // @unroll
    let touch = turn * WORKGROUP + thread;
    let token = touch / 2u * TOUCH_TOKENS;
    if (touch < TOUCHES && token < length) {
      let at = head_start(list / GROUP) + row_offset(list / GROUP, token);
      if (touch % 2u == 0u) {
        touched[turn] = keys[at].x;
      } else {
        touched[turn] = values[at].x;
      }
    }
  }
  var newest_distance = 0u;
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
  var query: array<vec4f, PARTS>;
  for (var part = 0u; part < PARTS; part++) { // @unroll
    let quad = query_quad(list * HEAD_QUADS + row_quad(part, lane));
    query[part] = quad * query_scale(part, lane);
  }

  // 2. Find the threshold.
  // @shared windows
  let sink_end = min(SINK, length);
  let recent_start = max(sink_end, length - min(RECENT, length));
  let wanted = select(length / max(SPARSITY, 1u), K_COUNT, SPARSITY == 0u);
  let picks_wanted = min(wanted, recent_start - sink_end);
  // @end
  // In a window the newest token needs no distance, and no bin may count it.
  let newest_is_middle = recent_start == length && sink_end < length;
  let newest_bin = select(BINS, newest_distance, newest_is_middle);
  for (var turn = 0u; turn < BIN_TURNS; turn++) { // @unroll
    let at = turn * WORKGROUP + thread;
    if (at < BIN_THREADS * BINS) {
      atomicAdd(&bin_counts[at % BINS], counts[turn] + u32(at < BINS && at == newest_bin));
    }
  }
  workgroupBarrier();
  let found = find_counted_threshold(subgroup_lane, picks_wanted);
  let threshold = found.x;
  let ties = picks_wanted - found.y; // ties that are picks

  // 3. Count ties: thread i those of block i. The load is in flight while masks are made.
  let block_start = min(thread, BLOCKS - 1u) * BLOCK;
  let column = HISTOGRAMS + list * BLOCKS * BINS + min(thread, BLOCKS - 1u) * BINS + threshold;
  let counted_ties = list_state[column];
  var masks: array<u32, THREAD_LOADS>;
  for (var i = 0u; i < THREAD_LOADS; i++) { // @unroll
    let first = load_token(i, split, splits, thread);
    masks[i] = match_load(
      loads[i],
      first,
      threshold,
      newest_bin,
      length,
      sink_end,
      recent_start,
    );
  }
  var block_ties = select(0u, counted_ties, thread < BLOCKS && block_start < length);
  let has_newest = thread == (length - 1u) / BLOCK && newest_bin == threshold;
  block_ties += u32(has_newest);
  let ties_before = subgroupExclusiveAdd(block_ties);

  // 4. Give slots. Loads are in the order of tokens, and so are ties.
  var before: array<vec2<u32>, THREAD_LOADS>; // picks below the threshold, and ties
  for (var i = 0u; i < THREAD_LOADS; i++) { // @unroll
    let own = vec2<u32>(countOneBits(masks[i] & 0xffffu), countOneBits(masks[i] >> 16u));
    before[i] = subgroupExclusiveAdd(own);
    if (subgroup_lane == lanes - 1u) {
      share_subtotals[i * MOST_SUBGROUPS + thread / lanes] = before[i] + own;
    }
  }
  if (subgroup_lane == lanes - 1u) {
    block_subtotals[thread / lanes] = ties_before + block_ties;
  }
  workgroupBarrier();
  let subgroup = thread / lanes;
  let subgroups = WORKGROUP / lanes;
  var block_before = ties_before; // ties in the blocks before block `thread`
  var all_ties = 0u;
  for (var s = 0u; s < MOST_SUBGROUPS; s++) { // @unroll
    if (s < subgroups) {
      block_before += select(0u, block_subtotals[s], s < subgroup);
      all_ties += block_subtotals[s];
    }
  }
  var running = vec2<u32>(0u);
  for (var i = 0u; i < THREAD_LOADS; i++) { // @unroll
    before[i] += running;
    for (var s = 0u; s < MOST_SUBGROUPS; s++) { // @unroll
      if (s < subgroups) {
        let subtotal = share_subtotals[i * MOST_SUBGROUPS + s];
        before[i] += select(vec2<u32>(0u), subtotal, s < subgroup);
        running += subtotal;
      }
    }
  }
  // Picks are the ties before the bound, or with TIES = 1 those from it on. In a share, too.
  let tie_bound = select(ties, all_ties - min(all_ties, ties), TIES == 1u);
  if (thread < BLOCKS && thread % splits == split) {
    let before_bound = max(tie_bound, block_before) - block_before;
    atomicAdd(&share_bound, min(before_bound, block_ties));
  }
  workgroupBarrier();
  let own_bound = atomicLoad(&share_bound);
  let own_picks = running.x + picks_of_ties(running.y, own_bound);
  let windows = sink_end + length - recent_start;
  if (thread == 0u) {
    share_count = own_picks + (max(windows, split) - split + splits - 1u) / splits;
  }
  let count = workgroupUniformLoad(&share_count);

  // 5. Attend. Past the end of a chunk the last row repeats; its logit is masked.
  var m = NEG_LARGE;
  var l = 0.0;
  var acc = array<vec4f, PARTS>();
  let kv_head = list / GROUP;
  let lane_base = head_start(kv_head) + lane;
  for (var chunk = 0u; chunk < count; chunk += CHUNK) {
    if (chunk > 0u) {
      workgroupBarrier(); // all have read the tokens of the last chunk
    }
    for (var i = 0u; i < THREAD_LOADS; i++) { // @unroll
      let first = load_token(i, split, splits, thread);
      store_chunk_picks(first, masks[i] & 0xffffu, before[i].x - chunk);
      let tie_picks = mask_tie_picks(masks[i] >> 16u, before[i].y, own_bound);
      let tie_slot = running.x + picks_of_ties(before[i].y, own_bound);
      store_chunk_picks(first, tie_picks, tie_slot - chunk);
    }
    for (var i = thread; i * splits + split < windows; i += WORKGROUP) {
      let place = i * splits + split; // among the tokens of the windows
      let token = select(recent_start + place - sink_end, place, place < sink_end);
      if (own_picks + i - chunk < CHUNK) {
        tokens[own_picks + i - chunk] = token;
      }
    }
    workgroupBarrier();
    let end = min(count - chunk, CHUNK);
    for (var tile = 0u; tile < end; tile += ROWS * TOKENS) {
      var loaded_k: array<vec4<u32>, LOADS>;
      var loaded_v: array<vec4<u32>, LOADS>;
      for (var load = 0u; load < LOADS; load++) { // @unroll
        let token = tokens[min(tile + (load / CHUNKS) * ROWS + row, end - 1u)];
        let at = lane_base + row_offset(kv_head, token) + chunk_offset(load % CHUNKS, lane);
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
  }

  // Zero, since no length is so large. The compiler does not know that, and keeps the touches.
  for (var turn = 0u; turn < TOUCH_TURNS; turn++) { // @unroll
    l += f32(touched[turn] & (length & 0x80000000u));
  }

  // 6. Join the row groups.
  for (var part = 0u; part < PARTS; part++) { // @unroll
    pool[row * PARTIAL_QUADS + row_quad(part, lane)] = bitcast<vec4<u32>>(acc[part]);
  }
  // All lanes of a row hold the same m and l, and write the same.
  pool[row * PARTIAL_QUADS + HEAD_QUADS] = bitcast<vec4<u32>>(vec4f(m, l, 0.0, 0.0));
  // The sink logit joins like one more split, which attended a row of zeros.
  let sink = sink_logits[own_head / 4u][own_head % 4u] * LOG2_E;
  let sink_stats = vec4f(sink, f32(sink > NEG_LARGE), 0.0, 0.0);
  let sink_quad = select(vec4f(0.0), sink_stats, thread == HEAD_QUADS);
  if (splits == 1u && thread < PARTIAL_QUADS) {
    pool[ROWS * PARTIAL_QUADS + thread] = bitcast<vec4<u32>>(sink_quad);
  }
  workgroupBarrier();
  if (SHARES > 0u && HAND_OVER == 0u && split == 0u && thread == 0u) {
    // For merge/join_splits.wgsl, which has nothing to do for a single split.
    atomicStore(&hand_over.arrivals[list], select(splits, 0u, splits == 1u));
  }
  if (splits == 1u) {
    store_output(list, thread, ROWS + 1u);
    return;
  }
  if (thread < PARTIAL_QUADS) {
    let at = list * LIST_QUADS + split * PARTIAL_QUADS + thread;
    store_partial(at, join_pool(thread, ROWS));
  }
  if (HAND_OVER == 0u) {
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
  if (thread < PARTIAL_QUADS) {
    pool[split_quads + thread] = bitcast<vec4<u32>>(sink_quad);
  }
  workgroupBarrier();
  store_output(list, thread, splits + 1u);
}
