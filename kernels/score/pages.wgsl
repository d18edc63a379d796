// pages.wgsl: upper bounds of the dot products of queries with the keys of each page (Quest).
//
// Dispatch (blocks of TILE pages + APPEND, KV heads, batch). A workgroup reads the bounds of its
// pages once for all query heads of the group. The score of a page is the sum over the channels of
// max(q least, q largest). It is not scaled. The newest page has no score: it is always attended.
// So with APPEND = 1 the last workgroup puts the newest token into that page's bounds meanwhile.
//
// LANES threads share a row of bounds in 16-byte loads: a row group. ROWS row groups work side by
// side, each with TOKENS pages in flight. Workgroup memory sums the scores.
//
// 1. Load bounds and queries.
// 2. Leave each lane's part of each score in workgroup memory.
// 3. Add up the parts, and store the scores.
const HEAD_DIM: u32 = 128u; // @param
const GROUP: u32 = 4u; // @param query heads per KV head
const KV_HEADS: u32 = 8u; // @param
const CAPACITY: u32 = 1024u; // @param tokens a cache row block holds
const KV_DTYPE: u32 = 1u; // @param 0 f32, 1 f16, 2 bf16
const WORKGROUP: u32 = 128u; // @param
const LANES: u32 = 16u; // @param threads per row
const TOKENS: u32 = 2u; // @param pages in flight per thread
const APPEND: u32 = 0u; // @param 1 to put the newest token into the bounds of its page

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
// @shared page_sizes
const PAGE_TOKENS = 16u;
const PAGES = (CAPACITY / PAGE_TOKENS + 15u) / 16u * 16u; // pages that a KV head has room for
// @end

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read> q: array<vec4f>;
@group(0) @binding(2) var<storage, read> keys: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read_write> page_bounds: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read_write> scores: array<f32>;

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

// @shared extreme
/// Keys of elements in the upper halves of words, or of f32. A larger element has a larger key. -0
/// is below +0, and NaN is beyond infinity.
fn element_keys(bits: vec4<u32>) -> vec4<u32> {
  return select(bits | vec4<u32>(0x80000000u), ~bits, bits >= vec4<u32>(0x80000000u));
}

/// Of each element of two loads of keys the smaller one, or with `flip` 0xffffffff the larger one.
fn extreme(a: vec4<u32>, b: vec4<u32>, flip: u32) -> vec4<u32> {
  let flips = vec4<u32>(flip);
  let upper = select(b, a, (element_keys(a) ^ flips) < (element_keys(b) ^ flips));
  if (KV_DTYPE == 0u) {
    return upper;
  }
  let low_a = a << vec4<u32>(16u);
  let low_b = b << vec4<u32>(16u);
  let lower = select(low_b, low_a, (element_keys(low_a) ^ flips) < (element_keys(low_b) ^ flips));
  return (upper & vec4<u32>(0xffff0000u)) | (lower >> vec4<u32>(16u));
}
// @end

// @shared bound_newest
/// Column `column` of the newest token of a KV head goes into the bounds of its page. The first
/// token of a page begins them.
fn bound_newest(kv_head: u32, token: u32, column: u32) {
  let key = keys[(kv_head * CAPACITY + token) * ROW_LOADS + column];
  let least = (kv_head * PAGES + token / PAGE_TOKENS) * 2u * ROW_LOADS + column;
  if (token % PAGE_TOKENS == 0u) {
    page_bounds[least] = key;
    page_bounds[least + ROW_LOADS] = key;
  } else {
    page_bounds[least] = extreme(page_bounds[least], key, 0u);
    page_bounds[least + ROW_LOADS] = extreme(page_bounds[least + ROW_LOADS], key, 0xffffffffu);
  }
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
  let kv_head = wid.z * KV_HEADS + wid.y;
  let begin = wid.x * TILE;
  let newest = lengths[wid.z] - 1u;
  let ranked = newest / PAGE_TOKENS; // pages before the newest one
  if (APPEND == 1u && wid.x == grid.x - 1u) {
    for (var column = thread; column < ROW_LOADS; column += WORKGROUP) {
      bound_newest(kv_head, newest, column);
    }
    return;
  }
  if (begin >= ranked) {
    return;
  }

  // 1. Load bounds and queries. All loads of bounds are in flight before the first use.
  var least: array<vec4<u32>, LOADS>;
  var largest: array<vec4<u32>, LOADS>;
  for (var load = 0u; load < LOADS; load++) { // @unroll
    let page = min(begin + (load / CHUNKS) * ROWS + row, ranked - 1u);
    let first = (kv_head * PAGES + page) * 2u * ROW_LOADS + lane;
    let at = first + chunk_offset(load % CHUNKS, lane);
    least[load] = page_bounds[at];
    largest[load] = page_bounds[at + ROW_LOADS];
  }
  var query: array<vec4f, GROUP * PARTS>;
  for (var h = 0u; h < GROUP; h++) { // @unroll
    for (var part = 0u; part < PARTS; part++) { // @unroll
      let quad = q[(kv_head * GROUP + h) * HEAD_QUADS + row_quad(part, lane)];
      query[h * PARTS + part] = quad * f32(part / QUADS * LANES + lane < ROW_LOADS);
    }
  }

  // 2. Leave each lane's part of each score in workgroup memory. Places are rotated by the row, so
  // that threads that add up different scores read from different banks. A positive element of a
  // query has the larger product with the largest element of the keys.
  for (var t = 0u; t < TOKENS; t++) { // @unroll
    var sums = array<f32, GROUP>();
    for (var part = 0u; part < PARTS; part++) { // @unroll
      let low = widen(least[t * CHUNKS + part / QUADS], part % QUADS);
      let high = widen(largest[t * CHUNKS + part / QUADS], part % QUADS);
      for (var h = 0u; h < GROUP; h++) { // @unroll
        let quad = query[h * PARTS + part];
        sums[h] += dot(quad, select(low, high, quad > vec4f(0.0)));
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
    let page = begin + i % TILE;
    if (page < ranked) {
      scores[(kv_head * GROUP + i / TILE) * PAGES + page] = score;
    }
  }
}
