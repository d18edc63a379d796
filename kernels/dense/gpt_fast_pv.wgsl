// gpt_fast_pv.wgsl: gpt-fast's dense decode, 3 of 4: P*V, split over the cache (split-K of a GEMV).
//
// Dispatch (query heads, splits, batch). A workgroup adds up p times the rows of V for every
// SPLITS-th tile, over all of the static cache's capacity. There is no GQA packing: each query head
// reads V, as repeat_interleave repeats it.
//
// LANES threads share a row in 16-byte loads: a row group. ROWS row groups work side by side, each
// with TOKENS rows in flight.
// p is f32 [batch, query heads, capacity], sums are f32 [batch, query heads, SPLITS, head dim].
//
// 1. Load a tile of values and their p.
// 2. Add p times values to acc. Repeat 1 and 2 for all tiles of the split.
// 3. Sum over the row groups and store.
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
const SPLITS: u32 = 8u; // @param

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

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read> scores: array<f32>;
@group(0) @binding(2) var<storage, read> values: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read_write> split_sums: array<vec4f>;

var<workgroup> sums: array<vec4f, ROWS * HEAD_QUADS>;

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

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let lane = thread % LANES;
  let row = thread / LANES;
  let length = lengths[wid.z];
  let head = wid.z * Q_HEADS + wid.x;
  let kv_head = wid.z * KV_HEADS + wid.x / GROUP;
  let lane_base = head_start(kv_head) + lane;

  var acc: array<vec4f, PARTS>;
  for (var tile = wid.y * TILE; tile < CAPACITY; tile += SPLITS * TILE) {
    // 1. Load a tile of values and their p. All loads are in flight before the first use.
    var v: array<vec4<u32>, LOADS>;
    var p: array<f32, TOKENS>;
    for (var load = 0u; load < LOADS; load++) { // @unroll
      let slot = min(tile + (load / CHUNKS) * ROWS + row, CAPACITY - 1u);
      v[load] = values[lane_base + row_offset(kv_head, slot) + chunk_offset(load % CHUNKS, lane)];
    }
    for (var t = 0u; t < TOKENS; t++) { // @unroll
      p[t] = scores[head * CAPACITY + min(tile + t * ROWS + row, CAPACITY - 1u)];
    }

    // 2. Add p times values to acc. A masked slot has p = 0, but its value may be NaN, which a
    // product with 0 keeps and a select removes.
    for (var t = 0u; t < TOKENS; t++) { // @unroll
      let inside = tile + t * ROWS + row < length;
      for (var part = 0u; part < PARTS; part++) { // @unroll
        let raw = select(vec4<u32>(), v[t * CHUNKS + part / QUADS], inside);
        acc[part] += p[t] * widen(raw, part % QUADS);
      }
    }
  }

  // 3. Sum over the row groups and store.
  for (var part = 0u; part < PARTS; part++) { // @unroll
    sums[row * HEAD_QUADS + row_quad(part, lane)] = acc[part];
  }
  workgroupBarrier();
  for (var column = thread; column < HEAD_QUADS; column += WORKGROUP) {
    var sum = vec4f(0.0);
    for (var r = 0u; r < ROWS; r++) { // @unroll
      sum += sums[r * HEAD_QUADS + column];
    }
    split_sums[(head * SPLITS + wid.y) * HEAD_QUADS + column] = sum;
  }
}
