// slots_portable.wgsl: decode attention of heads that keep some tokens each, with K and V of their
// own (MoSA), over the slots of encode/route.wgsl. slots.wgsl for devices without subgroups.
//
// Dispatch (splits, query heads, batch). A workgroup takes its share of the slots of a head that
// takes the newest token, and stores an unnormalised partial (acc, m, l) times the token's r;
// merge/merge.wgsl joins the partials of the splits. A head that does not take the token attends no
// slots, so that it gives 0. The slots of steps that were taken back hold tokens that are newer
// than the newest one, which are not attended.
//
// LANES threads share a row in 16-byte loads: a row group. ROWS row groups work side by side, each
// with TOKENS rows in flight and a running softmax of its own. Logits are in log2 units.
// The kernel needs no device feature: workgroup memory sums the dots.
//
// 1. Load the query.
// 2. Load a tile of slots.
// 3. Compute its logits.
// 4. Update the running softmax with them. Repeat 2 to 4 for all tiles of the split.
// 5. Multiply by r, join the row groups and store the partial.
const HEAD_DIM: u32 = 128u; // @param
const Q_HEADS: u32 = 32u; // @param
const CAPACITY: u32 = 1024u; // @param tokens a cache row block holds
const KV_DTYPE: u32 = 1u; // @param 0 f32, 1 f16, 2 bf16
const MOSA_SPARSITY: u32 = 32u; // @param tokens per token that a head keeps
const DENSE_HEADS: u32 = 0u; // @param heads that keep every token
const WORKGROUP: u32 = 128u; // @param
const LANES: u32 = 16u; // @param threads per row
const TOKENS: u32 = 4u; // @param rows in flight per thread

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
const TILE = ROWS * TOKENS;
const LIST_HEADS = 1u; // query heads of a workgroup
const SCRATCH = max(TOKENS * WORKGROUP, ROWS * HEAD_DIM);
// @shared softmax
const NEG_LARGE = -1e30; // in place of minus infinity, for which WGSL promises nothing
const LOG2_E = 1.4426950408889634; // logits are in log2 units
// @end
// @shared logit_scale
const SCALE = LOG2_E / sqrt(f32(HEAD_DIM)); // from a dot to a logit
// @end

// @shared slot_sizes
const SPARSE_HEADS = Q_HEADS - DENSE_HEADS;
const SLOTS = max(2u, (CAPACITY + MOSA_SPARSITY - 1u) / MOSA_SPARSITY); // of a sparse head
const SEQUENCE_ROWS = DENSE_HEADS * CAPACITY + SPARSE_HEADS * SLOTS; // of K or V of a sequence

/// The first row of a head's K and V. Dense heads come first.
fn first_row(sequence: u32, head: u32) -> u32 {
  let dense = min(head, DENSE_HEADS);
  return sequence * SEQUENCE_ROWS + dense * CAPACITY + (head - dense) * SLOTS;
}
// @end

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read> q: array<vec4f>;
@group(0) @binding(2) var<storage, read> slot_keys: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> slot_values: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read> slot_tokens: array<vec2<u32>>; // r, token
@group(0) @binding(5) var<storage, read> routes: array<vec2f>; // r, tokens to attend
@group(0) @binding(6) var<storage, read_write> partial_out: array<f32>;
@group(0) @binding(7) var<storage, read_write> partial_stats: array<vec2f>;

var<workgroup> scratch: array<f32, SCRATCH>;
var<workgroup> logits: array<f32, TILE>;
var<workgroup> stats: array<vec2f, ROWS>; // (m, l)

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

// @shared joined_m
/// Maximum of head `h` over all row groups.
fn joined_m(h: u32) -> f32 {
  var m = NEG_LARGE;
  for (var r = 0u; r < ROWS; r++) { // @unroll
    m = max(m, stats[r * LIST_HEADS + h].x);
  }
  return m;
}
// @end

// @shared store_joined
/// Adds up what the row groups left in scratch, rescaled to `m`, and stores the partial of head `h`
/// of the list in slot `slot`.
fn store_joined(slot: u32, h: u32, m: f32, thread: u32) {
  for (var d = thread; d < HEAD_DIM; d += WORKGROUP) {
    var acc = 0.0;
    for (var r = 0u; r < ROWS; r++) { // @unroll
      acc += scratch[r * HEAD_DIM + d];
    }
    partial_out[slot * HEAD_DIM + d] = acc;
  }
  if (thread == 0u) {
    var l = 0.0;
    for (var r = 0u; r < ROWS; r++) { // @unroll
      l += stats[r * LIST_HEADS + h].y * exp2(stats[r * LIST_HEADS + h].x - m);
    }
    partial_stats[slot] = vec2f(m, l);
  }
}
// @end

// @shared slot_token
/// The token of a slot. Dense heads have every token in its place.
fn slot_token(slot: u32, end: u32, first_slot: u32, is_dense: bool) -> u32 {
  if (is_dense) {
    return slot;
  }
  return slot_tokens[first_slot + min(slot, end - 1u)].y;
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
  let first_head = wid.z * Q_HEADS + wid.y;
  let length = lengths[wid.z];
  let r = routes[first_head].x;
  let end = u32(routes[first_head].y);
  let is_dense = wid.y < DENSE_HEADS;
  let first_slot = (wid.z * SPARSE_HEADS + max(wid.y, DENSE_HEADS) - DENSE_HEADS) * SLOTS;
  let lane_base = first_row(wid.z, wid.y) * ROW_LOADS + lane;

  // 1. Load the query.
  // @shared load_queries
  var query: array<vec4f, LIST_HEADS * PARTS>;
  var acc: array<vec4f, LIST_HEADS * PARTS>;
  var m: array<f32, LIST_HEADS>;
  var l: array<f32, LIST_HEADS>;
  for (var h = 0u; h < LIST_HEADS; h++) { // @unroll
    m[h] = NEG_LARGE;
    l[h] = 0.0;
    for (var part = 0u; part < PARTS; part++) { // @unroll
      let quad = query_quad((first_head + h) * HEAD_QUADS + row_quad(part, lane));
      query[h * PARTS + part] = quad * query_scale(part, lane);
      acc[h * PARTS + part] = vec4f(0.0);
    }
  }
  // @end

  for (var tile = wid.x * TILE; tile < end; tile += grid.x * TILE) {
    // 2. Load a tile of slots. Those past the end repeat the last one.
    var k: array<vec4<u32>, LOADS>;
    var v: array<vec4<u32>, LOADS>;
    var token: array<u32, TOKENS>;
    for (var load = 0u; load < LOADS; load++) { // @unroll
      let slot = min(tile + (load / CHUNKS) * ROWS + row, end - 1u);
      k[load] = slot_keys[lane_base + slot * ROW_LOADS + chunk_offset(load % CHUNKS, lane)];
      v[load] = slot_values[lane_base + slot * ROW_LOADS + chunk_offset(load % CHUNKS, lane)];
    }
    for (var t = 0u; t < TOKENS; t++) { // @unroll
      token[t] = slot_token(tile + t * ROWS + row, end, first_slot, is_dense);
    }

    // 3. Compute the logits of the tile.
    // @shared workgroup_dots
    // The lanes of a row leave their sums in workgroup memory. Their places are rotated by the
    // row, so that threads that add up different dots read from different banks.
    for (var t = 0u; t < TOKENS; t++) { // @unroll
      var sums = array<f32, LIST_HEADS>();
      for (var part = 0u; part < PARTS; part++) { // @unroll
        let k_quad = widen(k[t * CHUNKS + part / QUADS], part % QUADS);
        for (var h = 0u; h < LIST_HEADS; h++) { // @unroll
          sums[h] += dot(k_quad, query[h * PARTS + part]);
        }
      }
      for (var h = 0u; h < LIST_HEADS; h++) { // @unroll
        scratch[((t * ROWS + row) * LIST_HEADS + h) * LANES + (lane + row) % LANES] = sums[h];
      }
    }
    workgroupBarrier();
    for (var i = thread; i < TILE * LIST_HEADS; i += WORKGROUP) {
      var logit = 0.0;
      for (var j = 0u; j < LANES; j++) { // @unroll
        logit += scratch[i * LANES + (j + i) % LANES];
      }
      logits[i] = capped(logit);
    }
    workgroupBarrier();
    // @end

    // 4. Update the running softmax. A NaN that a slot was left with must not count.
    var s: array<f32, TOKENS>;
    var m_new = m[0];
    for (var t = 0u; t < TOKENS; t++) { // @unroll
      let inside = tile + t * ROWS + row < end && token[t] < length;
      s[t] = select(NEG_LARGE, logits[t * ROWS + row], inside);
      m_new = max(m_new, s[t]);
    }
    let alpha = exp2(m[0] - m_new);
    m[0] = m_new;
    l[0] *= alpha;
    for (var part = 0u; part < PARTS; part++) { // @unroll
      acc[part] *= alpha;
    }
    for (var t = 0u; t < TOKENS; t++) { // @unroll
      let inside = tile + t * ROWS + row < end && token[t] < length;
      let p = select(0.0, exp2(s[t] - m_new), inside);
      l[0] += p;
      for (var part = 0u; part < PARTS; part++) { // @unroll
        let v_quad = widen(v[t * CHUNKS + part / QUADS], part % QUADS);
        acc[part] += select(vec4f(0.0), p * v_quad, inside);
      }
    }
  }

  // 5. Multiply by r, join the row groups and store the partial.
  for (var part = 0u; part < PARTS; part++) { // @unroll
    acc[part] *= r;
  }
  // @shared join_row_groups
  for (var h = 0u; h < LIST_HEADS; h++) { // @unroll
    if (lane == 0u) {
      stats[row * LIST_HEADS + h] = vec2f(m[h], l[h]);
    }
  }
  workgroupBarrier();
  // Each row group rescales its acc to the common maximum, so that a sum joins them.
  for (var h = 0u; h < LIST_HEADS; h++) { // @unroll
    let m_new = joined_m(h);
    let alpha = exp2(m[h] - m_new);
    for (var part = 0u; part < PARTS; part++) { // @unroll
      let at = row * HEAD_DIM + row_quad(part, lane) * 4u;
      let quad = acc[h * PARTS + part] * alpha;
      scratch[at] = quad.x;
      scratch[at + 1u] = quad.y;
      scratch[at + 2u] = quad.z;
      scratch[at + 3u] = quad.w;
    }
    workgroupBarrier();
    store_joined((first_head + h) * grid.x + wid.x, h, m_new, thread);
    workgroupBarrier();
  }
  // @end
}
