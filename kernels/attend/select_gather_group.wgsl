// Select, gathered attention and merge in one dispatch, for lists that query heads share.
//
// Dispatch (SPLITS, code heads, batch): every workgroup finds the cut of its list from the totals
// that the score left (see encode_score_group.wgsl), then, from two ranks of every block, the blocks
// with its equal share of the list; it compacts its tokens into workgroup memory and attends them for
// all heads. Whoever joins the partials of a list zeroes its totals; HAND_OVER says who that is:
//   0  a dispatch of its own (merge/join_splits.wgsl): all that WGSL guarantees;
//   1  the last workgroup to arrive, over plain memory: nobody waits and no dispatch is paid, but
//      storageBarrier() has to order memory for the whole device, as naga's SPIR-V makes it;
//   2  the same over atomics, which devices keep coherent though WGSL does not order them.
// The list: windows, tokens nearer than the cut and the first at it (ties: lower index). The newest
// token is in neither ranks nor distances.
// Subgroups are consecutive threads, of at least SUBGROUP_MIN and LANES. Logits are in log2 units.
const HEAD_DIM: u32 = 128u; // @param
const BATCH: u32 = 1u; // @param sequences
const GROUP: u32 = 4u; // @param query heads per KV head
const QUERIES_PER_LIST: u32 = 4u; // @param query heads that share a list
const CODE_HEADS: u32 = 8u; // @param lists per sequence
const CAPACITY: u32 = 4096u; // @param
const LIST_CAPACITY: u32 = 256u; // @param
const KV_DTYPE: u32 = 1u; // @param 0 f32, 1 f16, 2 bf16
const BITS: u32 = 128u; // @param
const DISTANCE_BYTES: u32 = 2u; // @param 1 or 2
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

const LAST = BITS * QUERIES_PER_LIST; // the largest distance
const BINS = LAST + 1u;
const BIN_TURNS = (BINS + WORKGROUP - 1u) / WORKGROUP;
const BLOCKS = (CAPACITY + BLOCK - 1u) / BLOCK;
const PER_WORD = 4u / DISTANCE_BYTES; // distances in a word
const PER_LOAD = 4u * PER_WORD;
const DISTANCE_LOADS = 32u / PER_LOAD; // of the 32 distances that a thread looks at
const MOST_SUBGROUPS = WORKGROUP / SUBGROUP_MIN;
// @shared row_layout
const WIDTH = 4u + 4u * u32(KV_DTYPE != 0u); // values of a 16-byte load
const QUADS = WIDTH / 4u; // vec4f of a load
const ROW_LOADS = HEAD_DIM / WIDTH; // loads of a row
const CHUNKS = ROW_LOADS / LANES; // loads of a row per thread
const PARTS = CHUNKS * QUADS; // vec4f of a row per thread
const ROWS = WORKGROUP / LANES; // rows that the workgroup reads side by side
const LOADS = TOKENS * CHUNKS; // loads in flight per thread
const HEAD_QUADS = HEAD_DIM / 4u;
// @end
const LANE_STEPS = u32(LANES > 1u) + u32(LANES > 2u) + u32(LANES > 4u) + u32(LANES > 8u) + u32(LANES > 16u);
const PIECES = TOKENS * PARTS; // vec4f of a tile per thread
const JOIN_TURNS = (QUERIES_PER_LIST + TOGETHER - 1u) / TOGETHER;
const Q_HEADS = CODE_HEADS * QUERIES_PER_LIST;
const LISTS = BATCH * CODE_HEADS;
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
const QUERY_WORDS = LAST / 32u; // of the codes of a list's queries
const WORDS = BITS / 32u;
const RANK_WORDS = (BINS + 1u) / 2u; // of a row
// @shared softmax
const NEG_LARGE = -1e30; // in place of minus infinity, for which WGSL promises nothing
const LOG2_E = 1.4426950408889634; // logits are in log2 units
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

/// What the score leaves of each list, see layout.ts.
struct ListState {
  query_codes: array<u32, LISTS * QUERY_WORDS>,
  newest_codes: array<u32, LISTS * WORDS>,
  rank_totals: array<atomic<u32>, LISTS * BINS>, // zero again after the step
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
var<workgroup> cut: u32; // its bin
var<workgroup> range: array<u32, 4>; // first block of this share, end of its last; nearer tokens before, those at the cut
var<workgroup> subtotals: array<vec2<u32>, MOST_SUBGROUPS>;
var<workgroup> tokens: array<u32, (LIST_CAPACITY + SPLITS - 1u) / SPLITS>;
var<workgroup> scratch: array<vec4f, TOGETHER * ROWS * HEAD_QUADS>;
var<workgroup> stats: array<vec2f, TOGETHER * ROWS>;
var<workgroup> is_last: u32;

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

// @shared bits_from
/// A word whose bits `count` and up are set.
fn bits_from(count: u32) -> u32 {
  return select(0xffffffffu << min(count, 31u), 0u, count > 31u);
}
// @end

/// Sums of `value` over the threads before this one, and over all.
fn scan(value: vec2<u32>, thread: u32, lane: u32, lanes: u32) -> vec4<u32> {
  var sums = vec4<u32>(subgroupExclusiveAdd(value), vec2<u32>(0u));
  workgroupBarrier();
  if (lane == lanes - 1u) { subtotals[thread / lanes] = sums.xy + value; }
  workgroupBarrier();
  for (var s = 0u; s < MOST_SUBGROUPS; s++) { // @unroll
    sums += vec4<u32>(select(vec2<u32>(0u), subtotals[s], s < thread / lanes), subtotals[s]);
  }
  return sums;
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
  let attends = l > 0.0 || l != l; // a NaN goes on
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
  let attends = l > 0.0 || l != l; // a NaN goes on
  l += select(exp2(sink - m), 0.0, sink <= NEG_LARGE);
  return select(vec4f(0.0), acc / l, attends);
}
// @end

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) thread: u32,
  @builtin(subgroup_invocation_id) subgroup_lane: u32, @builtin(subgroup_size) subgroup_lanes: u32) {
  let list = wid.z * CODE_HEADS + wid.y;
  let first_head = list * QUERIES_PER_LIST;
  let lane = thread % LANES;
  let row = thread / LANES;
  // The totals up to a bin and up to the one before it, and all else that is known where it lies.
  var totals: array<vec2<u32>, BIN_TURNS>;
  for (var i = 0u; i < BIN_TURNS; i++) { // @unroll
    let bin = min(i * WORKGROUP + thread, LAST);
    totals[i].y = atomicLoad(&list_state.rank_totals[list * BINS + bin]);
    totals[i].x = atomicLoad(&list_state.rank_totals[list * BINS + max(bin, 1u) - 1u]);
  }
  if (thread < QUERY_WORDS) {
    let of_query = list_state.query_codes[list * QUERY_WORDS + thread];
    let of_newest = list_state.newest_codes[list * WORDS + thread % WORDS];
    atomicAdd(&newest_distance, countOneBits(of_query ^ of_newest));
  }
  let length = lengths[wid.z];
  var query: array<vec4f, QUERIES_PER_LIST * PARTS>;
  var highest: array<f32, QUERIES_PER_LIST>;
  for (var h = 0u; h < QUERIES_PER_LIST; h++) { // @unroll
    highest[h] = NEG_LARGE;
    for (var part = 0u; part < PARTS; part++) { // @unroll
      let at = ((part / QUADS) * LANES + lane) * QUADS + part % QUADS;
      query[h * PARTS + part] = q[(first_head + h) * HEAD_QUADS + at] * (LOG2_E / sqrt(f32(HEAD_DIM)));
    }
  }
  // This workgroup's share of the list: ranks [begin, end) in the order of tokens.
  // @shared windows
  let sink_end = min(SINK, length);
  let recent_start = max(sink_end, length - min(RECENT, length));
  let wanted = select(length / max(SPARSITY, 1u), K_COUNT, SPARSITY == 0u);
  let picks_wanted = min(wanted, recent_start - sink_end);
  // @end
  let in_windows = sink_end + length - recent_start;
  let share = (in_windows + picks_wanted + SPLITS - 1u) / SPLITS;
  let begin = min(wid.x * share, in_windows + picks_wanted);
  let end = min(begin + share, in_windows + picks_wanted);
  // The cut: the first bin up to which there are k tokens, or the last. The totals lack the newest
  // token: with it there may be k below the cut already, and then none at it is taken.
  for (var i = 0u; i < BIN_TURNS; i++) { // @unroll
    let bin = i * WORKGROUP + thread;
    if (bin < BINS && (totals[i].x < picks_wanted || bin == 0u) && (totals[i].y >= picks_wanted || bin == LAST)) { cut = bin; }
  }
  workgroupBarrier();
  let newest_bin = select(BINS, atomicLoad(&newest_distance), recent_start == length && sink_end < length);
  let cut_bin = cut;
  // The blocks that hold this share's picks.
  var here = vec2<u32>(0u); // nearer than the cut, or in a window; at the cut
  if (thread < BLOCKS && thread * BLOCK < length) {
    let ranks = (list * BLOCKS + thread) * RANK_WORDS; // two to a word
    let nearer_word = list_state.block_ranks[ranks + (max(cut_bin, 1u) - 1u) / 2u];
    let upto = (list_state.block_ranks[ranks + cut_bin / 2u] >> (16u * (cut_bin % 2u))) & 0xffffu;
    here.x = select(0u, (nearer_word >> (16u * ((cut_bin + 1u) % 2u))) & 0xffffu, cut_bin > 0u);
    here.y = upto - here.x;
    here += vec2<u32>(u32(newest_bin < cut_bin), u32(newest_bin == cut_bin)) * u32((length - 1u) / BLOCK == thread);
    let first = thread * BLOCK;
    let after = min(first + BLOCK, length);
    here.x += max(min(after, sink_end), first) - first + after - clamp(recent_start, first, after);
  }
  let placed = scan(here, thread, subgroup_lane, subgroup_lanes);
  let ties = picks_wanted - min(placed.z - in_windows, picks_wanted);
  let rank = placed.x + min(placed.y, ties);
  let next = placed.x + here.x + min(placed.y + here.y, ties);
  if (rank <= begin && begin < next) { range[0] = thread; range[2] = placed.x; range[3] = placed.y; }
  if (begin < end && rank < end && end <= next) { range[1] = thread + 1u; }
  let blocks = workgroupUniformLoad(&range);
  // Compact: bit i is token first + i.
  var before_window = vec2<u32>(blocks[2], blocks[3]);
  for (var window = blocks[0] * BLOCK; window < blocks[1] * BLOCK; window += WORKGROUP * 32u) {
    let first = window + thread * 32u;
    var marked = vec2<u32>(0u); // nearer than the cut, at it
    for (var load = 0u; load < DISTANCE_LOADS; load++) { // @unroll
      let packed = distances[(list * CAPACITY + min(first + load * PER_LOAD, CAPACITY - PER_LOAD)) / PER_LOAD];
      for (var i = 0u; i < PER_LOAD; i++) { // @unroll
        let distance = extractBits(packed[i / PER_WORD], i % PER_WORD * 8u * DISTANCE_BYTES, 8u * DISTANCE_BYTES);
        marked |= vec2<u32>(u32(distance < cut_bin), u32(distance == cut_bin)) << vec2<u32>(load * PER_LOAD + i);
      }
    }
    let newest = select(0u, 1u << ((length - 1u - first) % 32u), length - 1u - first < 32u);
    marked = (marked & vec2<u32>(~newest)) | (newest * vec2<u32>(u32(newest_bin < cut_bin), u32(newest_bin == cut_bin)));
    let inside = ~bits_from(max(first, length) - first);
    let windows = ~bits_from(max(first, sink_end) - first) | bits_from(max(first, recent_start) - first);
    marked = (marked & vec2<u32>(inside, inside & ~windows)) | vec2<u32>(windows & inside, 0u);
    let found = scan(countOneBits(marked), thread, subgroup_lane, subgroup_lanes);
    let before = before_window + found.xy;
    before_window += found.zw;
    let most = ties - min(before.y, ties);
    var equal = select(marked.y, 0u, most == 0u);
    for (; countOneBits(equal) > most;) { equal &= ~(1u << firstLeadingBit(equal)); }
    var slot = before.x + min(before.y, ties) - begin;
    for (var picks = marked.x | equal; picks != 0u; picks &= picks - 1u) {
      if (slot < end - begin) { tokens[slot] = first + firstTrailingBit(picks); }
      slot += 1u;
    }
  }
  workgroupBarrier();
  var weight = array<f32, QUERIES_PER_LIST>();
  var total = array<vec4f, QUERIES_PER_LIST * PARTS>();
  let lane_base = first_head / GROUP * CAPACITY * ROW_LOADS + lane;
  for (var tile = begin; tile < end; tile += ROWS * TOKENS) {
    var k: array<vec4<u32>, LOADS>; // past the end the last row repeats
    var v: array<vec4<u32>, LOADS>;
    for (var load = 0u; load < LOADS; load++) { // @unroll
      let token = tokens[min(tile + (load / CHUNKS) * ROWS + row, end - 1u) - begin];
      k[load] = keys[lane_base + token * ROW_LOADS + (load % CHUNKS) * LANES];
      v[load] = values[lane_base + token * ROW_LOADS + (load % CHUNKS) * LANES];
    }
    var logits = array<f32, TOKENS * QUERIES_PER_LIST>();
    for (var i = 0u; i < PIECES; i++) { // @unroll
      let piece = widen(k[i / QUADS], i % QUADS);
      for (var h = 0u; h < QUERIES_PER_LIST; h++) { // @unroll
        logits[i / PARTS * QUERIES_PER_LIST + h] += dot(piece, query[h * PARTS + i % PARTS]);
      }
    }
    for (var h = 0u; h < QUERIES_PER_LIST; h++) { // @unroll
      var peak = highest[h];
      for (var t = 0u; t < TOKENS; t++) { // @unroll
        let i = t * QUERIES_PER_LIST + h;
        for (var step = 0u; step < LANE_STEPS; step++) { // @unroll
          logits[i] += subgroupShuffleXor(logits[i], 1u << step);
        }
        logits[i] = select(2.0 * NEG_LARGE, logits[i], tile + t * ROWS + row < end);
        peak = max(peak, logits[i]);
      }
      let fade = exp2(highest[h] - peak);
      highest[h] = peak;
      weight[h] *= fade;
      for (var part = 0u; part < PARTS; part++) { // @unroll
        total[h * PARTS + part] *= fade;
      }
      for (var t = 0u; t < TOKENS; t++) { // @unroll
        logits[t * QUERIES_PER_LIST + h] = exp2(logits[t * QUERIES_PER_LIST + h] - peak);
        weight[h] += logits[t * QUERIES_PER_LIST + h];
      }
    }
    for (var i = 0u; i < PIECES; i++) { // @unroll
      let piece = widen(v[i / QUADS], i % QUADS);
      for (var h = 0u; h < QUERIES_PER_LIST; h++) { // @unroll
        total[h * PARTS + i % PARTS] += logits[i / PARTS * QUERIES_PER_LIST + h] * piece;
      }
    }
  }
  // Join the row groups into this split's partials.
  for (var turn = 0u; turn < JOIN_TURNS; turn++) { // @unroll
    for (var i = 0u; i < TOGETHER; i++) { // @unroll
      let h = min(turn * TOGETHER + i, QUERIES_PER_LIST - 1u);
      for (var part = 0u; part < PARTS; part++) { // @unroll
        scratch[(i * ROWS + row) * HEAD_QUADS + (part / QUADS * LANES + lane) * QUADS + part % QUADS] = total[h * PARTS + part];
      }
      stats[i * ROWS + row] = vec2f(highest[h], weight[h]);
    }
    workgroupBarrier();
    for (var column = thread; column < min(TOGETHER, QUERIES_PER_LIST - turn * TOGETHER) * HEAD_QUADS; column += WORKGROUP) {
      let i = column / HEAD_QUADS * ROWS;
      var peak = NEG_LARGE;
      for (var r = 0u; r < ROWS; r++) { // @unroll
        peak = max(peak, stats[i + r].x);
      }
      var denominator = 0.0;
      var numerator = vec4f(0.0);
      for (var r = 0u; r < ROWS; r++) { // @unroll
        let scale = exp2(stats[i + r].x - peak);
        denominator += stats[i + r].y * scale;
        numerator += scratch[(i + r) * HEAD_QUADS + column % HEAD_QUADS] * scale;
      }
      let h = turn * TOGETHER + column / HEAD_QUADS;
      let slot = list * LIST_QUADS + (h * SPLITS + wid.x) * PARTIAL_QUADS;
      store_partial(slot + column % HEAD_QUADS, numerator);
      if (column % HEAD_QUADS == 0u) {
        store_partial(slot + HEAD_QUADS, vec4f(peak, denominator, 0.0, 0.0));
      }
    }
    workgroupBarrier();
  }
  if (HAND_OVER == 0u) {
    return;
  }
  // The last workgroup of the list joins the splits, and leaves totals and arrivals at zero.
  storageBarrier();
  if (thread == 0u) { is_last = u32(atomicAdd(&hand_over.arrivals[list], 1u) == SPLITS - 1u); }
  if (workgroupUniformLoad(&is_last) == 0u) { return; }
  storageBarrier();
  if (thread == 0u) { atomicStore(&hand_over.arrivals[list], 0u); }
  for (var bin = thread; bin < BINS; bin += WORKGROUP) { atomicStore(&list_state.rank_totals[list * BINS + bin], 0u); }
  for (var column = thread; column < QUERIES_PER_LIST * HEAD_QUADS; column += WORKGROUP) {
    let head = first_head + column / HEAD_QUADS;
    let first = list * LIST_QUADS + column / HEAD_QUADS * SPLITS * PARTIAL_QUADS;
    let own_head = head % Q_HEADS;
    let sink = sink_logits[own_head / 4u][own_head % 4u] * LOG2_E;
    if (HAND_OVER == 2u) {
      out[first_head * HEAD_QUADS + column] = join_atomic(first, column % HEAD_QUADS, sink);
    } else {
      out[first_head * HEAD_QUADS + column] = join_plain(first, column % HEAD_QUADS, sink);
    }
  }
}
