// gpt_fast_qk.wgsl: gpt-fast's dense decode, 1 of 4: logits q.K^T * scale + mask.
//
// Dispatch (query heads, blocks of TILE slots, batch). The cache is static, so all of its capacity
// is scored, and slots past the end of the sequence are masked. There is no GQA packing: each query
// head reads K, as repeat_interleave repeats it. Query heads come first in the dispatch, so that
// the heads of a group meet at the same rows in the L2 cache.
//
// LANES threads share a row of K in 16-byte loads: a row group. ROWS row groups work side by side,
// each with TOKENS rows in flight. Workgroup memory sums the dots.
// Logits are f32 [batch, query heads, capacity], in log2 units. Each block also stores its (m, l)
// as vec2 f32 [batch, query heads, blocks]: the first half of the softmax, as a compiler splits a
// long reduction.
//
// 1. Load keys and the query.
// 2. Compute, mask and store the logits.
// 3. Reduce them to (m, l) of the block.
const HEAD_DIM: u32 = 128u; // @param
const BATCH: u32 = 1u; // @param sequences
const GROUP: u32 = 4u; // @param query heads per KV head
const Q_HEADS: u32 = 32u; // @param
const KV_HEADS: u32 = 8u; // @param
const CAPACITY: u32 = 1024u; // @param slots of the cache per head
const KV_DTYPE: u32 = 1u; // @param 0 f32, 1 f16, 2 bf16
const WORKGROUP: u32 = 256u; // @param
const LANES: u32 = 16u; // @param threads per row
const TOKENS: u32 = 8u; // @param rows in flight per thread

// @shared cache_strides
// Rows of K and V. Strides are in 16-byte loads, or all 0 for [B, KV_HEADS, CAPACITY, HEAD_DIM].
const OUTER_STRIDE: u32 = 0u; // @param from a sequence, or a page, to the next
const HEAD_STRIDE: u32 = 0u; // @param from a KV head to the next
const TOKEN_STRIDE: u32 = 0u; // @param from a token to the next
const TABLE_BITS: u32 = 0u; // @param log2 of the tokens of a page; 0 without a page table
const KV_WIDTH = 4u + 4u * u32(KV_DTYPE != 0u); // values of a load
const KV_LOADS = HEAD_DIM / KV_WIDTH; // loads of a row
// @end
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
const STRANDS = min(TILE, 16u); // threads that reduce a block
const LINKS = TILE / STRANDS; // logits of each
// @shared softmax
const NEG_LARGE = -1e30; // in place of minus infinity, for which WGSL promises nothing
const LOG2_E = 1.4426950408889634; // logits are in log2 units
// @end
// @shared logit_scale
const SCALE = LOG2_E / sqrt(f32(HEAD_DIM)); // from a dot to a logit
// @end

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read> q: array<vec4f>;
@group(0) @binding(2) var<storage, read> keys: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read_write> scores: array<f32>;
@group(0) @binding(4) var<storage, read_write> block_stats: array<vec2f>;

var<workgroup> sums: array<f32, WORKGROUP * TOKENS>;
var<workgroup> logits: array<f32, TILE>;
var<workgroup> strands: array<vec2f, STRANDS>; // (m, l)

// @shared cache_rows
/// Where the rows of a KV head begin in keys and values, in 16-byte loads: in the whole cache, or
/// in each page of a paged one. KV heads are counted over all sequences.
fn head_start(kv_head: u32) -> u32 {
  if (OUTER_STRIDE == 0u) {
    return kv_head * CAPACITY * KV_LOADS;
  }
  let outer = select(kv_head / KV_HEADS * OUTER_STRIDE, 0u, TABLE_BITS != 0u);
  return outer + kv_head % KV_HEADS * HEAD_STRIDE;
}

/// How far from there a token's row begins. A page table stands behind the lengths.
fn row_offset(kv_head: u32, token: u32) -> u32 {
  if (OUTER_STRIDE == 0u) {
    return token * KV_LOADS;
  }
  if (TABLE_BITS == 0u) {
    return token * TOKEN_STRIDE;
  }
  let pages = (CAPACITY + (1u << TABLE_BITS) - 1u) >> TABLE_BITS; // of a sequence
  let page = lengths[BATCH + kv_head / KV_HEADS * pages + (token >> TABLE_BITS)];
  return page * OUTER_STRIDE + token % (1u << TABLE_BITS) * TOKEN_STRIDE;
}
// @end

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

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let lane = thread % LANES;
  let row = thread / LANES;
  let begin = wid.y * TILE;
  let length = lengths[wid.z];
  let head = wid.z * Q_HEADS + wid.x;
  let kv_head = wid.z * KV_HEADS + wid.x / GROUP;
  let lane_base = head_start(kv_head) + lane;

  // 1. Load keys and the query. All loads are in flight before the first use.
  var k: array<vec4<u32>, LOADS>;
  for (var load = 0u; load < LOADS; load++) { // @unroll
    let slot = min(begin + (load / CHUNKS) * ROWS + row, CAPACITY - 1u);
    k[load] = keys[lane_base + row_offset(kv_head, slot) + chunk_offset(load % CHUNKS, lane)];
  }
  var query: array<vec4f, PARTS>;
  for (var part = 0u; part < PARTS; part++) { // @unroll
    let quad = query_quad(head * HEAD_QUADS + row_quad(part, lane));
    query[part] = quad * query_scale(part, lane);
  }

  // 2. Compute, mask and store the logits.
  for (var t = 0u; t < TOKENS; t++) { // @unroll
    var sum = 0.0;
    for (var part = 0u; part < PARTS; part++) { // @unroll
      sum += dot(widen(k[t * CHUNKS + part / QUADS], part % QUADS), query[part]);
    }
    sums[(t * ROWS + row) * LANES + (lane + row) % LANES] = sum;
  }
  workgroupBarrier();
  for (var token = thread; token < TILE; token += WORKGROUP) {
    var logit = 0.0;
    for (var i = 0u; i < LANES; i++) { // @unroll
      logit += sums[token * LANES + (i + token) % LANES];
    }
    // gpt-fast adds a mask of zeros and -inf. Slots never written may hold NaN here, which an
    // addition would keep, so this kernel selects.
    let masked = select(NEG_LARGE, capped(logit), begin + token < length);
    logits[token] = masked;
    if (begin + token < CAPACITY) {
      scores[head * CAPACITY + begin + token] = masked;
    }
  }
  workgroupBarrier();

  // 3. Reduce the logits to (m, l) of the block: first a strand per thread, then the strands.
  if (thread < STRANDS) {
    var m = NEG_LARGE;
    for (var i = 0u; i < LINKS; i++) { // @unroll
      m = max(m, logits[i * STRANDS + thread]);
    }
    var l = 0.0;
    for (var i = 0u; i < LINKS; i++) { // @unroll
      l += exp2(logits[i * STRANDS + thread] - m);
    }
    strands[thread] = vec2f(m, l);
  }
  workgroupBarrier();
  if (thread == 0u) {
    var m = NEG_LARGE;
    for (var i = 0u; i < STRANDS; i++) { // @unroll
      m = max(m, strands[i].x);
    }
    var l = 0.0;
    for (var i = 0u; i < STRANDS; i++) { // @unroll
      l += strands[i].y * exp2(strands[i].x - m);
    }
    block_stats[head * grid.y + wid.y] = vec2f(m, l);
  }
}
