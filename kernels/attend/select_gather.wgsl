// Select and attend in one dispatch: exact top-k by counting, gathered attention, merge.
//
// Dispatch (SPLITS, query heads, batch): a workgroup finds the cut of its list from the histograms
// that the score left, and the blocks that hold its equal share of the list; it compacts its tokens
// into workgroup memory and attends them, so the list never goes to memory. Picks that lie evenly lie
// where the same share of the tokens does: distances there come before the cut is known, others are
// loaded if that guess was wrong. The list: windows, tokens nearer than the cut, the first at it
// (ties: lower index). Logits are in log2 units, and subgroups consecutive threads, of at least
// SUBGROUP_MIN and LANES. With NEWEST the score has encoded the newest token beside the others, which
// is in neither distances nor histograms: list_state holds its code and the query's before these.
// HAND_OVER says who joins the partials of a list:
//   0  a dispatch of its own (merge/join_splits.wgsl): all that WGSL guarantees;
//   1  the last workgroup to arrive, over plain memory: nobody waits and no dispatch is paid, but
//      storageBarrier() has to order memory for the whole device, as naga's SPIR-V makes it;
//   2  the same over atomics, which devices keep coherent though WGSL does not order them.
const HEAD_DIM: u32 = 128u; // @param
const BATCH: u32 = 1u; // @param sequences
const GROUP: u32 = 4u; // @param query heads per KV head
const Q_HEADS: u32 = 32u; // @param
const CAPACITY: u32 = 4096u; // @param
const LIST_CAPACITY: u32 = 256u; // @param
const KV_DTYPE: u32 = 1u; // @param 0 f32, 1 f16, 2 bf16
const BITS: u32 = 32u; // @param
const SINK: u32 = 0u; // @param
const RECENT: u32 = 0u; // @param
const K_COUNT: u32 = 128u; // @param used where SPARSITY is 0
const SPARSITY: u32 = 0u; // @param k = length / SPARSITY
const BLOCK: u32 = 1024u; // @param tokens per histogram
const NEWEST: u32 = 0u; // @param 1 if the newest token is in neither histograms nor distances
const SUBGROUP_MIN: u32 = 4u; // @param smallest subgroup of the device
const WORKGROUP: u32 = 128u; // @param
const AHEAD: u32 = 1u; // @param windows whose distances come before the cut is known
const LANES: u32 = 4u; // @param threads per row
const TOKENS: u32 = 2u; // @param rows in flight per thread
const SPLITS: u32 = 16u; // @param
const HAND_OVER: u32 = 1u; // @param 0 dispatch, 1 barrier, 2 atomics
const BINS = BITS + 1u;
const LANE_BINS = (BITS + SUBGROUP_MIN - 1u) / SUBGROUP_MIN; // a subgroup finds the cut
const CODE_WORDS = BITS / 32u;
const BLOCKS = (CAPACITY + BLOCK - 1u) / BLOCK;
const ENTRIES = (BLOCKS * BINS + WORKGROUP - 1u) / WORKGROUP; // of the histograms, per thread
const WINDOW = WORKGROUP * 32u; // tokens that the workgroup looks at together
const PIECES = AHEAD * 2u; // 16-byte loads of distances per thread
const FEW = 4u; // picks that a thread puts down at a time
const WORDS = 8u; // of the 32 distances that a thread looks at
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
const PARTIAL_LOADS = (SPLITS * PARTIAL_QUADS + WORKGROUP - 1u) / WORKGROUP; // of a list, per thread
const NEWEST_CODES = LISTS * CODE_WORDS; // where these begin in list_state, after the query's
const HISTOGRAMS = NEWEST * 2u * NEWEST_CODES;
const MOST_JOINED = max(ROWS, SPLITS + 1u);
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

var<workgroup> histograms: array<u32, BLOCKS * BINS>;
var<workgroup> range: array<u32, 3>; // tokens of the blocks that hold this share, and the rank of the first
var<workgroup> last_tie: vec2<u32>; // BLOCKS less the block of the last tie that is taken; ties taken there
var<workgroup> subtotals: array<vec2<u32>, 2u * MOST_SUBGROUPS>;
var<workgroup> tokens: array<u32, (LIST_CAPACITY + SPLITS - 1u) / SPLITS>;
var<workgroup> pool: array<vec4<u32>, max(AHEAD * WINDOW / 16u, MOST_JOINED * PARTIAL_QUADS)>; // distances; partials
var<workgroup> arrived: u32; // workgroups of the list

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

/// Bit i of the result: distance i of a word is below `limit`, which the top bit of the byte
/// (limit + 127 - distance) tells; no byte borrows from the next while limit or 128 - distance is not 0.
fn marks(word: u32, limit: u32) -> u32 {
  let bytes = ((0x7f7f7f7fu + min(limit, 128u) * 0x01010101u - word) >> 7u) & 0x01010101u;
  return select((bytes * 0x10204080u) >> 28u, 15u * u32(limit > 0u), BITS == 128u && limit % 129u == 0u);
}

/// Brings distances to workgroup memory, from token `first` on.
fn stage(list: u32, first: u32, thread: u32) {
  for (var i = 0u; i < PIECES; i++) { // @unroll
    let piece = min(first / 16u + i * WORKGROUP + thread, CAPACITY / 16u - 1u);
    pool[i * WORKGROUP + thread] = distances[list * (CAPACITY / 16u) + piece];
  }
}

/// Sums of `value` over the threads before this one, and over all; the halves of `subtotals` take turns.
fn scan(value: vec2<u32>, turn: u32, thread: u32, lane: u32, lanes: u32) -> vec4<u32> {
  let half = turn % 2u * MOST_SUBGROUPS;
  var before = subgroupExclusiveAdd(value);
  if (lane == lanes - 1u) { subtotals[half + thread / lanes] = before + value; }
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

/// A quad of the first `count` partials in `pool`, joined.
fn joined(quad: u32, count: u32) -> vec4f {
  var peak = NEG_LARGE;
  for (var i = 0u; i < MOST_JOINED; i++) { // @unroll
    if (i < count) { peak = max(peak, bitcast<f32>(pool[i * PARTIAL_QUADS + HEAD_QUADS].x)); }
  }
  var sum = vec4f(0.0);
  for (var i = 0u; i < MOST_JOINED; i++) { // @unroll
    let of_partial = exp2(bitcast<f32>(pool[i * PARTIAL_QUADS + HEAD_QUADS].x) - peak);
    if (i < count) { sum += bitcast<vec4f>(pool[i * PARTIAL_QUADS + quad]) * of_partial; }
  }
  return select(sum, vec4f(peak, sum.yzw), quad == HEAD_QUADS);
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

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) thread: u32,
  @builtin(subgroup_invocation_id) subgroup_lane: u32, @builtin(subgroup_size) subgroup_lanes: u32) {
  let list = wid.z * Q_HEADS + wid.y;
  let length = lengths[wid.z];
  var counts: array<u32, ENTRIES>; // all of memory whose place is known, all loads in flight
  for (var e = 0u; e < ENTRIES; e++) { // @unroll
    counts[e] = list_state[HISTOGRAMS + list * BLOCKS * BINS + min(e * WORKGROUP + thread, BLOCKS * BINS - 1u)];
  }
  var newest_bin = 0u;
  if (NEWEST == 1u) {
    for (var i = 0u; i < CODE_WORDS; i++) { // @unroll
      let at = list * CODE_WORDS + i;
      newest_bin += countOneBits(list_state[NEWEST_CODES + at] ^ list_state[at]);
    }
  }
  let lane = thread % LANES;
  let row = thread / LANES;
  var query: array<vec4f, PARTS>;
  for (var part = 0u; part < PARTS; part++) { // @unroll
    query[part] = q[list * HEAD_QUADS + ((part / QUADS) * LANES + lane) * QUADS + part % QUADS] * (LOG2_E / sqrt(f32(HEAD_DIM)));
  }
  let guess = (max((2u * wid.x + 1u) * (length / (2u * SPLITS)), WINDOW / 2u) - WINDOW / 2u + BLOCK / 2u) / BLOCK * BLOCK;
  stage(list, guess, thread);
  // @shared windows
  let sink_end = min(SINK, length);
  let recent_start = max(sink_end, length - min(RECENT, length));
  let wanted = select(length / max(SPARSITY, 1u), K_COUNT, SPARSITY == 0u);
  let picks_wanted = min(wanted, recent_start - sink_end);
  // @end
  let attended = sink_end + picks_wanted + length - recent_start;
  let share = (attended + SPLITS - 1u) / SPLITS;
  let begin = min(wid.x * share, attended); // ranks [begin, end) of the list, in the order of tokens
  let end = min(begin + share, attended);
  newest_bin = select(BINS, newest_bin, NEWEST == 1u && recent_start == length && sink_end < length);
  for (var e = 0u; e < ENTRIES; e++) { // @unroll
    let at = e * WORKGROUP + thread;
    let is_newest = at % BINS == newest_bin && at / BINS == (length - 1u) / BLOCK;
    if (at < BLOCKS * BINS) { histograms[at] = select(0u, counts[e], at / BINS * BLOCK < length) + u32(is_newest); }
  }
  workgroupBarrier();
  // The cut: the first bin up to which there are k tokens, or the last. Each subgroup finds it: no barrier.
  var mine = array<u32, LANE_BINS>();
  var below = 0u;
  for (var b = 0u; b < LANE_BINS; b++) { // @unroll
    for (var block = 0u; block < BLOCKS; block++) { // @unroll
      mine[b] += histograms[block * BINS + min(subgroup_lane * LANE_BINS + b, BITS)];
    }
    below += mine[b];
  }
  below = subgroupExclusiveAdd(below);
  var cut = vec2<u32>(0u); // its bin, and the tokens before it
  for (var b = 0u; b < LANE_BINS; b++) { // @unroll
    below += mine[b];
    if (subgroup_lane * LANE_BINS + b < BITS && below < picks_wanted) { cut = vec2<u32>(cut.x + 1u, below); }
  }
  cut = vec2<u32>(subgroupAdd(cut.x), subgroupMax(cut.y));
  let ties = picks_wanted - cut.y;
  var here = vec2<u32>(0u); // of a block: nearer than the cut, or in a window; at the cut
  if (thread < BLOCKS) {
    for (var bin = 0u; bin < BITS; bin++) { // @unroll
      here.x += select(0u, histograms[thread * BINS + bin], bin < cut.x);
    }
    let first = min(thread * BLOCK, length);
    let after = min(first + BLOCK, length);
    here.x += max(min(after, sink_end), first) - first + after - clamp(recent_start, first, after);
    here.y = histograms[thread * BINS + cut.x];
  }
  let before_block = scan(here, 0u, thread, subgroup_lane, subgroup_lanes).xy;
  let rank = before_block.x + min(before_block.y, ties);
  let next = before_block.x + here.x + min(before_block.y + here.y, ties);
  if (rank <= begin && begin < next) { range[0] = thread * BLOCK; range[2] = rank; }
  if (begin < end && rank < end && end <= next) { range[1] = (thread + 1u) * BLOCK; }
  if (before_block.y <= ties && ties < before_block.y + here.y) { last_tie = vec2<u32>(BLOCKS - thread, ties - before_block.y); }
  let blocks = workgroupUniformLoad(&range);
  // Compact: bit i is token first + i. Of what ties, all before the block of the last tie taken are
  // picks, and none behind it: only there do two limits matter.
  var staged = guess;
  var before_window = vec2<u32>(blocks[2] - begin, 0u);
  for (var window = blocks[0]; window < blocks[1]; window += WINDOW) {
    if (window < staged || min(window + WINDOW, blocks[1]) > staged + AHEAD * WINDOW) {
      staged = window;
      stage(list, staged, thread);
      workgroupBarrier();
    }
    let first = window + thread * 32u;
    var marked = vec2<u32>(0u); // picks, and tokens of which the first are picks
    if (first < min(blocks[1], length)) {
      let limit = cut.x + u32(first / BLOCK < BLOCKS - last_tie.x);
      let tie_limit = limit + u32(first / BLOCK == BLOCKS - last_tie.x);
      for (var word = 0u; word < WORDS; word++) { // @unroll
        let four = pool[(first - staged) / 16u + word / 4u][word % 4u];
        marked.x |= marks(four, limit) << (4u * word);
        if (tie_limit > limit) { marked.y |= marks(four, tie_limit) << (4u * word); }
      }
      let newest = vec2<u32>(select(0u, 1u << ((length - 1u - first) % 32u), NEWEST == 1u && length - 1u - first < 32u));
      marked = select(marked & ~newest, marked | newest, vec2<u32>(newest_bin) < vec2<u32>(limit, tie_limit));
      marked.x |= ~bits_from(max(first, sink_end) - first) | bits_from(max(first, recent_start) - first);
      marked = vec2<u32>(marked.x, marked.y & ~marked.x) & vec2<u32>(~bits_from(length - first));
    }
    let scanned = scan(countOneBits(marked), 1u + (window - blocks[0]) / WINDOW, thread, subgroup_lane, subgroup_lanes);
    let before = before_window + scanned.xy;
    before_window += scanned.zw;
    var equal = select(marked.y, 0u, before.y >= last_tie.y);
    for (; before.y + countOneBits(equal) > last_tie.y && equal != 0u;) { equal &= ~(1u << firstLeadingBit(equal)); }
    var slot = before.x + min(before.y, last_tie.y);
    for (var picks = marked.x | equal; picks != 0u;) {
      for (var i = 0u; i < FEW; i++) { // @unroll
        if (picks != 0u && slot < end - begin) { tokens[slot] = first + firstTrailingBit(picks); }
        picks &= picks - 1u;
        slot += 1u;
      }
    }
  }
  workgroupBarrier();
  var highest = NEG_LARGE;
  var weight = 0.0;
  var total = array<vec4f, PARTS>();
  let lane_base = list / GROUP * CAPACITY * ROW_LOADS + lane;
  for (var tile = begin; tile < end; tile += ROWS * TOKENS) {
    var k: array<vec4<u32>, LOADS>; // past the end the last row repeats
    var v: array<vec4<u32>, LOADS>;
    for (var load = 0u; load < LOADS; load++) { // @unroll
      let token = tokens[min(tile + (load / CHUNKS) * ROWS + row, end - 1u) - begin];
      k[load] = keys[lane_base + token * ROW_LOADS + (load % CHUNKS) * LANES];
      v[load] = values[lane_base + token * ROW_LOADS + (load % CHUNKS) * LANES];
    }
    var logits = array<f32, TOKENS>();
    var peak = highest;
    for (var t = 0u; t < TOKENS; t++) { // @unroll
      for (var part = 0u; part < PARTS; part++) { // @unroll
        logits[t] += dot(widen(k[t * CHUNKS + part / QUADS], part % QUADS), query[part]);
      }
      for (var step = 0u; step < LANE_STEPS; step++) { // @unroll
        logits[t] += subgroupShuffleXor(logits[t], 1u << step);
      }
      logits[t] = select(2.0 * NEG_LARGE, logits[t], tile + t * ROWS + row < end);
      peak = max(peak, logits[t]);
    }
    let fade = exp2(highest - peak);
    highest = peak;
    weight *= fade;
    for (var t = 0u; t < TOKENS; t++) { // @unroll
      logits[t] = exp2(logits[t] - peak);
      weight += logits[t];
    }
    for (var part = 0u; part < PARTS; part++) { // @unroll
      total[part] *= fade;
      for (var t = 0u; t < TOKENS; t++) { // @unroll
        total[part] += logits[t] * widen(v[t * CHUNKS + part / QUADS], part % QUADS);
      }
    }
  }
  for (var part = 0u; part < PARTS; part++) { // @unroll
    pool[row * PARTIAL_QUADS + ((part / QUADS) * LANES + lane) * QUADS + part % QUADS] = bitcast<vec4<u32>>(total[part]);
  }
  pool[row * PARTIAL_QUADS + HEAD_QUADS] = bitcast<vec4<u32>>(vec4f(highest, weight, 0.0, 0.0));
  workgroupBarrier();
  if (thread < PARTIAL_QUADS) {
    store_partial(list * LIST_QUADS + wid.x * PARTIAL_QUADS + thread, joined(thread, ROWS));
  }
  if (HAND_OVER == 0u) {
    return;
  }
  storageBarrier(); // the last workgroup of the list joins the splits, and leaves the counter at zero
  if (thread == 0u) { arrived = atomicAdd(&hand_over.arrivals[list], 1u) + 1u; }
  if (workgroupUniformLoad(&arrived) < SPLITS) { return; }
  storageBarrier();
  if (thread == 0u) { atomicStore(&hand_over.arrivals[list], 0u); }
  let sink = sink_logits[wid.y / 4u][wid.y % 4u] * LOG2_E; // joins like a split that attended a row of zeros
  if (HAND_OVER == 2u) {
    for (var e = 0u; e < PARTIAL_LOADS; e++) { // @unroll
      let at = min(e * WORKGROUP + thread, SPLITS * PARTIAL_QUADS - 1u);
      pool[at] = bitcast<vec4<u32>>(atomic_partial(list * LIST_QUADS + at));
    }
  } else {
    for (var e = 0u; e < PARTIAL_LOADS; e++) { // @unroll
      let at = min(e * WORKGROUP + thread, SPLITS * PARTIAL_QUADS - 1u);
      pool[at] = bitcast<vec4<u32>>(hand_over.partials[list * LIST_QUADS + at]);
    }
  }
  let of_sink = select(vec4f(0.0), vec4f(sink, f32(sink > NEG_LARGE), 0.0, 0.0), thread == HEAD_QUADS);
  if (thread < PARTIAL_QUADS) { pool[SPLITS * PARTIAL_QUADS + thread] = bitcast<vec4<u32>>(of_sink); }
  workgroupBarrier();
  if (thread < HEAD_QUADS) {
    let weights = joined(HEAD_QUADS, SPLITS + 1u).y;
    out[list * HEAD_QUADS + thread] = select(joined(thread, SPLITS + 1u) / weights, vec4f(0.0), weights == 0.0);
  }
}
