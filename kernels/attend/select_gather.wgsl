// Select and attend in one dispatch: exact top-k by counting, gathered attention, merge.
//
// Dispatch (SPLITS, code heads, batch): every workgroup finds the cut distance of its list from the
// sums that the score left, then the blocks that hold its equal share of the list, compacts its own
// tokens from their distances into workgroup memory, and attends them: the list never goes to
// memory, and every workgroup gathers the same number of rows. The last workgroup of a list to
// arrive joins the partials: nobody waits. That needs storageBarrier() to order memory for the whole
// device, as naga makes it. Subgroups are consecutive threads, of at least SUBGROUP_MIN and LANES.
// The list: sink, middle tokens nearer than the cut and the first at it (ties: lower index), recent.
// For the sums' layout see encode_score.wgsl; the newest token is in neither sums nor distances.
// Logits are in log2 units.
const HEAD_DIM: u32 = 128u; // @param
const GROUP: u32 = 4u; // @param query heads per KV head
const QUERIES_PER_LIST: u32 = 1u; // @param 1, or GROUP if the group shares a list
const CODE_HEADS: u32 = 32u; // @param lists per sequence
const CAPACITY: u32 = 4096u; // @param
const LIST_CAPACITY: u32 = 256u; // @param
const KV_DTYPE: u32 = 1u; // @param 0 f32, 1 f16, 2 bf16
const BITS: u32 = 32u; // @param
const DISTANCE_BYTES: u32 = 1u; // @param 1 or 2
const SINK: u32 = 0u; // @param
const RECENT: u32 = 0u; // @param
const K_COUNT: u32 = 128u; // @param used where SPARSITY is 0
const SPARSITY: u32 = 0u; // @param k = length / SPARSITY
const BLOCK: u32 = 1024u; // @param tokens per row of sums
const SHARES: u32 = 3u; // @param shares of blocks that were summed apart
const SUBGROUP_MIN: u32 = 4u; // @param smallest subgroup of the device
const WORKGROUP: u32 = 128u; // @param
const LANES: u32 = 4u; // @param threads per row
const TOKENS: u32 = 2u; // @param rows in flight per thread
const SPLITS: u32 = 16u; // @param

const BINS = BITS * QUERIES_PER_LIST + 2u;
const CODE_WORDS = BITS / 32u;
const QUERY_WORDS = QUERIES_PER_LIST * CODE_WORDS;
const BLOCKS = (CAPACITY + BLOCK - 1u) / BLOCK;
const EACH = 32u; // consecutive tokens that a thread compacts
const PER_WORD = 4u / DISTANCE_BYTES; // distances in a word
const WORDS = EACH / PER_WORD;
const ROW_DISTANCES = CAPACITY / PER_WORD / 4u; // 16-byte loads of a row of distances
const SHARE = (LIST_CAPACITY + SPLITS - 1u) / SPLITS;
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
@group(0) @binding(6) var<storage, read> bin_sums: array<u32>;
@group(0) @binding(7) var<storage, read> query_codes: array<u32>;
@group(0) @binding(8) var<storage, read> codes: array<u32>;
@group(0) @binding(9) var<storage, read_write> partials: array<vec4f>;
@group(0) @binding(10) var<storage, read_write> arrivals: array<atomic<u32>>;
@group(0) @binding(11) var<storage, read_write> out: array<vec4f>;

var<workgroup> reaching: array<u32, BINS>; // tokens of the list in each bin and those before
var<workgroup> cut: vec2<u32>; // its bin, and the tokens before it
var<workgroup> range: vec2<u32>; // the first block of this share, and the end of its last
var<workgroup> before_range: vec2<u32>; // tokens before the cut's bin, and in it
var<workgroup> subtotals: array<vec2<u32>, MOST_SUBGROUPS>;
var<workgroup> tokens: array<u32, SHARE>;
var<workgroup> scratch: array<vec4f, ROWS * HEAD_QUADS>;
var<workgroup> stats: array<vec2f, ROWS>;
var<workgroup> is_last: u32;

/// Values 4*quad .. 4*quad+3 of a 16-byte load.
fn widen(raw: vec4<u32>, quad: u32) -> vec4f {
  if (KV_DTYPE == 0u) {
    return bitcast<vec4f>(raw);
  }
  let pair = select(raw.xy, raw.zw, quad == 1u);
  if (KV_DTYPE == 1u) {
    return vec4f(unpack2x16float(pair.x), unpack2x16float(pair.y));
  }
  return bitcast<vec4f>(vec4<u32>(pair.x << 16u, pair.x & 0xffff0000u, pair.y << 16u, pair.y & 0xffff0000u));
}

/// A word whose bits `count` and up are set.
fn bits_from(count: u32) -> u32 {
  return select(0xffffffffu << min(count, 31u), 0u, count > 31u);
}

/// Bit i of the result: distance i of a word is below `limit`, which the top bit of the field
/// (limit + top - 1 - distance) tells; no field borrows from the next.
fn marks(word: u32, limit: u32) -> u32 {
  if (DISTANCE_BYTES == 1u) {
    let fields = (0x7f7f7f7fu + min(limit, 128u) * 0x01010101u - word) >> 7u;
    return select(((fields & 0x01010101u) * 0x10204080u) >> 28u, 15u, limit > 128u);
  }
  let fields = (0x7fff7fffu + limit * 0x00010001u - word) >> 15u;
  return (fields & 1u) | ((fields >> 15u) & 2u);
}

/// Tokens of row `row` of the sums in bins before `bin`, and up to it.
fn sums_at(row: u32, bin: u32) -> vec2<u32> {
  let before = select(bin_sums[row * BINS + max(bin, 1u) - 1u], 0u, bin == 0u);
  return vec2<u32>(before, bin_sums[row * BINS + bin]);
}

/// Sums of `value` over the threads before this one, and over all.
fn scan(value: vec2<u32>, thread: u32, lane: u32, lanes: u32) -> vec4<u32> {
  var before = subgroupExclusiveAdd(value);
  workgroupBarrier();
  if (lane == lanes - 1u) {
    subtotals[thread / lanes] = before + value;
  }
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
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
  @builtin(subgroup_invocation_id) subgroup_lane: u32,
  @builtin(subgroup_size) subgroup_lanes: u32,
) {
  let list = wid.z * CODE_HEADS + wid.y;
  let first_row = list * (SHARES + BLOCKS);
  let length = lengths[wid.z];

  // This workgroup's share of the list: ranks [begin, end) in the order of tokens.
  let recent_start = max(min(SINK, length), length - min(RECENT, length));
  let windows = length - recent_start + min(SINK, length);
  let attended = windows + min(select(length / max(SPARSITY, 1u), K_COUNT, SPARSITY == 0u), length - windows);
  let share = (attended + SPLITS - 1u) / SPLITS;
  let begin = min(wid.x * share, attended);
  let end = min(begin + share, attended);

  var newest_bin = 1u;
  for (var i = 0u; i < QUERY_WORDS; i++) { // @unroll
    let word = codes[(list * CAPACITY + length - 1u) * CODE_WORDS + i % CODE_WORDS];
    newest_bin += countOneBits(word ^ query_codes[list * QUERY_WORDS + i]);
  }
  newest_bin = select(newest_bin, 0u, RECENT > 0u || SINK >= length);
  for (var bin = thread; bin < BINS; bin += WORKGROUP) {
    var sum = u32(bin >= newest_bin);
    for (var s = 0u; s < SHARES; s++) { // @unroll
      sum += bin_sums[(first_row + s) * BINS + bin];
    }
    reaching[bin] = sum;
  }
  if (thread == 0u) {
    range = vec2<u32>(0u);
  }
  workgroupBarrier();

  // The cut: the first bin that the list's end falls into.
  for (var bin = thread; bin < BINS; bin += WORKGROUP) {
    let before = select(reaching[max(bin, 1u) - 1u], 0u, bin == 0u);
    if (reaching[bin] >= attended && (before < attended || bin == 0u)) {
      cut = vec2<u32>(bin, before);
    }
  }
  workgroupBarrier();
  let cut_bin = cut.x;
  let ties = attended - min(cut.y, attended);

  // The blocks that hold this share's picks.
  var before_turn = vec2<u32>(0u);
  for (var turn = 0u; turn * BLOCK < length; turn += WORKGROUP) {
    let block = turn + thread;
    let sums = sums_at(first_row + SHARES + min(block, BLOCKS - 1u), cut_bin);
    let is_block = block * BLOCK < length;
    let here = select(vec2<u32>(0u), vec2<u32>(sums.x, sums.y - sums.x), is_block);
    let found = scan(here, thread, subgroup_lane, subgroup_lanes);
    let before = before_turn + found.xy;
    before_turn += found.zw;
    let rank = before.x + min(before.y, ties);
    // The sums lack the newest token.
    let next = select(before.x + here.x + min(before.y + here.y, ties), attended, (block + 1u) * BLOCK >= length);
    if (is_block && rank <= begin && begin < next) {
      range.x = block;
      before_range = before;
    }
    if (is_block && rank < end && end <= next) {
      range.y = block + 1u;
    }
  }
  let blocks = workgroupUniformLoad(&range);

  // Compact: every thread finds the picks among EACH tokens, bit i for token first + i.
  var before_window = before_range;
  for (var window = blocks.x * BLOCK; window < blocks.y * BLOCK; window += WORKGROUP * EACH) {
    let first = window + thread * EACH;
    var nearer = 0u; // in a bin before the cut's
    var reached = 0u; // or in it
    for (var word = 0u; word < WORDS; word++) { // @unroll
      let load = min((first / PER_WORD + word) / 4u, ROW_DISTANCES - 1u);
      let packed = distances[list * ROW_DISTANCES + load][word % 4u];
      nearer |= marks(packed, max(cut_bin, 1u) - 1u) << (word * PER_WORD);
      reached |= marks(packed, cut_bin) << (word * PER_WORD);
    }
    let newest = select(0u, 1u << ((length - 1u - first) % EACH), length - 1u - first < EACH);
    let middle = bits_from(max(first, SINK) - first) & ~bits_from(max(first, recent_start) - first) & ~newest;
    let in_windows = ~(middle | newest | bits_from(max(first, length) - first));
    nearer = (nearer & middle) | select(0u, in_windows, cut_bin > 0u) | select(0u, newest, newest_bin < cut_bin);
    reached = (reached & middle) | in_windows | select(0u, newest, newest_bin <= cut_bin);
    var equal = reached & ~nearer;

    let found = scan(vec2<u32>(countOneBits(nearer), countOneBits(equal)), thread, subgroup_lane, subgroup_lanes);
    let before = before_window + found.xy;
    before_window += found.zw;
    for (var most = ties - min(before.y, ties); countOneBits(equal) > most;) {
      equal &= ~(1u << firstLeadingBit(equal));
    }
    var slot = before.x + min(before.y, ties) - begin;
    for (var picks = nearer | equal; picks != 0u; picks &= picks - 1u) {
      if (slot < end - begin) {
        tokens[slot] = first + firstTrailingBit(picks);
      }
      slot += 1u;
    }
  }
  workgroupBarrier();

  let lane = thread % LANES;
  let row = thread / LANES;
  let first_head = list * QUERIES_PER_LIST;
  var query: array<vec4f, QUERIES_PER_LIST * PARTS>;
  var total: array<vec4f, QUERIES_PER_LIST * PARTS>;
  var highest: array<f32, QUERIES_PER_LIST>;
  var weight: array<f32, QUERIES_PER_LIST>;
  for (var h = 0u; h < QUERIES_PER_LIST; h++) { // @unroll
    highest[h] = LOWEST;
    for (var part = 0u; part < PARTS; part++) { // @unroll
      let at = ((part / QUADS) * LANES + lane) * QUADS + part % QUADS;
      query[h * PARTS + part] = q[(first_head + h) * HEAD_QUADS + at] * (LOG2_E / sqrt(f32(HEAD_DIM)));
    }
  }
  let lane_base = (first_head / GROUP) * CAPACITY * ROW_LOADS + lane;
  for (var tile = begin; tile < end; tile += ROWS * TOKENS) {
    // All loads of the tile are in flight before the first use; past the end the last row repeats.
    var k: array<vec4<u32>, LOADS>;
    var v: array<vec4<u32>, LOADS>;
    for (var load = 0u; load < LOADS; load++) { // @unroll
      let token = tokens[min(tile + (load / CHUNKS) * ROWS + row, end - 1u) - begin];
      k[load] = keys[lane_base + token * ROW_LOADS + (load % CHUNKS) * LANES];
      v[load] = values[lane_base + token * ROW_LOADS + (load % CHUNKS) * LANES];
    }
    for (var h = 0u; h < QUERIES_PER_LIST; h++) { // @unroll
      var logits = array<f32, TOKENS>();
      var peak = highest[h];
      for (var t = 0u; t < TOKENS; t++) { // @unroll
        for (var part = 0u; part < PARTS; part++) { // @unroll
          logits[t] += dot(widen(k[t * CHUNKS + part / QUADS], part % QUADS), query[h * PARTS + part]);
        }
        for (var step = 0u; step < LANE_STEPS; step++) { // @unroll
          logits[t] += subgroupShuffleXor(logits[t], 1u << step);
        }
        logits[t] = select(2.0 * LOWEST, logits[t], tile + t * ROWS + row < end);
        peak = max(peak, logits[t]);
      }
      let fade = exp2(highest[h] - peak);
      highest[h] = peak;
      weight[h] *= fade;
      for (var part = 0u; part < PARTS; part++) { // @unroll
        total[h * PARTS + part] *= fade;
      }
      for (var t = 0u; t < TOKENS; t++) { // @unroll
        let of_token = exp2(logits[t] - peak);
        weight[h] += of_token;
        for (var part = 0u; part < PARTS; part++) { // @unroll
          total[h * PARTS + part] += of_token * widen(v[t * CHUNKS + part / QUADS], part % QUADS);
        }
      }
    }
  }

  // Join the row groups into this split's partial.
  for (var h = 0u; h < QUERIES_PER_LIST; h++) { // @unroll
    for (var part = 0u; part < PARTS; part++) { // @unroll
      scratch[row * HEAD_QUADS + ((part / QUADS) * LANES + lane) * QUADS + part % QUADS] = total[h * PARTS + part];
    }
    stats[row] = vec2f(highest[h], weight[h]);
    workgroupBarrier();
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
      let slot = ((first_head + h) * SPLITS + wid.x) * PARTIAL_QUADS;
      partials[slot + thread] = numerator;
      partials[slot + HEAD_QUADS] = vec4f(peak, denominator, 0.0, 0.0);
    }
    workgroupBarrier();
  }

  // The last workgroup of the list joins the splits, and leaves the counter at zero.
  storageBarrier();
  if (thread == 0u) {
    is_last = u32(atomicAdd(&arrivals[list], 1u) == SPLITS - 1u);
  }
  if (workgroupUniformLoad(&is_last) == 0u) {
    return;
  }
  storageBarrier();
  if (thread == 0u) {
    atomicStore(&arrivals[list], 0u);
  }
  for (var item = thread; item < QUERIES_PER_LIST * HEAD_QUADS; item += WORKGROUP) {
    let first = (first_head + item / HEAD_QUADS) * SPLITS * PARTIAL_QUADS;
    let sink = sink_logits[wid.y * QUERIES_PER_LIST + item / HEAD_QUADS] * LOG2_E;
    var of_split: array<vec4f, SPLITS>;
    var peak = max(sink, LOWEST);
    for (var s = 0u; s < SPLITS; s++) { // @unroll
      of_split[s] = partials[first + s * PARTIAL_QUADS + HEAD_QUADS];
      peak = max(peak, of_split[s].x);
    }
    var denominator = 0.0;
    var numerator = vec4f(0.0);
    for (var s = 0u; s < SPLITS; s++) { // @unroll
      let scale = exp2(of_split[s].x - peak);
      denominator += of_split[s].y * scale;
      numerator += partials[first + s * PARTIAL_QUADS + item % HEAD_QUADS] * scale;
    }
    // A list of no tokens leaves zeros.
    let nothing = denominator == 0.0;
    denominator += select(exp2(sink - peak), 0.0, sink <= LOWEST);
    out[first_head * HEAD_QUADS + item] = select(numerator / denominator, vec4f(0.0), nothing);
  }
}
