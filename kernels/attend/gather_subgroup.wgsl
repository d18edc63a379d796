// Decode attention over the selected tokens, gathered from the KV cache, split over the selection.
//
// Dispatch (splits, lists, batch): a workgroup takes its share of one list, attends those rows for
// all query heads that share the list, and leaves one unnormalised partial per query head.
// LANES threads share a row in 16-byte loads; WORKGROUP / LANES rows go side by side, TOKENS deep.
// Each row group keeps its own running softmax; the groups are joined once, at the end.
// Dot products are summed by subgroup shuffles, so LANES is a power of two that divides the
// subgroup size, and subgroups are consecutive threads. Logits are in log2 units.
const HEAD_DIM: u32 = 128u; // @param
const GROUP: u32 = 4u; // @param query heads per KV head
const QUERIES_PER_LIST: u32 = 1u; // @param 1, or GROUP if the group shares a list
const CODE_HEADS: u32 = 32u; // @param lists per sequence
const LIST_CAPACITY: u32 = 256u; // @param
const CAPACITY: u32 = 1024u; // @param tokens a cache row block holds
const KV_DTYPE: u32 = 1u; // @param 0 f32, 1 f16, 2 bf16
const WORKGROUP: u32 = 128u; // @param
const LANES: u32 = 16u; // @param threads per row
const TOKENS: u32 = 2u; // @param rows in flight per thread

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
const LOGITS = TOKENS * QUERIES_PER_LIST;
const LANE_STEPS = u32(LANES > 1u) + u32(LANES > 2u) + u32(LANES > 4u) + u32(LANES > 8u) + u32(LANES > 16u);
// @shared softmax
const NEG_LARGE = -1e30; // in place of minus infinity, for which WGSL promises nothing
const LOG2_E = 1.4426950408889634; // logits are in log2 units
// @end

@group(0) @binding(0) var<storage, read> q: array<vec4f>;
@group(0) @binding(1) var<storage, read> keys: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> values: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> selected: array<u32>;
@group(0) @binding(4) var<storage, read> selected_counts: array<u32>;
@group(0) @binding(5) var<storage, read_write> partial_out: array<f32>;
@group(0) @binding(6) var<storage, read_write> partial_stats: array<vec2f>;

var<workgroup> scratch: array<f32, ROWS * HEAD_DIM>;
var<workgroup> stats: array<vec2f, ROWS * QUERIES_PER_LIST>;

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

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let lane = thread % LANES;
  let row = thread / LANES;
  let list = wid.z * CODE_HEADS + wid.y;
  let first_head = list * QUERIES_PER_LIST;
  let cache = (first_head / GROUP) * CAPACITY;
  let count = selected_counts[list];
  let share = (count + grid.x - 1u) / grid.x;
  let begin = min(wid.x * share, count);
  let end = min(begin + share, count);

  var query: array<vec4f, QUERIES_PER_LIST * PARTS>;
  var total: array<vec4f, QUERIES_PER_LIST * PARTS>;
  var highest: array<f32, QUERIES_PER_LIST>;
  var weight: array<f32, QUERIES_PER_LIST>;
  for (var h = 0u; h < QUERIES_PER_LIST; h++) { // @unroll
    highest[h] = NEG_LARGE;
    weight[h] = 0.0;
    for (var part = 0u; part < PARTS; part++) { // @unroll
      let at = ((part / QUADS) * LANES + lane) * QUADS + part % QUADS;
      query[h * PARTS + part] = q[(first_head + h) * HEAD_QUADS + at] * (LOG2_E / sqrt(f32(HEAD_DIM)));
      total[h * PARTS + part] = vec4f(0.0);
    }
  }

  for (var tile = begin; tile < end; tile += TILE) {
    // All loads of the tile are in flight before the first use; past the end the last one repeats.
    var token: array<u32, TOKENS>;
    for (var t = 0u; t < TOKENS; t++) { // @unroll
      token[t] = selected[list * LIST_CAPACITY + min(tile + t * ROWS + row, end - 1u)];
    }
    var k: array<vec4<u32>, LOADS>;
    var v: array<vec4<u32>, LOADS>;
    for (var load = 0u; load < LOADS; load++) { // @unroll
      let at = (cache + token[load / CHUNKS]) * ROW_LOADS + (load % CHUNKS) * LANES + lane;
      k[load] = keys[at];
      v[load] = values[at];
    }

    var logits = array<f32, LOGITS>();
    for (var t = 0u; t < TOKENS; t++) { // @unroll
      for (var part = 0u; part < PARTS; part++) { // @unroll
        let piece = widen(k[t * CHUNKS + part / QUADS], part % QUADS);
        for (var h = 0u; h < QUERIES_PER_LIST; h++) { // @unroll
          logits[t * QUERIES_PER_LIST + h] += dot(piece, query[h * PARTS + part]);
        }
      }
    }
    for (var i = 0u; i < LOGITS; i++) { // @unroll
      for (var step = 0u; step < LANE_STEPS; step++) { // @unroll
        logits[i] += subgroupShuffleXor(logits[i], 1u << step);
      }
    }

    for (var h = 0u; h < QUERIES_PER_LIST; h++) { // @unroll
      var p: array<f32, TOKENS>;
      var peak = highest[h];
      for (var t = 0u; t < TOKENS; t++) { // @unroll
        let inside = tile + t * ROWS + row < end;
        p[t] = select(NEG_LARGE, logits[t * QUERIES_PER_LIST + h], inside);
        peak = max(peak, p[t]);
      }
      let fade = exp2(highest[h] - peak);
      highest[h] = peak;
      weight[h] *= fade;
      for (var part = 0u; part < PARTS; part++) { // @unroll
        total[h * PARTS + part] *= fade;
      }
      for (var t = 0u; t < TOKENS; t++) { // @unroll
        let inside = tile + t * ROWS + row < end;
        let share_of = select(0.0, exp2(p[t] - peak), inside);
        weight[h] += share_of;
        for (var part = 0u; part < PARTS; part++) { // @unroll
          total[h * PARTS + part] += share_of * widen(v[t * CHUNKS + part / QUADS], part % QUADS);
        }
      }
    }
  }

  // Join the row groups.
  for (var h = 0u; h < QUERIES_PER_LIST; h++) { // @unroll
    if (lane == 0u) {
      stats[row * QUERIES_PER_LIST + h] = vec2f(highest[h], weight[h]);
    }
  }
  workgroupBarrier();
  for (var h = 0u; h < QUERIES_PER_LIST; h++) { // @unroll
    var peak = NEG_LARGE;
    for (var r = 0u; r < ROWS; r++) { // @unroll
      peak = max(peak, stats[r * QUERIES_PER_LIST + h].x);
    }
    let fade = exp2(highest[h] - peak);
    for (var part = 0u; part < PARTS; part++) { // @unroll
      let at = row * HEAD_DIM + (((part / QUADS) * LANES + lane) * QUADS + part % QUADS) * 4u;
      let faded = total[h * PARTS + part] * fade;
      scratch[at] = faded.x;
      scratch[at + 1u] = faded.y;
      scratch[at + 2u] = faded.z;
      scratch[at + 3u] = faded.w;
    }
    workgroupBarrier();
    let slot = (first_head + h) * grid.x + wid.x;
    for (var d = thread; d < HEAD_DIM; d += WORKGROUP) {
      var sum = 0.0;
      for (var r = 0u; r < ROWS; r++) { // @unroll
        sum += scratch[r * HEAD_DIM + d];
      }
      partial_out[slot * HEAD_DIM + d] = sum;
    }
    if (thread == 0u) {
      var denominator = 0.0;
      for (var r = 0u; r < ROWS; r++) { // @unroll
        denominator += stats[r * QUERIES_PER_LIST + h].y * exp2(stats[r * QUERIES_PER_LIST + h].x - peak);
      }
      partial_stats[slot] = vec2f(peak, denominator);
    }
    workgroupBarrier();
  }
}
