// Select and attend in one dispatch, for lists that query heads share: exact top-k by counting,
// gathered attention, merge.
//
// Dispatch (SPLITS, code heads, batch): every workgroup finds the cut of its list from the totals
// that the score left (see encode_score_group.wgsl), then, from two ranks of every block, the blocks
// that hold its equal share of the list; it compacts its own tokens into workgroup memory and attends
// them for all heads of the list, so the list never goes to memory. The last workgroup of a list to
// arrive joins the partials and zeroes the totals: nobody waits. That needs storageBarrier() to order
// memory for the whole device, as naga makes it. The list: windows, tokens nearer than the cut and
// the first at it (ties: lower index). The newest token is in neither ranks nor distances.
// Subgroups are consecutive threads, of at least SUBGROUP_MIN and LANES. Logits are in log2 units.
const HEAD_DIM: u32 = 128u; // @param
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

const LAST = BITS * QUERIES_PER_LIST; // the largest distance
const BINS = LAST + 1u;
const BIN_TURNS = (BINS + WORKGROUP - 1u) / WORKGROUP;
const RANK_WORDS = (BINS + 1u) / 2u; // of a block's row
const CODE_WORDS = BITS / 32u;
const QUERY_WORDS = QUERIES_PER_LIST * CODE_WORDS;
const BLOCKS = (CAPACITY + BLOCK - 1u) / BLOCK;
const PER_WORD = 4u / DISTANCE_BYTES; // distances in a word
const DISTANCE_LOADS = 8u / PER_WORD; // of the 32 distances that a thread looks at
const ROW_DISTANCES = CAPACITY / PER_WORD / 4u; // loads of a list's distances
const MOST_SUBGROUPS = WORKGROUP / SUBGROUP_MIN;
const WIDTH = 4u + 4u * u32(KV_DTYPE != 0u); // values of a 16-byte load
const QUADS = WIDTH / 4u; // vec4f of a load
const ROW_LOADS = HEAD_DIM / WIDTH;
const CHUNKS = ROW_LOADS / LANES; // loads of a row per thread
const PARTS = CHUNKS * QUADS; // vec4f of a row per thread
const ROWS = WORKGROUP / LANES; // row groups
const LANE_STEPS = u32(LANES > 1u) + u32(LANES > 2u) + u32(LANES > 4u) + u32(LANES > 8u) + u32(LANES > 16u);
const LOADS = TOKENS * CHUNKS;
const LOGITS = TOKENS * QUERIES_PER_LIST;
const HEAD_QUADS = HEAD_DIM / 4u;
const PARTIAL_QUADS = HEAD_QUADS + 1u; // the numerators, then (maximum, denominator, 0, 0)
const JOIN_TURNS = (QUERIES_PER_LIST + TOGETHER - 1u) / TOGETHER;
const COLUMNS = QUERIES_PER_LIST * HEAD_QUADS; // of the list's outputs
const SLICES = max(WORKGROUP / COLUMNS, 1u); // of the splits, when partials are joined
const AT_ONCE = WORKGROUP / SLICES; // columns
const ROUNDS = (SPLITS + SLICES - 1u) / SLICES;
const LOWEST = -1e30; // below it: a token that is not there
const LOG2_E = 1.4426950408889634;
const TWO = 2u;
const FOUR = 4u;

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read> q: array<vec4f>;
@group(0) @binding(2) var<storage, read> keys: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> values: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read> sink_logits: array<f32>;
@group(0) @binding(5) var<storage, read> distances: array<vec4<u32>>;
@group(0) @binding(6) var<storage, read> block_ranks: array<u32>;
@group(0) @binding(7) var<storage, read> query_codes: array<u32>;
@group(0) @binding(8) var<storage, read> newest_codes: array<u32>;
@group(0) @binding(9) var<storage, read_write> rank_totals: array<atomic<u32>>;
@group(0) @binding(10) var<storage, read_write> partials: array<vec4f>;
@group(0) @binding(11) var<storage, read_write> out: array<vec4f>;

var<workgroup> newest_distance: atomic<u32>;
var<workgroup> cuts: array<u32, 2>; // the cut's bin if the newest token is before it, and if it is past it
var<workgroup> range: vec2<u32>; // none, or the first block of this share, and the end of its last
var<workgroup> before_range: vec2<u32>; // tokens before the cut's bin, and in it
var<workgroup> subtotals: array<vec2<u32>, MOST_SUBGROUPS>;
var<workgroup> tokens: array<u32, (LIST_CAPACITY + SPLITS - 1u) / SPLITS>;
var<workgroup> scratch: array<vec4f, max(TOGETHER * ROWS * HEAD_QUADS, WORKGROUP)>;
var<workgroup> stats: array<vec2f, max(TOGETHER * ROWS, WORKGROUP)>;
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

/// Bit i of the result: distance i of a word is below `limit`, which the top bit of the field
/// (limit + top - 1 - distance) tells; no field borrows from the next.
fn marks(word: u32, limit: u32) -> u32 {
  // Distances of 8 bits are spread to 16, the even ones and the odd ones.
  let wide = 0x7fff7fffu + limit * 0x00010001u;
  let even = (wide - select(word, word & 0x00ff00ffu, DISTANCE_BYTES == 1u)) >> 15u;
  if (DISTANCE_BYTES == 2u) { return (even & 1u) | ((even >> 15u) & 2u); }
  let odd = (wide - ((word >> 8u) & 0x00ff00ffu)) >> 15u;
  return (even & 1u) | ((even >> 14u) & 4u) | ((odd & 1u) << 1u) | ((odd >> 13u) & 8u);
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

/// A softmax over some of the tokens: the highest logit, and sums relative to it.
struct Softmax { peak: f32, denominator: f32, numerator: vec4f }

fn join(a: Softmax, b: Softmax) -> Softmax {
  let peak = max(a.peak, b.peak);
  let fade_a = exp2(a.peak - peak);
  let fade_b = exp2(b.peak - peak);
  return Softmax(peak, a.denominator * fade_a + b.denominator * fade_b, a.numerator * fade_a + b.numerator * fade_b);
}

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
    totals[i].y = atomicLoad(&rank_totals[list * (BINS + 1u) + bin]);
    totals[i].x = atomicLoad(&rank_totals[list * (BINS + 1u) + max(bin, 1u) - 1u]);
  }
  if (thread < QUERY_WORDS) {
    let word = query_codes[list * QUERY_WORDS + thread] ^ newest_codes[list * CODE_WORDS + thread % CODE_WORDS];
    atomicAdd(&newest_distance, countOneBits(word));
  }
  let length = lengths[wid.z];
  var query: array<vec4f, QUERIES_PER_LIST * PARTS>;
  for (var h = 0u; h < QUERIES_PER_LIST; h++) { // @unroll
    for (var part = 0u; part < PARTS; part++) { // @unroll
      let at = ((part / QUADS) * LANES + lane) * QUADS + part % QUADS;
      query[h * PARTS + part] = q[(first_head + h) * HEAD_QUADS + at] * (LOG2_E / sqrt(f32(HEAD_DIM)));
    }
  }

  // This workgroup's share of the list: ranks [begin, end) in the order of tokens.
  let sink_end = min(SINK, length);
  let recent_start = max(sink_end, length - min(RECENT, length));
  let k = min(select(length / max(SPARSITY, 1u), K_COUNT, SPARSITY == 0u), recent_start - sink_end);
  let in_windows = sink_end + length - recent_start;
  let share = (in_windows + k + SPLITS - 1u) / SPLITS;
  let begin = min(wid.x * share, in_windows + k);
  let end = min(begin + share, in_windows + k);
  // The cut: the first bin up to which there are k tokens, the last if no other. The newest token
  // can only bring it nearer: to the first bin with one less, or to its own if that comes after.
  for (var i = 0u; i < BIN_TURNS; i++) { // @unroll
    let bin = i * WORKGROUP + thread;
    for (var less = 0u; less < TWO; less++) { // @unroll
      let wanted = k - min(k, 1u - less);
      let starts = bin == 0u || totals[i].x < wanted;
      if (starts && (bin == LAST || (bin < LAST && totals[i].y >= wanted))) { cuts[less] = bin; }
    }
  }
  workgroupBarrier();
  let newest_bin = select(BINS, atomicLoad(&newest_distance), recent_start == length && sink_end < length);
  let cut_bin = clamp(newest_bin, cuts[0], cuts[1]);

  // The blocks that hold this share's picks.
  var here = vec2<u32>(0u); // nearer than the cut, or in a window; at the cut
  if (thread < BLOCKS && thread * BLOCK < length) {
    let ranks = (list * BLOCKS + thread) * RANK_WORDS;
    let nearer_word = block_ranks[ranks + (max(cut_bin, 1u) - 1u) / 2u];
    let upto = (block_ranks[ranks + cut_bin / 2u] >> (16u * (cut_bin % 2u))) & 0xffffu;
    here.x = select(0u, (nearer_word >> (16u * ((cut_bin + 1u) % 2u))) & 0xffffu, cut_bin > 0u);
    here.y = upto - here.x;
    let is_there = (length - 1u) / BLOCK == thread;
    here += vec2<u32>(u32(is_there && newest_bin < cut_bin), u32(is_there && newest_bin == cut_bin));
    let first = thread * BLOCK;
    let after = min(first + BLOCK, length);
    here.x += max(min(after, sink_end), first) - first + after - clamp(recent_start, first, after);
  }
  let placed = scan(here, thread, subgroup_lane, subgroup_lanes);
  let ties = k - min(placed.z - in_windows, k);
  let rank = placed.x + min(placed.y, ties);
  let next = placed.x + here.x + min(placed.y + here.y, ties);
  if (rank <= begin && begin < next) {
    range.x = thread;
    before_range = placed.xy;
  }
  if (rank < end && end <= next) { range.y = thread + 1u; }
  let blocks = workgroupUniformLoad(&range);

  // Compact: bit i is token first + i.
  var before_window = before_range;
  for (var window = blocks.x * BLOCK; window < blocks.y * BLOCK; window += WORKGROUP * 32u) {
    let first = window + thread * 32u;
    var nearer = 0u; // than the cut
    var equal = 0u;
    for (var load = 0u; load < DISTANCE_LOADS; load++) { // @unroll
      let packed = distances[list * ROW_DISTANCES + min(first / PER_WORD / 4u + load, ROW_DISTANCES - 1u)];
      for (var word = 0u; word < FOUR; word++) { // @unroll
        nearer |= marks(packed[word], cut_bin) << (PER_WORD * (4u * load + word));
        equal |= marks(packed[word], cut_bin + 1u) << (PER_WORD * (4u * load + word));
      }
    }
    let newest = select(0u, 1u << ((length - 1u - first) % 32u), length - 1u - first < 32u);
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

  var highest: array<f32, QUERIES_PER_LIST>;
  var weight = array<f32, QUERIES_PER_LIST>();
  var total = array<vec4f, QUERIES_PER_LIST * PARTS>();
  for (var h = 0u; h < QUERIES_PER_LIST; h++) { // @unroll
    highest[h] = LOWEST;
  }
  let lane_base = first_head / GROUP * CAPACITY * ROW_LOADS + lane;
  for (var tile = begin; tile < end; tile += ROWS * TOKENS) {
    var keys_here: array<vec4<u32>, LOADS>; // past the end the last row repeats
    var values_here: array<vec4<u32>, LOADS>;
    for (var load = 0u; load < LOADS; load++) { // @unroll
      let token = tokens[min(tile + (load / CHUNKS) * ROWS + row, end - 1u) - begin];
      keys_here[load] = keys[lane_base + token * ROW_LOADS + (load % CHUNKS) * LANES];
      values_here[load] = values[lane_base + token * ROW_LOADS + (load % CHUNKS) * LANES];
    }
    var logits = array<f32, LOGITS>();
    for (var t = 0u; t < TOKENS; t++) { // @unroll
      for (var part = 0u; part < PARTS; part++) { // @unroll
        let piece = widen(keys_here[t * CHUNKS + part / QUADS], part % QUADS);
        for (var h = 0u; h < QUERIES_PER_LIST; h++) { // @unroll
          logits[t * QUERIES_PER_LIST + h] += dot(piece, query[h * PARTS + part]);
        }
      }
    }
    for (var i = 0u; i < LOGITS; i++) { // @unroll
      for (var step = 0u; step < LANE_STEPS; step++) { // @unroll
        logits[i] += subgroupShuffleXor(logits[i], 1u << step);
      }
      logits[i] = select(2.0 * LOWEST, logits[i], tile + i / QUERIES_PER_LIST * ROWS + row < end);
    }
    for (var h = 0u; h < QUERIES_PER_LIST; h++) { // @unroll
      var peak = highest[h];
      for (var t = 0u; t < TOKENS; t++) { // @unroll
        peak = max(peak, logits[t * QUERIES_PER_LIST + h]);
      }
      let fade = exp2(highest[h] - peak);
      highest[h] = peak;
      weight[h] *= fade;
      for (var part = 0u; part < PARTS; part++) { // @unroll
        total[h * PARTS + part] *= fade;
      }
      for (var t = 0u; t < TOKENS; t++) { // @unroll
        let of_token = exp2(logits[t * QUERIES_PER_LIST + h] - peak);
        weight[h] += of_token;
        for (var part = 0u; part < PARTS; part++) { // @unroll
          total[h * PARTS + part] += of_token * widen(values_here[t * CHUNKS + part / QUADS], part % QUADS);
        }
      }
    }
  }
  // Join the row groups into this split's partials.
  for (var turn = 0u; turn < JOIN_TURNS; turn++) { // @unroll
    for (var i = 0u; i < TOGETHER; i++) { // @unroll
      let h = min(turn * TOGETHER + i, QUERIES_PER_LIST - 1u);
      for (var part = 0u; part < PARTS; part++) { // @unroll
        let at = ((part / QUADS) * LANES + lane) * QUADS + part % QUADS;
        scratch[(i * ROWS + row) * HEAD_QUADS + at] = total[h * PARTS + part];
      }
      stats[i * ROWS + row] = vec2f(highest[h], weight[h]);
    }
    workgroupBarrier();
    for (var column = thread; column < min(TOGETHER, QUERIES_PER_LIST - turn * TOGETHER) * HEAD_QUADS; column += WORKGROUP) {
      let i = column / HEAD_QUADS * ROWS;
      var sum = Softmax(LOWEST, 0.0, vec4f(0.0));
      for (var r = 0u; r < ROWS; r++) { // @unroll
        sum.peak = max(sum.peak, stats[i + r].x);
      }
      for (var r = 0u; r < ROWS; r++) { // @unroll
        let scale = exp2(stats[i + r].x - sum.peak);
        sum.denominator += stats[i + r].y * scale;
        sum.numerator += scratch[(i + r) * HEAD_QUADS + column % HEAD_QUADS] * scale;
      }
      let slot = ((first_head + turn * TOGETHER + column / HEAD_QUADS) * SPLITS + wid.x) * PARTIAL_QUADS;
      partials[slot + column % HEAD_QUADS] = sum.numerator;
      partials[slot + HEAD_QUADS] = vec4f(sum.peak, sum.denominator, 0.0, 0.0);
    }
    workgroupBarrier();
  }

  // The last workgroup of the list joins the splits, and leaves totals and arrivals at zero.
  storageBarrier();
  if (thread == 0u) { is_last = u32(atomicAdd(&rank_totals[list * (BINS + 1u) + BINS], 1u) == SPLITS - 1u); }
  if (workgroupUniformLoad(&is_last) == 0u) { return; }
  storageBarrier();
  for (var bin = thread; bin < BINS + 1u; bin += WORKGROUP) {
    atomicStore(&rank_totals[list * (BINS + 1u) + bin], 0u);
  }
  let slice = thread / AT_ONCE;
  for (var turn = 0u; turn < COLUMNS; turn += AT_ONCE) {
    let column = turn + thread % AT_ONCE;
    let head = first_head + min(column, COLUMNS - 1u) / HEAD_QUADS;
    var sum = Softmax(LOWEST, 0.0, vec4f(0.0));
    for (var round = 0u; round < ROUNDS; round++) { // @unroll
      let split = round * SLICES + slice;
      let slot = (head * SPLITS + min(split, SPLITS - 1u)) * PARTIAL_QUADS;
      let stat = partials[slot + HEAD_QUADS];
      let of_split = Softmax(stat.x, stat.y, partials[slot + column % HEAD_QUADS]);
      if (split < SPLITS) { sum = join(sum, of_split); }
    }
    scratch[thread] = sum.numerator;
    stats[thread] = vec2f(sum.peak, sum.denominator);
    workgroupBarrier();
    if (slice == 0u && column < COLUMNS) {
      for (var at = thread + AT_ONCE; at < SLICES * AT_ONCE; at += AT_ONCE) {
        sum = join(sum, Softmax(stats[at].x, stats[at].y, scratch[at]));
      }
      let sink = sink_logits[head % (CODE_HEADS * QUERIES_PER_LIST)] * LOG2_E;
      let peak = max(sum.peak, sink);
      let scale = exp2(sum.peak - peak);
      let denominator = sum.denominator * scale + select(exp2(sink - peak), 0.0, sink <= LOWEST);
      out[first_head * HEAD_QUADS + column] = select(sum.numerator * scale / denominator, vec4f(0.0), sum.denominator == 0.0);
    }
    workgroupBarrier();
  }
}
