// dot.wgsl: exact scores, the dot products of queries and keys.
//
// Dispatch (blocks of TILE tokens, KV heads, batch). A workgroup reads its keys once for all query
// heads of the group.
//
// LANES threads share a row of K in 16-byte loads: a row group. ROWS row groups work side by side,
// each with TOKENS rows in flight. Workgroup memory sums the dots. Scores are not scaled.
//
// 1. Load keys and queries.
// 2. Leave each lane's part of each dot in workgroup memory.
// 3. Add up the parts, and store the scores.
const HEAD_DIM: u32 = 128u; // @param
const GROUP: u32 = 4u; // @param query heads per KV head
const KV_HEADS: u32 = 8u; // @param
const CAPACITY: u32 = 1024u; // @param tokens a cache row block holds
const KV_DTYPE: u32 = 1u; // @param 0 f32, 1 f16, 2 bf16
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

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read> q: array<vec4f>;
@group(0) @binding(2) var<storage, read> keys: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read_write> scores: array<f32>;

var<workgroup> parts: array<f32, GROUP * TILE * LANES>;

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
  let begin = wid.x * TILE;
  let length = lengths[wid.z];
  if (begin >= length) {
    return;
  }

  // 1. Load keys and queries. All loads of keys are in flight before the first use.
  var k: array<vec4<u32>, LOADS>;
  for (var load = 0u; load < LOADS; load++) { // @unroll
    let token = min(begin + (load / CHUNKS) * ROWS + row, length - 1u);
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

  // 2. Leave each lane's part of each dot in workgroup memory. Places are rotated by the row, so
  // that threads that add up different dots read from different banks.
  for (var t = 0u; t < TOKENS; t++) { // @unroll
    var sums = array<f32, GROUP>();
    for (var part = 0u; part < PARTS; part++) { // @unroll
      let k_quad = widen(k[t * CHUNKS + part / QUADS], part % QUADS);
      for (var h = 0u; h < GROUP; h++) { // @unroll
        sums[h] += dot(k_quad, query[h * PARTS + part]);
      }
    }
    for (var h = 0u; h < GROUP; h++) { // @unroll
      parts[(h * TILE + t * ROWS + row) * LANES + (lane + row) % LANES] = sums[h];
    }
  }
  workgroupBarrier();

  // 3. Add up the parts, and store the scores: neighbours store neighbours.
  for (var i = thread; i < GROUP * TILE; i += WORKGROUP) {
    var score = 0.0;
    for (var j = 0u; j < LANES; j++) { // @unroll
      score += parts[i * LANES + (j + i) % LANES];
    }
    let token = begin + i % TILE;
    if (token < length) {
      scores[(kv_head * GROUP + i / TILE) * CAPACITY + token] = score;
    }
  }
}
