// dot_subgroup.wgsl: exact scores, the dot products of queries and keys, by subgroup shuffles.
//
// Dispatch (SPLITS, KV heads, batch). A workgroup takes every SPLITS-th tile of the keys of one KV
// head, and reads them once for all query heads of the group. It needs no workgroup memory.
//
// LANES threads share a row of K in 16-byte loads: a row group. ROWS row groups work side by side,
// each with TOKENS consecutive rows. Each lane has a part of VALUES dots. Shuffles add them up and
// share them out at once: in a step, two lanes exchange halves of their values, so that each goes
// on with half as many. LANES is a power of two that divides the subgroup size, and a subgroup is
// consecutive threads. Scores are not scaled.
//
// 1. Load the first tile, then the queries.
// 2. Multiply the tile with the queries.
// 3. Load the next tile.
// 4. Add up the dots of the current tile, and store the scores. Repeat 2 to 4 for all tiles.
const HEAD_DIM: u32 = 128u; // @param
const GROUP: u32 = 4u; // @param query heads per KV head
const KV_HEADS: u32 = 8u; // @param
const CAPACITY: u32 = 1024u; // @param tokens a cache row block holds
const KV_DTYPE: u32 = 1u; // @param 0 f32, 1 f16, 2 bf16
const WORKGROUP: u32 = 128u; // @param
const LANES: u32 = 16u; // @param threads per row
const TOKENS: u32 = 4u; // @param rows in flight per thread
const SPLITS: u32 = 128u; // @param

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
const DOTS = GROUP * TOKENS; // dots of a row group
const OWN = (DOTS + LANES - 1u) / LANES; // dots that a lane ends with
const VALUES = OWN * LANES; // the dots, with zeros for a whole share of each lane

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read> q: array<vec4f>;
@group(0) @binding(2) var<storage, read> keys: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read_write> scores: array<f32>;

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
  let kv_head = wid.z * KV_HEADS + wid.y;
  let length = lengths[wid.z];
  let begin = wid.x * TILE;
  if (begin >= length) {
    return;
  }

  // 1. Load the first tile, then the queries. Rows past the end repeat the last one.
  var k: array<vec4<u32>, LOADS>;
  for (var load = 0u; load < LOADS; load++) { // @unroll
    let token = min(begin + row * TOKENS + load / CHUNKS, length - 1u);
    let first = (kv_head * CAPACITY + token) * ROW_LOADS + lane;
    k[load] = keys[first + chunk_offset(load % CHUNKS, lane)];
  }
  var query: array<vec4f, GROUP * PARTS>;
  for (var h = 0u; h < GROUP; h++) { // @unroll
    for (var part = 0u; part < PARTS; part++) { // @unroll
      let quad = q[(kv_head * GROUP + h) * HEAD_QUADS + row_quad(part, lane)];
      query[h * PARTS + part] = quad * f32(part / QUADS * LANES + lane < ROW_LOADS);
    }
  }

  for (var tile = begin; tile < length; tile += TILE * SPLITS) {
    // 2. Multiply the tile with the queries.
    var dots = array<f32, VALUES>();
    for (var t = 0u; t < TOKENS; t++) { // @unroll
      for (var part = 0u; part < PARTS; part++) { // @unroll
        let k_quad = widen(k[t * CHUNKS + part / QUADS], part % QUADS);
        for (var h = 0u; h < GROUP; h++) { // @unroll
          dots[h * TOKENS + t] += dot(k_quad, query[h * PARTS + part]);
        }
      }
    }

    // 3. Load the next tile.
    for (var load = 0u; load < LOADS; load++) { // @unroll
      let token = min(tile + TILE * SPLITS + row * TOKENS + load / CHUNKS, length - 1u);
      let first = (kv_head * CAPACITY + token) * ROW_LOADS + lane;
      k[load] = keys[first + chunk_offset(load % CHUNKS, lane)];
    }

    // 4. Add up the dots of the current tile: the lower of two lanes goes on with the lower half.
    for (var step = 0u; step < firstTrailingBit(LANES); step++) { // @unroll
      let half = VALUES >> (step + 1u);
      let is_upper = (lane & (LANES >> (step + 1u))) != 0u;
      for (var i = 0u; i < VALUES / 2u; i++) { // @unroll
        if (i < half) {
          let given = select(dots[i + half], dots[i], is_upper);
          let kept = select(dots[i], dots[i + half], is_upper);
          dots[i] = kept + subgroupShuffleXor(given, LANES >> (step + 1u));
        }
      }
    }
    for (var i = 0u; i < OWN; i++) { // @unroll
      let own = lane * OWN + i;
      let token = tile + row * TOKENS + own % TOKENS;
      if (own < DOTS && token < length) {
        scores[(kv_head * GROUP + own / TOKENS) * CAPACITY + token] = dots[i];
      }
    }
  }
}
