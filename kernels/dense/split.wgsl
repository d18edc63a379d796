// Dense decode attention, split over the KV axis (FlashDecoding), GQA group packed.
//
// Dispatch (splits, KV heads, batch): a workgroup reads its share of one KV head's K and V once
// for all query heads of the group, and leaves one unnormalised partial per query head.
// LANES threads share a row in 16-byte loads; WORKGROUP / LANES rows go side by side, TOKENS deep.
// Each row group keeps its own running softmax; the groups are joined once, at the end.
// Portable: dot products are summed in workgroup memory. Logits are in log2 units.
const HEAD_DIM: u32 = 128u; // @param
const GROUP: u32 = 4u; // @param query heads per KV head
const KV_HEADS: u32 = 8u; // @param
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
const LOGITS = TOKENS * GROUP;
const PARTIAL_SUMS = LOGITS * WORKGROUP;
const SCRATCH = max(PARTIAL_SUMS, ROWS * HEAD_DIM);
// @shared softmax
const NEG_LARGE = -1e30; // in place of minus infinity, for which WGSL promises nothing
const LOG2_E = 1.4426950408889634; // logits are in log2 units
// @end

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read> q: array<vec4f>;
@group(0) @binding(2) var<storage, read> keys: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> values: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read_write> partial_out: array<f32>;
@group(0) @binding(5) var<storage, read_write> partial_stats: array<vec2f>;

var<workgroup> scratch: array<f32, SCRATCH>;
var<workgroup> logits: array<f32, TILE * GROUP>;
var<workgroup> stats: array<vec2f, ROWS * GROUP>;

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
  let cache = (wid.z * KV_HEADS + wid.y) * CAPACITY;
  let first_head = (wid.z * KV_HEADS + wid.y) * GROUP;
  let length = lengths[wid.z];
  let share = (length + grid.x - 1u) / grid.x;
  let begin = min(wid.x * share, length);
  let end = min(begin + share, length);

  var query: array<vec4f, GROUP * PARTS>;
  var total: array<vec4f, GROUP * PARTS>;
  var highest: array<f32, GROUP>;
  var weight: array<f32, GROUP>;
  for (var h = 0u; h < GROUP; h++) { // @unroll
    highest[h] = NEG_LARGE;
    weight[h] = 0.0;
    for (var part = 0u; part < PARTS; part++) { // @unroll
      let at = ((part / QUADS) * LANES + lane) * QUADS + part % QUADS;
      query[h * PARTS + part] = q[(first_head + h) * HEAD_QUADS + at] * (LOG2_E / sqrt(f32(HEAD_DIM)));
      total[h * PARTS + part] = vec4f(0.0);
    }
  }

  for (var tile = begin; tile < end; tile += TILE) {
    // All loads of the tile are in flight before the first use. Rows past the end repeat the last
    // one of the sequence: what lies beyond it may be NaN.
    var k: array<vec4<u32>, LOADS>;
    var v: array<vec4<u32>, LOADS>;
    for (var load = 0u; load < LOADS; load++) { // @unroll
      let token = min(tile + (load / CHUNKS) * ROWS + row, length - 1u);
      k[load] = keys[(cache + token) * ROW_LOADS + (load % CHUNKS) * LANES + lane];
    }
    for (var load = 0u; load < LOADS; load++) { // @unroll
      let token = min(tile + (load / CHUNKS) * ROWS + row, length - 1u);
      v[load] = values[(cache + token) * ROW_LOADS + (load % CHUNKS) * LANES + lane];
    }

    for (var t = 0u; t < TOKENS; t++) { // @unroll
      var sums = array<f32, GROUP>();
      for (var part = 0u; part < PARTS; part++) { // @unroll
        let piece = widen(k[t * CHUNKS + part / QUADS], part % QUADS);
        for (var h = 0u; h < GROUP; h++) { // @unroll
          sums[h] += dot(piece, query[h * PARTS + part]);
        }
      }
      for (var h = 0u; h < GROUP; h++) { // @unroll
        scratch[((t * ROWS + row) * GROUP + h) * LANES + (lane + row) % LANES] = sums[h];
      }
    }
    workgroupBarrier();
    for (var dot_at = thread; dot_at < TILE * GROUP; dot_at += WORKGROUP) {
      var sum = 0.0;
      for (var i = 0u; i < LANES; i++) { // @unroll
        sum += scratch[dot_at * LANES + (i + dot_at) % LANES];
      }
      logits[dot_at] = sum;
    }
    workgroupBarrier();

    for (var h = 0u; h < GROUP; h++) { // @unroll
      var p = array<f32, TOKENS>();
      var peak = highest[h];
      for (var t = 0u; t < TOKENS; t++) { // @unroll
        let inside = tile + t * ROWS + row < end;
        p[t] = select(NEG_LARGE, logits[(t * ROWS + row) * GROUP + h], inside);
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
  for (var h = 0u; h < GROUP; h++) { // @unroll
    if (lane == 0u) {
      stats[row * GROUP + h] = vec2f(highest[h], weight[h]);
    }
  }
  workgroupBarrier();
  for (var h = 0u; h < GROUP; h++) { // @unroll
    var peak = NEG_LARGE;
    for (var r = 0u; r < ROWS; r++) { // @unroll
      peak = max(peak, stats[r * GROUP + h].x);
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
        denominator += stats[r * GROUP + h].y * exp2(stats[r * GROUP + h].x - peak);
      }
      partial_stats[slot] = vec2f(peak, denominator);
    }
    workgroupBarrier();
  }
}
