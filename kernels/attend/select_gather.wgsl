// Select and attend in one dispatch: exact top-k by counting, gathered attention, merge.
//
// Dispatch (SPLITS, query heads, batch): every workgroup finds the cut of its list from the
// histograms that the score left, then the blocks that hold its equal share of the list; it compacts
// its own tokens into workgroup memory and attends them, so the list never goes to memory. The last
// workgroup of a list to arrive joins the partials: nobody waits. That needs storageBarrier() to
// order memory for the whole device, as naga makes it. The list: windows, tokens nearer than the cut
// and the first at it (ties: lower index).
// Subgroups are consecutive threads, of at least SUBGROUP_MIN and LANES. Logits are in log2 units.
const HEAD_DIM: u32 = 128u; // @param
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
const LANES: u32 = 4u; // @param threads per row
const TOKENS: u32 = 2u; // @param rows in flight per thread
const SPLITS: u32 = 16u; // @param

const BINS = BITS + 1u;
const LANE_BINS = BITS / SUBGROUP_MIN + u32(BITS % SUBGROUP_MIN != 0u); // a subgroup finds the cut
const CODE_WORDS = BITS / 32u;
const BLOCKS = (CAPACITY + BLOCK - 1u) / BLOCK;
const ENTRIES = (BLOCKS * BINS + WORKGROUP - 1u) / WORKGROUP; // of the histograms, per thread
const WORDS = 8u; // of the 32 distances that a thread looks at
const MOST_SUBGROUPS = WORKGROUP / SUBGROUP_MIN;
const WIDTH = 4u + 4u * u32(KV_DTYPE != 0u); // values of a 16-byte load
const QUADS = WIDTH / 4u; // vec4f of a load
const ROW_LOADS = HEAD_DIM / WIDTH;
const CHUNKS = ROW_LOADS / LANES; // loads of a row per thread
const PARTS = CHUNKS * QUADS; // vec4f of a row per thread
const ROWS = WORKGROUP / LANES; // row groups
const LANE_STEPS = u32(LANES > 1u) + u32(LANES > 2u) + u32(LANES > 4u) + u32(LANES > 8u) + u32(LANES > 16u);
const LOADS = TOKENS * CHUNKS;
const HEAD_QUADS = HEAD_DIM / 4u;
const PARTIAL_QUADS = HEAD_QUADS + 1u; // the numerators, then (maximum, denominator, 0, 0)
const LOWEST = -1e30; // below it: a token that is not there
const LOG2_E = 1.4426950408889634;

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read> q: array<vec4f>;
@group(0) @binding(2) var<storage, read> keys: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> values: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read> sink_logits: array<f32>;
@group(0) @binding(5) var<storage, read> distances: array<vec4<u32>>;
@group(0) @binding(6) var<storage, read> block_histograms: array<u32>;
@group(0) @binding(7) var<storage, read> query_codes: array<u32>;
@group(0) @binding(8) var<storage, read> codes: array<u32>;
@group(0) @binding(9) var<storage, read_write> partials: array<vec4f>;
@group(0) @binding(10) var<storage, read_write> arrivals: array<atomic<u32>>;
@group(0) @binding(11) var<storage, read_write> out: array<vec4f>;

var<workgroup> histograms: array<u32, BLOCKS * BINS>;
var<workgroup> cut: vec2<u32>; // its bin, and the tokens before it
var<workgroup> range: vec2<u32>; // none, or the first block of this share, and the end of its last
var<workgroup> before_range: vec2<u32>; // tokens before the cut's bin, and in it
var<workgroup> subtotals: array<vec2<u32>, MOST_SUBGROUPS>;
var<workgroup> tokens: array<u32, (LIST_CAPACITY + SPLITS - 1u) / SPLITS>;
var<workgroup> scratch: array<vec4f, ROWS * HEAD_QUADS>;
var<workgroup> stats: array<vec2f, ROWS>;
var<workgroup> is_last: u32;

/// Values 4*quad .. 4*quad+3 of a 16-byte load.
fn widen(raw: vec4<u32>, quad: u32) -> vec4f {
  if (KV_DTYPE == 0u) { return bitcast<vec4f>(raw); }
  let pair = select(raw.xy, raw.zw, quad == 1u);
  if (KV_DTYPE == 1u) { return vec4f(unpack2x16float(pair.x), unpack2x16float(pair.y)); }
  return bitcast<vec4f>(vec4<u32>(pair.x << 16u, pair.x & 0xffff0000u, pair.y << 16u, pair.y & 0xffff0000u));
}

/// A word whose bits `count` and up are set.
fn bits_from(count: u32) -> u32 {
  return select(0xffffffffu << min(count, 31u), 0u, count > 31u);
}

/// Bit i of the result: distance i of a word is below `limit`, which the top bit of the byte
/// (limit + 127 - distance) tells; no byte borrows from the next where 0 < limit <= 128.
fn marks(word: u32, limit: u32) -> u32 {
  let bytes = (0x7f7f7f7fu + clamp(limit, 1u, 128u) * 0x01010101u - word) >> 7u;
  return select(select(((bytes & 0x01010101u) * 0x10204080u) >> 28u, 15u, limit > 128u), 0u, limit == 0u);
}

/// Sums of `value` over the threads before this one, and over all.
fn scan(value: vec2<u32>, thread: u32, lane: u32, lanes: u32) -> vec4<u32> {
  var before = subgroupExclusiveAdd(value);
  workgroupBarrier();
  if (lane == lanes - 1u) { subtotals[thread / lanes] = before + value; }
  workgroupBarrier();
  var all = vec2<u32>(0u);
  for (var s = 0u; s < MOST_SUBGROUPS; s++) { // @unroll
    if (s < WORKGROUP / lanes) {
      before += select(vec2<u32>(0u), subtotals[s], s < thread / lanes);
      all += subtotals[s];
    }
  }
  return vec4<u32>(before, all);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) thread: u32,
  @builtin(subgroup_invocation_id) subgroup_lane: u32, @builtin(subgroup_size) subgroup_lanes: u32) {
  let list = wid.z * Q_HEADS + wid.y;
  let length = lengths[wid.z];

  // This workgroup's share of the list: ranks [begin, end) in the order of tokens.
  let sink_end = min(SINK, length);
  let recent_start = max(sink_end, length - min(RECENT, length));
  let k = min(select(length / max(SPARSITY, 1u), K_COUNT, SPARSITY == 0u), recent_start - sink_end);
  let attended = sink_end + k + length - recent_start;
  let share = (attended + SPLITS - 1u) / SPLITS;
  let begin = min(wid.x * share, attended);
  let end = min(begin + share, attended);
  // The histograms, all loads in flight, and the newest token's place in them if it is a middle one.
  var newest_bin = 0u;
  for (var i = 0u; i < CODE_WORDS; i++) { // @unroll
    let word = codes[(list * CAPACITY + length - 1u) * CODE_WORDS + i];
    newest_bin += countOneBits(word ^ query_codes[list * CODE_WORDS + i]);
  }
  newest_bin = select(BINS, newest_bin, NEWEST == 1u && recent_start == length && sink_end < length);
  for (var e = 0u; e < ENTRIES; e++) { // @unroll
    let at = e * WORKGROUP + thread;
    let count = block_histograms[list * BLOCKS * BINS + min(at, BLOCKS * BINS - 1u)];
    let is_newest = at % BINS == newest_bin && at / BINS == (length - 1u) / BLOCK;
    if (at < BLOCKS * BINS) { histograms[at] = select(0u, count, at / BINS * BLOCK < length) + u32(is_newest); }
  }
  workgroupBarrier();
  // The cut: the first bin up to which there are k tokens, the last if no other. A subgroup finds it.
  var mine = array<u32, LANE_BINS>();
  var sum = 0u;
  if (thread < SUBGROUP_MIN) {
    for (var b = 0u; b < LANE_BINS; b++) { // @unroll
      for (var block = 0u; block < BLOCKS; block++) { // @unroll
        mine[b] += histograms[block * BINS + min(thread * LANE_BINS + b, BITS)];
      }
      sum += mine[b];
    }
  }
  var below = subgroupExclusiveAdd(sum);
  for (var b = 0u; b < LANE_BINS; b++) { // @unroll
    let bin = thread * LANE_BINS + b;
    if (bin < BITS && (below < k || bin == 0u) && k <= below + mine[b]) { cut = vec2<u32>(bin, below); }
    below += mine[b];
    if (bin == BITS - 1u && below < k) { cut = vec2<u32>(BITS, below); }
  }
  workgroupBarrier();
  let cut_bin = cut.x;
  let ties = k - min(cut.y, k);

  // The blocks that hold this share's picks.
  var here = vec2<u32>(0u); // nearer than the cut, or in a window; at the cut
  if (thread < BLOCKS) {
    for (var bin = 0u; bin < cut_bin; bin++) { here.x += histograms[thread * BINS + bin]; }
    let first = min(thread * BLOCK, length);
    let after = min(first + BLOCK, length);
    here.x += max(min(after, sink_end), first) - first + after - clamp(recent_start, first, after);
    here.y = histograms[thread * BINS + cut_bin];
  }
  let before_block = scan(here, thread, subgroup_lane, subgroup_lanes).xy;
  let rank = before_block.x + min(before_block.y, ties);
  let next = before_block.x + here.x + min(before_block.y + here.y, ties);
  if (rank <= begin && begin < next) { range.x = thread; before_range = before_block; }
  if (rank < end && end <= next) { range.y = thread + 1u; }
  let blocks = workgroupUniformLoad(&range);

  // Compact: bit i is token first + i.
  var before_window = before_range;
  for (var window = blocks.x * BLOCK; window < blocks.y * BLOCK; window += WORKGROUP * 32u) {
    let first = window + thread * 32u;
    var nearer = 0u; // than the cut
    var equal = 0u;
    for (var word = 0u; word < WORDS; word++) { // @unroll
      let load = min(first / 16u + word / 4u, CAPACITY / 16u - 1u);
      let packed = distances[list * (CAPACITY / 16u) + load][word % 4u];
      nearer |= marks(packed, cut_bin) << (4u * word);
      equal |= marks(packed, cut_bin + 1u) << (4u * word);
    }
    let newest = select(0u, 1u << ((length - 1u - first) % 32u), NEWEST == 1u && length - 1u - first < 32u);
    nearer = select(nearer & ~newest, nearer | newest, newest_bin < cut_bin);
    equal = select(equal & ~newest, equal | newest, newest_bin <= cut_bin);
    let inside = ~bits_from(max(first, length) - first);
    let windows = ~bits_from(max(first, sink_end) - first) | bits_from(max(first, recent_start) - first);
    nearer = (nearer | windows) & inside;
    equal &= inside & ~nearer;
    let found = scan(vec2<u32>(countOneBits(nearer), countOneBits(equal)), thread, subgroup_lane, subgroup_lanes);
    let before = before_window + found.xy;
    before_window += found.zw;
    let most = ties - min(before.y, ties);
    equal = select(equal, 0u, most == 0u);
    for (; countOneBits(equal) > most;) {
      equal &= ~(1u << firstLeadingBit(equal));
    }
    var slot = before.x + min(before.y, ties) - begin;
    for (var picks = nearer | equal; picks != 0u; picks &= picks - 1u) {
      if (slot < end - begin) { tokens[slot] = first + firstTrailingBit(picks); }
      slot += 1u;
    }
  }
  workgroupBarrier();

  let lane = thread % LANES;
  let row = thread / LANES;
  var query: array<vec4f, PARTS>;
  for (var part = 0u; part < PARTS; part++) { // @unroll
    let at = ((part / QUADS) * LANES + lane) * QUADS + part % QUADS;
    query[part] = q[list * HEAD_QUADS + at] * (LOG2_E / sqrt(f32(HEAD_DIM)));
  }
  var highest = LOWEST;
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
      logits[t] = select(2.0 * LOWEST, logits[t], tile + t * ROWS + row < end);
      peak = max(peak, logits[t]);
    }
    let fade = exp2(highest - peak);
    highest = peak;
    weight *= fade;
    for (var part = 0u; part < PARTS; part++) { // @unroll
      total[part] *= fade;
    }
    for (var t = 0u; t < TOKENS; t++) { // @unroll
      let of_token = exp2(logits[t] - peak);
      weight += of_token;
      for (var part = 0u; part < PARTS; part++) { // @unroll
        total[part] += of_token * widen(v[t * CHUNKS + part / QUADS], part % QUADS);
      }
    }
  }
  // Join the row groups into this split's partial.
  for (var part = 0u; part < PARTS; part++) { // @unroll
    scratch[row * HEAD_QUADS + ((part / QUADS) * LANES + lane) * QUADS + part % QUADS] = total[part];
  }
  stats[row] = vec2f(highest, weight);
  workgroupBarrier();
  let first_partial = list * SPLITS * PARTIAL_QUADS;
  if (thread < HEAD_QUADS) {
    var peak = LOWEST;
    for (var r = 0u; r < ROWS; r++) { // @unroll
      peak = max(peak, stats[r].x);
    }
    var denominator = 0.0;
    var numerator = vec4f(0.0);
    for (var r = 0u; r < ROWS; r++) { // @unroll
      let scale = exp2(stats[r].x - peak);
      denominator += stats[r].y * scale;
      numerator += scratch[r * HEAD_QUADS + thread] * scale;
    }
    partials[first_partial + wid.x * PARTIAL_QUADS + thread] = numerator;
    partials[first_partial + wid.x * PARTIAL_QUADS + HEAD_QUADS] = vec4f(peak, denominator, 0.0, 0.0);
  }

  // The last workgroup of the list joins the splits, and leaves the counter at zero.
  storageBarrier();
  if (thread == 0u) { is_last = u32(atomicAdd(&arrivals[list], 1u) == SPLITS - 1u); }
  if (workgroupUniformLoad(&is_last) == 0u) { return; }
  storageBarrier();
  if (thread == 0u) { atomicStore(&arrivals[list], 0u); }
  if (thread < HEAD_QUADS) {
    let sink = sink_logits[wid.y] * LOG2_E;
    var peak = max(sink, LOWEST);
    for (var s = 0u; s < SPLITS; s++) { // @unroll
      peak = max(peak, partials[first_partial + s * PARTIAL_QUADS + HEAD_QUADS].x);
    }
    var denominator = 0.0;
    var numerator = vec4f(0.0);
    for (var s = 0u; s < SPLITS; s++) { // @unroll
      let of_split = partials[first_partial + s * PARTIAL_QUADS + HEAD_QUADS];
      let scale = exp2(of_split.x - peak);
      denominator += of_split.y * scale;
      numerator += partials[first_partial + s * PARTIAL_QUADS + thread] * scale;
    }
    let of_sink = select(exp2(sink - peak), 0.0, sink <= LOWEST);
    out[list * HEAD_QUADS + thread] = select(numerator / (denominator + of_sink), vec4f(0.0), denominator == 0.0);
  }
}
