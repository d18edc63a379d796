// Select and attend in one dispatch: exact top-k by counting, gathered attention, merge.
// The file is long because it is three stages: counting.wgsl, gather_subgroup.wgsl and merge.wgsl
// tell each on its own.
//
// Dispatch (SPLITS, code heads, batch): every workgroup finds the cut distance of its list from the
// block histograms, then the blocks that hold its equal share of the list, compacts its own tokens
// from their distances into workgroup memory, and attends them: the list never goes to memory, and
// every workgroup gathers the same number of rows. The last workgroup of a list to arrive joins the
// partials: nobody waits. That needs storageBarrier() to order memory for the whole device, as
// naga makes it. Subgroups are consecutive threads, of at least SUBGROUP_MIN and LANES.
// The list: sink, middle tokens nearer than the cut and the first at it (ties: lower index), recent.
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
const BLOCK: u32 = 2048u; // @param tokens per histogram
const NEWEST: u32 = 0u; // @param 1 if the newest token is in neither distances nor histograms
const SUBGROUP_MIN: u32 = 4u; // @param smallest subgroup of the device
const WORKGROUP: u32 = 256u; // @param
const LANES: u32 = 4u; // @param threads per row
const TOKENS: u32 = 2u; // @param rows in flight per thread
const SPLITS: u32 = 16u; // @param

const BINS = BITS * QUERIES_PER_LIST + 1u;
const CODE_WORDS = BITS / 32u;
const QUERY_WORDS = QUERIES_PER_LIST * CODE_WORDS;
const BINS_EACH = (BINS + WORKGROUP - 1u) / WORKGROUP;
const BLOCKS = (CAPACITY + BLOCK - 1u) / BLOCK;
const ENTRIES = BLOCKS * BINS;
const ENTRIES_EACH = (ENTRIES + WORKGROUP - 1u) / WORKGROUP;
const EACH = 32u; // consecutive tokens that a thread compacts
const WINDOW = WORKGROUP * EACH;
const PER_LOAD = 16u / DISTANCE_BYTES; // distances in a 16-byte load
const DISTANCE_LOADS = EACH / PER_LOAD;
const ROW_DISTANCES = CAPACITY / PER_LOAD; // loads in a row of distances
const MASK = (1u << (8u * DISTANCE_BYTES)) - 1u;
const SHARE = (LIST_CAPACITY + SPLITS - 1u) / SPLITS;
const MOST_SUBGROUPS = WORKGROUP / SUBGROUP_MIN;

const WIDTH = 4u + 4u * u32(KV_DTYPE != 0u); // values of a 16-byte load
const QUADS = WIDTH / 4u; // vec4f of a load
const ROW_LOADS = HEAD_DIM / WIDTH;
const CHUNKS = ROW_LOADS / LANES; // loads of a row per thread
const PARTS = CHUNKS * QUADS; // vec4f of a row per thread
const ROWS = WORKGROUP / LANES; // row groups
const TILE = ROWS * TOKENS;
const LOGITS = TOKENS * QUERIES_PER_LIST;
const LANE_STEPS = u32(LANES > 1u) + u32(LANES > 2u) + u32(LANES > 4u) + u32(LANES > 8u) + u32(LANES > 16u);
const LOADS = TOKENS * CHUNKS;
const HEAD_QUADS = HEAD_DIM / 4u;
const PARTIAL_QUADS = HEAD_QUADS + 1u; // the numerators, then (maximum, denominator, 0, 0)
const SLICES = WORKGROUP / HEAD_QUADS; // of the splits, when partials are joined
const ROUNDS = (SPLITS + SLICES - 1u) / SLICES;
const LOWEST = -1e30;
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

var<workgroup> in_all: array<atomic<u32>, BINS>;
var<workgroup> nearer_in: array<atomic<u32>, BLOCKS>;
var<workgroup> equal_in: array<atomic<u32>, BLOCKS>;
var<workgroup> before_block: array<vec2<u32>, BLOCKS>; // nearer and equal tokens
var<workgroup> subtotals: array<vec2<u32>, MOST_SUBGROUPS>;
var<workgroup> cut: u32;
var<workgroup> nearer_in_all: u32;
var<workgroup> first_block: atomic<u32>;
var<workgroup> end_block: atomic<u32>;
var<workgroup> blocks: vec2<u32>;
var<workgroup> carry: array<vec2<u32>, 2>; // nearer and equal tokens before a window, in turn
var<workgroup> tokens: array<u32, SHARE>;
var<workgroup> scratch: array<vec4f, max(ROWS, SLICES) * HEAD_QUADS>;
var<workgroup> stats: array<vec2f, max(ROWS, SLICES) * QUERIES_PER_LIST>;
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

/// Sums of `value` over the threads before this one.
fn exclusive_scan(value: vec2<u32>, thread: u32, lane: u32, lanes: u32) -> vec2<u32> {
  var sum = subgroupExclusiveAdd(value);
  workgroupBarrier();
  if (lane == lanes - 1u) {
    subtotals[thread / lanes] = sum + value;
  }
  workgroupBarrier();
  // @unroll
  for (var i = 0u; i < MOST_SUBGROUPS; i++) {
    if (i < thread / lanes) {
      sum += subtotals[i];
    }
  }
  return sum;
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
  @builtin(subgroup_invocation_id) subgroup_lane: u32,
  @builtin(subgroup_size) subgroup_lanes: u32,
) {
  let list = wid.z * CODE_HEADS + wid.y;
  let length = lengths[wid.z];

  // All block histograms of the list, a few entries to a thread.
  let entries = (length + BLOCK - 1u) / BLOCK * BINS;
  var counts: array<u32, ENTRIES_EACH>;
  // @unroll
  for (var e = 0u; e < ENTRIES_EACH; e++) {
    let at = e * WORKGROUP + thread;
    counts[e] = select(0u, block_histograms[list * ENTRIES + min(at, ENTRIES - 1u)], at < entries);
  }

  // The newest token's distance, where it was encoded while the others were scored.
  var newest_distance = 0u;
  if (NEWEST == 1u) {
    // @unroll
    for (var i = 0u; i < QUERY_WORDS; i++) {
      let word = codes[(list * CAPACITY + length - 1u) * CODE_WORDS + i % CODE_WORDS];
      newest_distance += countOneBits(word ^ query_codes[list * QUERY_WORDS + i]);
    }
  }

  let lane = thread % LANES;
  let row = thread / LANES;
  let first_head = list * QUERIES_PER_LIST;
  var query: array<vec4f, QUERIES_PER_LIST * PARTS>;
  var total: array<vec4f, QUERIES_PER_LIST * PARTS>;
  var highest: array<f32, QUERIES_PER_LIST>;
  var weight: array<f32, QUERIES_PER_LIST>;
  // @unroll
  for (var h = 0u; h < QUERIES_PER_LIST; h++) {
    highest[h] = LOWEST;
    weight[h] = 0.0;
    // @unroll
    for (var part = 0u; part < PARTS; part++) {
      let at = ((part / QUADS) * LANES + lane) * QUADS + part % QUADS;
      query[h * PARTS + part] = q[(first_head + h) * HEAD_QUADS + at] * (LOG2_E / sqrt(f32(HEAD_DIM)));
      total[h * PARTS + part] = vec4f(0.0);
    }
  }

  // This workgroup's share of the list: ranks [begin, begin + count).
  let sink_end = min(SINK, length);
  let recent_start = max(sink_end, length - min(RECENT, length));
  var k_middle = K_COUNT;
  if (SPARSITY != 0u) {
    k_middle = length / max(SPARSITY, 1u);
  }
  k_middle = min(k_middle, recent_start - sink_end);
  let attended = sink_end + k_middle + length - recent_start;
  let share = (attended + SPLITS - 1u) / SPLITS;
  let begin = min(wid.x * share, attended);
  let end = min(begin + share, attended);
  let count = end - begin;

  for (var bin = thread; bin < BINS; bin += WORKGROUP) {
    atomicStore(&in_all[bin], 0u);
  }
  for (var block = thread; block < BLOCKS; block += WORKGROUP) {
    atomicStore(&nearer_in[block], 0u);
    atomicStore(&equal_in[block], 0u);
  }
  if (thread == 0u) {
    cut = 0u;
    nearer_in_all = 0u;
    atomicStore(&first_block, BLOCKS);
    atomicStore(&end_block, 0u);
  }
  let adds_newest = NEWEST == 1u && thread == 0u && recent_start == length && sink_end < length;
  // Ranks outside the middle are known without looking.
  for (var rank = begin + thread; rank < end; rank += WORKGROUP) {
    if (rank < sink_end) {
      tokens[rank - begin] = rank;
    } else if (rank >= sink_end + k_middle) {
      tokens[rank - begin] = recent_start + rank - sink_end - k_middle;
    }
  }
  workgroupBarrier();
  // @unroll
  for (var e = 0u; e < ENTRIES_EACH; e++) {
    if (counts[e] > 0u) {
      atomicAdd(&in_all[(e * WORKGROUP + thread) % BINS], counts[e]);
    }
  }
  if (adds_newest) {
    atomicAdd(&in_all[newest_distance], 1u);
  }
  workgroupBarrier();

  // The cut: the first bin up to which there are k tokens.
  var mine = vec2<u32>(0u);
  // @unroll
  for (var b = 0u; b < BINS_EACH; b++) {
    let bin = thread * BINS_EACH + b;
    if (bin < BINS) {
      mine.x += atomicLoad(&in_all[bin]);
    }
  }
  var below = exclusive_scan(mine, thread, subgroup_lane, subgroup_lanes).x;
  // @unroll
  for (var b = 0u; b < BINS_EACH; b++) {
    let bin = thread * BINS_EACH + b;
    if (bin < BINS) {
      let here = atomicLoad(&in_all[bin]);
      if (below < k_middle && k_middle <= below + here) {
        cut = bin;
        nearer_in_all = below;
      }
      below += here;
    }
  }
  workgroupBarrier();
  let cut_at = cut;
  let ties = k_middle - nearer_in_all;
  // @unroll
  for (var e = 0u; e < ENTRIES_EACH; e++) {
    let at = e * WORKGROUP + thread;
    if (counts[e] > 0u && at % BINS < cut_at) {
      atomicAdd(&nearer_in[at / BINS], counts[e]);
    }
    if (counts[e] > 0u && at % BINS == cut_at) {
      atomicAdd(&equal_in[at / BINS], counts[e]);
    }
  }
  if (adds_newest && newest_distance < cut_at) {
    atomicAdd(&nearer_in[(length - 1u) / BLOCK], 1u);
  }
  if (adds_newest && newest_distance == cut_at) {
    atomicAdd(&equal_in[(length - 1u) / BLOCK], 1u);
  }
  workgroupBarrier();

  // The blocks that hold this share's picks: ranks [low, high) of the middle.
  let low = max(begin, sink_end) - sink_end;
  let high = clamp(end, sink_end, sink_end + k_middle) - sink_end;
  mine = vec2<u32>(0u);
  if (thread < BLOCKS) {
    mine = vec2<u32>(atomicLoad(&nearer_in[thread]), atomicLoad(&equal_in[thread]));
  }
  let before = exclusive_scan(mine, thread, subgroup_lane, subgroup_lanes);
  if (thread < BLOCKS) {
    before_block[thread] = before;
    let start = before.x + min(before.y, ties);
    let stop = before.x + mine.x + min(before.y + mine.y, ties);
    if (start < high && stop > low && start < stop) {
      atomicMin(&first_block, thread);
      atomicMax(&end_block, thread + 1u);
    }
  }
  workgroupBarrier();
  if (thread == 0u) {
    blocks = vec2<u32>(atomicLoad(&first_block), atomicLoad(&end_block));
  }
  let range = workgroupUniformLoad(&blocks);

  if (thread == 0u) {
    carry[0] = before_block[min(range.x, BLOCKS - 1u)];
  }
  var turn = 0u;
  for (var window = range.x * BLOCK; window < range.y * BLOCK; window += WINDOW) {
    let first = window + thread * EACH;
    var nearer = 0u; // bit i: token first + i
    var equal = 0u;
    // @unroll
    for (var load = 0u; load < DISTANCE_LOADS; load++) {
      let packed = distances[list * ROW_DISTANCES + min(first / PER_LOAD + load, ROW_DISTANCES - 1u)];
      // @unroll
      for (var i = 0u; i < PER_LOAD; i++) {
        let distance = (packed[i * DISTANCE_BYTES / 4u] >> (i * DISTANCE_BYTES % 4u * 8u)) & MASK;
        nearer |= u32(distance < cut_at) << (load * PER_LOAD + i);
        equal |= u32(distance == cut_at) << (load * PER_LOAD + i);
      }
    }
    if (NEWEST == 1u && length - 1u - first < EACH) {
      let newest = 1u << (length - 1u - first);
      nearer = select(nearer & ~newest, nearer | newest, newest_distance < cut_at);
      equal = select(equal & ~newest, equal | newest, newest_distance == cut_at);
    }
    let middle = bits_from(max(first, sink_end) - first) & ~bits_from(max(first, recent_start) - first);
    nearer &= middle;
    equal &= middle;
    let found = vec2<u32>(countOneBits(nearer), countOneBits(equal));
    var rank = exclusive_scan(found, thread, subgroup_lane, subgroup_lanes) + carry[turn];
    for (var left = nearer | equal; left != 0u; left &= left - 1u) {
      let here = firstTrailingBit(left);
      let is_nearer = (nearer >> here) & 1u;
      let at = rank.x + min(rank.y, ties);
      if ((is_nearer == 1u || rank.y < ties) && at >= low && at < high) {
        tokens[sink_end + at - begin] = first + here;
      }
      rank += vec2<u32>(is_nearer, 1u - is_nearer);
    }
    turn = 1u - turn;
    if (thread == WORKGROUP - 1u) {
      carry[turn] = rank;
    }
  }
  workgroupBarrier();

  let lane_base = (first_head / GROUP) * CAPACITY * ROW_LOADS + lane;
  for (var tile = 0u; tile < count; tile += TILE) {
    // All loads of the tile are in flight before the first use; past the end the last row repeats.
    var k: array<vec4<u32>, LOADS>;
    var v: array<vec4<u32>, LOADS>;
    // @unroll
    for (var load = 0u; load < LOADS; load++) {
      let token = tokens[min(tile + (load / CHUNKS) * ROWS + row, count - 1u)];
      k[load] = keys[lane_base + token * ROW_LOADS + (load % CHUNKS) * LANES];
      v[load] = values[lane_base + token * ROW_LOADS + (load % CHUNKS) * LANES];
    }

    var logits = array<f32, LOGITS>();
    // @unroll
    for (var t = 0u; t < TOKENS; t++) {
      // @unroll
      for (var part = 0u; part < PARTS; part++) {
        let piece = widen(k[t * CHUNKS + part / QUADS], part % QUADS);
        // @unroll
        for (var h = 0u; h < QUERIES_PER_LIST; h++) {
          logits[t * QUERIES_PER_LIST + h] += dot(piece, query[h * PARTS + part]);
        }
      }
    }
    // @unroll
    for (var i = 0u; i < LOGITS; i++) {
      // @unroll
      for (var step = 0u; step < LANE_STEPS; step++) {
        logits[i] += subgroupShuffleXor(logits[i], 1u << step);
      }
    }

    // @unroll
    for (var h = 0u; h < QUERIES_PER_LIST; h++) {
      var peak = highest[h];
      // @unroll
      for (var t = 0u; t < TOKENS; t++) {
        let inside = tile + t * ROWS + row < count;
        logits[t * QUERIES_PER_LIST + h] = select(LOWEST, logits[t * QUERIES_PER_LIST + h], inside);
        peak = max(peak, logits[t * QUERIES_PER_LIST + h]);
      }
      let fade = exp2(highest[h] - peak);
      highest[h] = peak;
      weight[h] *= fade;
      // @unroll
      for (var part = 0u; part < PARTS; part++) {
        total[h * PARTS + part] *= fade;
      }
      // @unroll
      for (var t = 0u; t < TOKENS; t++) {
        let inside = tile + t * ROWS + row < count;
        let share_of = select(0.0, exp2(logits[t * QUERIES_PER_LIST + h] - peak), inside);
        weight[h] += share_of;
        // @unroll
        for (var part = 0u; part < PARTS; part++) {
          total[h * PARTS + part] += share_of * widen(v[t * CHUNKS + part / QUADS], part % QUADS);
        }
      }
    }
  }

  // Join the row groups into this split's partial.
  if (lane == 0u) {
    // @unroll
    for (var h = 0u; h < QUERIES_PER_LIST; h++) {
      stats[row * QUERIES_PER_LIST + h] = vec2f(highest[h], weight[h]);
    }
  }
  workgroupBarrier();
  // @unroll
  for (var h = 0u; h < QUERIES_PER_LIST; h++) {
    var peak = LOWEST;
    // @unroll
    for (var r = 0u; r < ROWS; r++) {
      peak = max(peak, stats[r * QUERIES_PER_LIST + h].x);
    }
    let fade = exp2(highest[h] - peak);
    // @unroll
    for (var part = 0u; part < PARTS; part++) {
      let at = ((part / QUADS) * LANES + lane) * QUADS + part % QUADS;
      scratch[row * HEAD_QUADS + at] = total[h * PARTS + part] * fade;
    }
    workgroupBarrier();
    let slot = ((first_head + h) * SPLITS + wid.x) * PARTIAL_QUADS;
    for (var column = thread; column < HEAD_QUADS; column += WORKGROUP) {
      var sum = vec4f(0.0);
      // @unroll
      for (var r = 0u; r < ROWS; r++) {
        sum += scratch[r * HEAD_QUADS + column];
      }
      partials[slot + column] = sum;
    }
    if (thread == 0u) {
      var denominator = 0.0;
      // @unroll
      for (var r = 0u; r < ROWS; r++) {
        denominator += stats[r * QUERIES_PER_LIST + h].y * exp2(stats[r * QUERIES_PER_LIST + h].x - peak);
      }
      partials[slot + HEAD_QUADS] = vec4f(peak, denominator, 0.0, 0.0);
    }
    workgroupBarrier();
  }

  // The last workgroup of the list joins the splits, and leaves the counter at zero.
  storageBarrier();
  if (thread == 0u) {
    is_last = 0u;
    if (atomicAdd(&arrivals[list], 1u) == SPLITS - 1u) {
      is_last = 1u;
      atomicStore(&arrivals[list], 0u);
    }
  }
  if (workgroupUniformLoad(&is_last) == 0u) {
    return;
  }
  storageBarrier();
  let column = thread % HEAD_QUADS;
  let slice = thread / HEAD_QUADS;
  // @unroll
  for (var h = 0u; h < QUERIES_PER_LIST; h++) {
    highest[h] = LOWEST;
    weight[h] = 0.0;
    total[h] = vec4f(0.0);
    // @unroll
    for (var round = 0u; round < ROUNDS; round++) {
      let split = round * SLICES + slice;
      let slot = ((first_head + h) * SPLITS + min(split, SPLITS - 1u)) * PARTIAL_QUADS;
      let part = partials[slot + column];
      let of_split = partials[slot + HEAD_QUADS];
      let peak = max(highest[h], select(LOWEST, of_split.x, split < SPLITS));
      let fade = exp2(highest[h] - peak);
      let scale = select(0.0, exp2(of_split.x - peak), split < SPLITS);
      highest[h] = peak;
      weight[h] = weight[h] * fade + of_split.y * scale;
      total[h] = total[h] * fade + part * scale;
    }
  }
  // @unroll
  for (var h = 0u; h < QUERIES_PER_LIST; h++) {
    if (slice < SLICES) {
      scratch[thread] = total[h];
      stats[slice] = vec2f(highest[h], weight[h]);
    }
    workgroupBarrier();
    if (slice == 0u) {
      let sink = sink_logits[wid.y * QUERIES_PER_LIST + h] * LOG2_E;
      var peak = sink;
      // @unroll
      for (var s = 0u; s < SLICES; s++) {
        peak = max(peak, stats[s].x);
      }
      var attended = 0.0;
      var numerator = vec4f(0.0);
      // @unroll
      for (var s = 0u; s < SLICES; s++) {
        let scale = exp2(stats[s].x - peak);
        attended += stats[s].y * scale;
        numerator += scratch[s * HEAD_QUADS + column] * scale;
      }
      let denominator = attended + select(exp2(sink - peak), 0.0, sink <= LOWEST);
      out[(first_head + h) * HEAD_QUADS + column] = select(vec4f(0.0), numerator / denominator, attended > 0.0 || attended != attended);
    }
    workgroupBarrier();
  }
}
