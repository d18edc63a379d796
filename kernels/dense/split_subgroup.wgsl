// Dense decode attention, split over the KV axis (FlashDecoding), GQA group packed.
//
// Dispatch (SPLITS, lists, batch): a list is HEADS query heads of one KV head, all of its group or,
// where registers run short, a part of it. A workgroup reads its share of the K and V once for them
// and leaves one unnormalised partial per query head; lists of the same KV head read side by side, so
// that memory is read once. HAND_OVER says who joins the partials of a list:
//   0  a dispatch of its own (merge/join_splits.wgsl): all that WGSL guarantees;
//   1  the last workgroup to arrive, over plain memory: nobody waits and no dispatch is paid, but
//      storageBarrier() has to order memory for the whole device, as naga's SPIR-V makes it;
//   2  the same over atomics, which devices keep coherent though WGSL does not order them.
// LANES threads share a row in 16-byte loads; WORKGROUP / LANES rows go side by side, TOKENS deep.
// Each row group keeps its own running softmax. With PREFETCH the next tile is loaded while one is
// used, and the first one before the length is known: what lies past it is blanked out.
// Dot products are summed by subgroup shuffles, so LANES is a power of two that divides the
// subgroup size, and subgroups are consecutive threads. Logits are in log2 units.
const HEAD_DIM: u32 = 128u; // @param
const BATCH: u32 = 1u; // @param sequences
const GROUP: u32 = 4u; // @param query heads per KV head
const KV_HEADS: u32 = 8u; // @param
const HEADS: u32 = 4u; // @param query heads of a list
const CAPACITY: u32 = 1024u; // @param tokens a cache row block holds
const KV_DTYPE: u32 = 1u; // @param 0 f32, 1 f16, 2 bf16
const WORKGROUP: u32 = 128u; // @param
const LANES: u32 = 16u; // @param threads per row
const TOKENS: u32 = 2u; // @param rows in flight per thread
const PREFETCH: u32 = 1u; // @param 1 to load a tile ahead
const JOINED: u32 = 4u; // @param heads whose row groups are joined at a time
const SPLITS: u32 = 8u; // @param
const HAND_OVER: u32 = 1u; // @param 0 dispatch, 1 barrier, 2 atomics

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
const TILE = ROWS * TOKENS;
const STRIDE = TILE * SPLITS;
const LOGITS = TOKENS * HEADS;
const LANE_STEPS = u32(LANES > 1u) + u32(LANES > 2u) + u32(LANES > 4u) + u32(LANES > 8u) + u32(LANES > 16u);
const KV_LISTS = (GROUP + HEADS - 1u) / HEADS; // of a KV head
const COLUMNS = HEADS * HEAD_QUADS; // of the list's outputs
const SLICES = max(WORKGROUP / COLUMNS, 1u); // of the splits, when partials are joined
const AT_ONCE = WORKGROUP / SLICES; // columns
const ROUNDS = (SPLITS + SLICES - 1u) / SLICES; // splits of a slice
const AHEAD = min(ROUNDS, 16u); // loads in flight per thread
const TURNS = (HEADS + JOINED - 1u) / JOINED;
const Q_HEADS = KV_HEADS * GROUP;
const LISTS = BATCH * KV_HEADS * KV_LISTS;
const LIST_HEADS = HEADS; // query heads of a list
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

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read> q: array<vec4f>;
@group(0) @binding(2) var<storage, read> keys: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> values: array<vec4<u32>>;
@group(0) @binding(4) var<uniform> sink_logits: array<vec4f, (Q_HEADS + 3u) / 4u>;
@group(0) @binding(5) var<storage, read_write> hand_over: HandOver;
@group(0) @binding(6) var<storage, read_write> out: array<vec4f>;

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

var<workgroup> scratch: array<vec4f, max(JOINED * ROWS * HEAD_QUADS, WORKGROUP)>;
var<workgroup> stats: array<vec2f, max(HEADS * ROWS, WORKGROUP)>; // (maximum, denominator)
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

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let lane = thread % LANES;
  let row = thread / LANES;
  let list = wid.z * KV_HEADS * KV_LISTS + wid.y;
  let kv_head = list / KV_LISTS;
  // A list past the end of its group repeats the last head, and writes it once.
  let first_head = kv_head * GROUP + list % KV_LISTS * HEADS;
  let last_head = kv_head * GROUP + GROUP - 1u;
  // Tiles go to the splits in turn, so that all workgroups of a head read one moving window.
  let begin = wid.x * TILE;
  let lane_base = kv_head * CAPACITY * ROW_LOADS + lane;

  var k: array<vec4<u32>, LOADS>;
  var v: array<vec4<u32>, LOADS>;
  var next_k: array<vec4<u32>, LOADS>;
  var next_v: array<vec4<u32>, LOADS>;
  if (PREFETCH == 1u) {
    for (var load = 0u; load < LOADS; load++) { // @unroll
      let token = min(begin + (load / CHUNKS) * ROWS + row, CAPACITY - 1u);
      k[load] = keys[lane_base + token * ROW_LOADS + (load % CHUNKS) * LANES];
      v[load] = values[lane_base + token * ROW_LOADS + (load % CHUNKS) * LANES];
    }
  }

  var query: array<vec4f, HEADS * PARTS>;
  var total: array<vec4f, HEADS * PARTS>;
  var highest: array<f32, HEADS>;
  var weight: array<f32, HEADS>;
  for (var h = 0u; h < HEADS; h++) { // @unroll
    highest[h] = NEG_LARGE;
    weight[h] = 0.0;
    for (var part = 0u; part < PARTS; part++) { // @unroll
      let at = ((part / QUADS) * LANES + lane) * QUADS + part % QUADS;
      query[h * PARTS + part] = q[min(first_head + h, last_head) * HEAD_QUADS + at] * (LOG2_E / sqrt(f32(HEAD_DIM)));
      total[h * PARTS + part] = vec4f(0.0);
    }
  }
  // What lies beyond a sequence may be NaN: it is blanked out in the first tile, and rows past the
  // end repeat the last one in the others.
  let length = lengths[wid.z];
  let last = length - 1u;
  for (var load = 0u; load < LOADS; load++) { // @unroll
    v[load] = select(vec4<u32>(0u), v[load], begin + (load / CHUNKS) * ROWS + row < length);
  }

  for (var tile = begin; tile < length; tile += STRIDE) {
    if (PREFETCH == 1u) {
      for (var load = 0u; load < LOADS; load++) { // @unroll
        let token = min(tile + STRIDE + (load / CHUNKS) * ROWS + row, last);
        next_k[load] = keys[lane_base + token * ROW_LOADS + (load % CHUNKS) * LANES];
        next_v[load] = values[lane_base + token * ROW_LOADS + (load % CHUNKS) * LANES];
      }
    } else {
      for (var load = 0u; load < LOADS; load++) { // @unroll
        let token = min(tile + (load / CHUNKS) * ROWS + row, last);
        k[load] = keys[lane_base + token * ROW_LOADS + (load % CHUNKS) * LANES];
        v[load] = values[lane_base + token * ROW_LOADS + (load % CHUNKS) * LANES];
      }
    }

    var logits = array<f32, LOGITS>();
    for (var t = 0u; t < TOKENS; t++) { // @unroll
      for (var part = 0u; part < PARTS; part++) { // @unroll
        let piece = widen(k[t * CHUNKS + part / QUADS], part % QUADS);
        for (var h = 0u; h < HEADS; h++) { // @unroll
          logits[t * HEADS + h] += dot(piece, query[h * PARTS + part]);
        }
      }
    }
    for (var i = 0u; i < LOGITS; i++) { // @unroll
      for (var step = 0u; step < LANE_STEPS; step++) { // @unroll
        logits[i] += subgroupShuffleXor(logits[i], 1u << step);
      }
    }

    for (var h = 0u; h < HEADS; h++) { // @unroll
      var peak = highest[h];
      for (var t = 0u; t < TOKENS; t++) { // @unroll
        let inside = tile + t * ROWS + row < length;
        logits[t * HEADS + h] = select(NEG_LARGE, logits[t * HEADS + h], inside);
        peak = max(peak, logits[t * HEADS + h]);
      }
      let fade = exp2(highest[h] - peak);
      highest[h] = peak;
      weight[h] *= fade;
      for (var part = 0u; part < PARTS; part++) { // @unroll
        total[h * PARTS + part] *= fade;
      }
      for (var t = 0u; t < TOKENS; t++) { // @unroll
        let inside = tile + t * ROWS + row < length;
        let share_of = select(0.0, exp2(logits[t * HEADS + h] - peak), inside);
        weight[h] += share_of;
        for (var part = 0u; part < PARTS; part++) { // @unroll
          total[h * PARTS + part] += share_of * widen(v[t * CHUNKS + part / QUADS], part % QUADS);
        }
      }
    }
    if (PREFETCH == 1u) {
      for (var load = 0u; load < LOADS; load++) { // @unroll
        k[load] = next_k[load];
        v[load] = next_v[load];
      }
    }
  }

  // Join the row groups into this split's partial.
  if (lane == 0u) {
    for (var h = 0u; h < HEADS; h++) { // @unroll
      stats[row * HEADS + h] = vec2f(highest[h], weight[h]);
    }
  }
  workgroupBarrier();
  for (var turn = 0u; turn < TURNS; turn++) { // @unroll
    for (var place = 0u; place < JOINED; place++) { // @unroll
      let h = min(turn * JOINED + place, HEADS - 1u);
      for (var part = 0u; part < PARTS; part++) { // @unroll
        let at = ((part / QUADS) * LANES + lane) * QUADS + part % QUADS;
        scratch[(place * ROWS + row) * HEAD_QUADS + at] = total[h * PARTS + part];
      }
    }
    workgroupBarrier();
    for (var column = thread; column < JOINED * HEAD_QUADS; column += WORKGROUP) {
      let place = column / HEAD_QUADS;
      let h = min(turn * JOINED + place, HEADS - 1u);
      var peak = NEG_LARGE;
      for (var r = 0u; r < ROWS; r++) { // @unroll
        peak = max(peak, stats[r * HEADS + h].x);
      }
      var sum = vec4f(0.0);
      var denominator = 0.0;
      for (var r = 0u; r < ROWS; r++) { // @unroll
        let fade = exp2(stats[r * HEADS + h].x - peak);
        denominator += stats[r * HEADS + h].y * fade;
        sum += scratch[(place * ROWS + r) * HEAD_QUADS + column % HEAD_QUADS] * fade;
      }
      let slot = list * LIST_QUADS + (h * SPLITS + wid.x) * PARTIAL_QUADS;
      store_partial(slot + column % HEAD_QUADS, sum);
      if (column % HEAD_QUADS == 0u) {
        store_partial(slot + HEAD_QUADS, vec4f(peak, denominator, 0.0, 0.0));
      }
    }
    workgroupBarrier();
  }

  if (HAND_OVER == 0u) {
    return;
  }
  // The last workgroup of the list joins the splits, and leaves the counter at zero.
  storageBarrier();
  if (thread == 0u) {
    is_last = 0u;
    if (atomicAdd(&hand_over.arrivals[list], 1u) == SPLITS - 1u) {
      is_last = 1u;
      atomicStore(&hand_over.arrivals[list], 0u);
    }
  }
  if (workgroupUniformLoad(&is_last) == 0u) {
    return;
  }
  storageBarrier();
  let slice = thread / AT_ONCE;
  for (var turn = 0u; turn < COLUMNS; turn += AT_ONCE) {
    let column = turn + thread % AT_ONCE;
    let place = min(column, COLUMNS - 1u) / HEAD_QUADS; // in the list
    var peak = NEG_LARGE;
    var denominator = 0.0;
    var sum = vec4f(0.0);
    for (var start = 0u; start < ROUNDS; start += AHEAD) {
      // All loads are in flight before the first use: a merge waits for memory, not for bytes.
      var quads: array<vec4f, AHEAD>;
      var of_splits: array<vec2f, AHEAD>;
      if (HAND_OVER == 2u) {
        for (var i = 0u; i < AHEAD; i++) { // @unroll
          let split = min((start + i) * SLICES + slice, SPLITS - 1u);
          let slot = list * LIST_QUADS + (place * SPLITS + split) * PARTIAL_QUADS;
          quads[i] = atomic_partial(slot + column % HEAD_QUADS);
          of_splits[i] = atomic_stats(slot + HEAD_QUADS);
        }
      } else {
        for (var i = 0u; i < AHEAD; i++) { // @unroll
          let split = min((start + i) * SLICES + slice, SPLITS - 1u);
          let slot = list * LIST_QUADS + (place * SPLITS + split) * PARTIAL_QUADS;
          quads[i] = hand_over.partials[slot + column % HEAD_QUADS];
          of_splits[i] = hand_over.partials[slot + HEAD_QUADS].xy;
        }
      }
      for (var i = 0u; i < AHEAD; i++) { // @unroll
        let is_split = (start + i) * SLICES + slice < SPLITS && start + i < ROUNDS;
        of_splits[i] = select(vec2f(NEG_LARGE, 0.0), of_splits[i], is_split);
      }
      let before = peak;
      for (var i = 0u; i < AHEAD; i++) { // @unroll
        peak = max(peak, of_splits[i].x);
      }
      denominator *= exp2(before - peak);
      sum *= exp2(before - peak);
      for (var i = 0u; i < AHEAD; i++) { // @unroll
        let fade = select(0.0, exp2(of_splits[i].x - peak), of_splits[i].y != 0.0);
        denominator += of_splits[i].y * fade;
        sum += quads[i] * fade;
      }
    }
    scratch[thread] = sum;
    stats[thread] = vec2f(peak, denominator);
    workgroupBarrier();
    let head = first_head + place;
    if (slice == 0u && column < COLUMNS && head <= last_head) {
      let own_head = head % Q_HEADS;
      let sink = sink_logits[own_head / 4u][own_head % 4u] * LOG2_E;
      var highest_of_all = max(sink, NEG_LARGE);
      for (var s = 0u; s < SLICES; s++) { // @unroll
        highest_of_all = max(highest_of_all, stats[s * AT_ONCE + thread].x);
      }
      denominator = 0.0;
      sum = vec4f(0.0);
      for (var s = 0u; s < SLICES; s++) { // @unroll
        let fade = exp2(stats[s * AT_ONCE + thread].x - highest_of_all);
        denominator += stats[s * AT_ONCE + thread].y * fade;
        sum += scratch[s * AT_ONCE + thread] * fade;
      }
      let attends = denominator > 0.0 || denominator != denominator;
      denominator += select(exp2(sink - highest_of_all), 0.0, sink <= NEG_LARGE);
      out[head * HEAD_QUADS + column % HEAD_QUADS] = select(vec4f(0.0), sum / denominator, attends);
    }
    workgroupBarrier();
  }
}
