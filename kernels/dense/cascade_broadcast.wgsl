// cascade_broadcast.wgsl: cascade.wgsl with keys and values in registers alone.
//
// cascade.wgsl passes both operands of its products through workgroup memory, with barriers for each
// chunk of them. Here a thread loads its own keys and its own elements of V, and only what all lanes
// want at the same time comes from workgroup memory: queries, and probabilities. A tile takes three
// barriers, and a load from workgroup memory serves 16 multiply-adds.
//
// Dispatch (splits, KV heads, tiles of rows). Rows are query heads of a KV head of all sequences, as
// in cascade.wgsl. A workgroup owns ROW_GROUPS groups of ROWS rows. LANES threads compute a group:
// for the scores each takes four adjacent keys of the tile, for the output a vec4f of the row. All
// groups take the same tiles, every SPLITS-th of the prefix, and find each other's keys in the cache.
//
// 1. Stage the queries, and request the first keys.
// 2. Add the products of LOADS loads of each key to the scores, and request the next ones. Repeat
//    for the head dimension. Then request the first values.
// 3. Update the running maximum m, and rescale l and acc.
// 4. Compute p = exp2(score - m).
// 5. Add p times values to acc. Repeat 2 to 5 for all tiles.
// 6. Sum l over the lanes, join the lanes that share a vec4f, and store the partial.
const HEAD_DIM: u32 = 128u; // @param
const BATCH: u32 = 8u; // @param sequences
const GROUP: u32 = 4u; // @param query heads per KV head
const KV_HEADS: u32 = 8u; // @param
const PREFIX: u32 = 1024u; // @param tokens that all sequences share
const KV_DTYPE: u32 = 1u; // @param 0 f32, 1 f16, 2 bf16
const ROWS: u32 = 8u; // @param rows of a thread
const ROW_GROUPS: u32 = 4u; // @param of a workgroup
const LANES: u32 = 32u; // @param threads of a row group, at least HEAD_DIM / 4
const LOADS: u32 = 1u; // @param 16-byte loads of a key in flight, a divisor of those of a row
const SPLITS: u32 = 8u; // @param of the prefix
const OWN_SPLITS: u32 = 1u; // @param partials of the sequence's own tokens

const WORKGROUP = ROW_GROUPS * LANES;
const WIDTH = 4u + 4u * u32(KV_DTYPE != 0u); // values of a 16-byte load
const QUADS = WIDTH / 4u; // vec4f of a load
const ROW_LOADS = HEAD_DIM / WIDTH; // loads of a row
const HEAD_QUADS = HEAD_DIM / 4u;
const CHUNKS = ROW_LOADS / LOADS; // of the head dimension
const CHUNK_QUADS = LOADS * QUADS;
const HALVES = 3u - QUADS; // 8-byte loads of a vec4f of V
const TILE = 4u * LANES; // keys
const STRIDE = SPLITS * TILE; // tokens from a tile of a split to its next one
// Lanes beyond a row of V take other keys: a power of two of parts.
const KEY_PARTS = 1u << (31u - countLeadingZeros(LANES / HEAD_QUADS));
const STEPS = LANES / KEY_PARTS; // fours of keys of a part
const ALL_ROWS = BATCH * GROUP; // of a KV head
const TILE_ROWS = ROW_GROUPS * ROWS;
const ODD_ROWS = ROWS / 2u * 2u + 1u; // as a stride it spreads lanes over the banks
// @shared softmax
const NEG_LARGE = -1e30; // in place of minus infinity, for which WGSL promises nothing
const LOG2_E = 1.4426950408889634; // logits are in log2 units
// @end

@group(0) @binding(0) var<storage, read> q: array<vec4f>;
@group(0) @binding(1) var<storage, read> keys: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> values: array<vec2<u32>>;
@group(0) @binding(3) var<storage, read_write> partial_out: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> partial_stats: array<vec2f>;

// In the hot loops the last index of these arrays is constant, so that bounds are checked once.
var<workgroup> queries: array<array<vec4f, CHUNK_QUADS * ROWS>, ROW_GROUPS * CHUNKS>;
/// p of four keys, by lane and row. In the end acc.
var<workgroup> probabilities: array<array<vec4f, ODD_ROWS>, WORKGROUP>;
var<workgroup> highest: array<array<f32, ODD_ROWS>, WORKGROUP>; // scores of a lane; in the end l
var<workgroup> tile_m: array<array<f32, ROWS>, ROW_GROUPS>;

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

// @shared widen_pair
/// A quad of values, which is one 8-byte load, or two of f32.
fn widen_pair(low: vec2<u32>, high: vec2<u32>) -> vec4f {
  if (KV_DTYPE == 0u) {
    return bitcast<vec4f>(vec4<u32>(low, high));
  }
  if (KV_DTYPE == 1u) {
    return vec4f(unpack2x16float(low.x), unpack2x16float(low.y));
  }
  let even = low << vec2<u32>(16u);
  let odd = low & vec2<u32>(0xffff0000u);
  return bitcast<vec4f>(vec4<u32>(even.x, odd.x, even.y, odd.y));
}
// @end

// @shared add_dot
/// sum + dot(a, b), as four fused multiply-adds.
fn add_dot(sum: f32, a: vec4f, b: vec4f) -> f32 {
  return fma(a.w, b.w, fma(a.z, b.z, fma(a.y, b.y, fma(a.x, b.x, sum))));
}
// @end

/// The query head, counted through all sequences, of a row of a KV head. Rows past the last repeat it.
fn head_of(kv_head: u32, row: u32) -> u32 {
  let own = min(row, ALL_ROWS - 1u);
  return (own / GROUP * KV_HEADS + kv_head) * GROUP + own % GROUP;
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let kv_head = wid.y;
  let first_row = wid.z * TILE_ROWS;
  let group = thread / LANES;
  let lane = thread % LANES;
  let quad = lane % HEAD_QUADS; // of V and of the output
  let part = min(lane / HEAD_QUADS, KEY_PARTS - 1u);
  let cache = kv_head * PREFIX;

  // 1. Stage the queries, and request the first keys. Prefixes are multiples of four tokens, so fours
  // of keys lie within or past one. Those past it repeat its last four; step 2 masks their scores.
  for (var i = thread; i < TILE_ROWS * HEAD_QUADS; i += WORKGROUP) {
    let row = i / HEAD_QUADS;
    let at = i % HEAD_QUADS;
    let query = q[head_of(kv_head, first_row + row) * HEAD_QUADS + at];
    queries[row / ROWS * CHUNKS + at / CHUNK_QUADS][at % CHUNK_QUADS * ROWS + row % ROWS] =
      query * (LOG2_E / sqrt(f32(HEAD_DIM)));
  }
  var first_key = min(wid.x * TILE + 4u * lane, PREFIX - 4u);
  var loaded_k: array<vec4<u32>, 4u * LOADS>;
  for (var k = 0u; k < 4u; k++) { // @unroll
    for (var i = 0u; i < LOADS; i++) { // @unroll
      loaded_k[k * LOADS + i] = keys[(cache + first_key + k) * ROW_LOADS + i];
    }
  }
  var acc = array<vec4f, ROWS>();
  var l = array<f32, ROWS>(); // of this thread's keys alone
  var m: array<f32, ROWS>;
  for (var r = 0u; r < ROWS; r++) { // @unroll
    m[r] = NEG_LARGE;
  }
  workgroupBarrier();

  for (var tile = wid.x * TILE; tile < PREFIX; tile += STRIDE) {
    // 2. Compute the scores.
    let next_first_key = min(tile + STRIDE + 4u * lane, PREFIX - 4u);
    var scores = array<vec4f, ROWS>(); // of four keys
    for (var chunk = 0u; chunk < CHUNKS; chunk++) {
      let raw = loaded_k;
      let is_last = chunk + 1u == CHUNKS;
      let next_row = cache + select(first_key, next_first_key, is_last);
      let next_load = select((chunk + 1u) * LOADS, 0u, is_last);
      for (var k = 0u; k < 4u; k++) { // @unroll
        for (var i = 0u; i < LOADS; i++) { // @unroll
          loaded_k[k * LOADS + i] = keys[(next_row + k) * ROW_LOADS + next_load + i];
        }
      }
      for (var at = 0u; at < CHUNK_QUADS; at++) { // @unroll
        let key_0 = widen(raw[at / QUADS], at % QUADS);
        let key_1 = widen(raw[LOADS + at / QUADS], at % QUADS);
        let key_2 = widen(raw[2u * LOADS + at / QUADS], at % QUADS);
        let key_3 = widen(raw[3u * LOADS + at / QUADS], at % QUADS);
        for (var r = 0u; r < ROWS; r++) { // @unroll
          let query = queries[group * CHUNKS + chunk][at * ROWS + r];
          scores[r] = vec4f(
            add_dot(scores[r].x, query, key_0),
            add_dot(scores[r].y, query, key_1),
            add_dot(scores[r].z, query, key_2),
            add_dot(scores[r].w, query, key_3),
          );
        }
      }
    }
    first_key = next_first_key;
    var loaded_v: array<vec2<u32>, 4u * HALVES>;
    let first_value = cache + min(tile + 4u * part, PREFIX - 4u);
    for (var k = 0u; k < 4u; k++) { // @unroll
      for (var half = 0u; half < HALVES; half++) { // @unroll
        let at = ((first_value + k) * HEAD_QUADS + quad) * HALVES + half;
        loaded_v[k * HALVES + half] = values[at];
      }
    }

    // 3. Update the running maximum.
    if (tile + 4u * lane >= PREFIX) {
      for (var r = 0u; r < ROWS; r++) { // @unroll
        scores[r] = vec4f(NEG_LARGE);
      }
    }
    for (var r = 0u; r < ROWS; r++) { // @unroll
      highest[thread][r] = max(max(scores[r].x, scores[r].y), max(scores[r].z, scores[r].w));
    }
    workgroupBarrier();
    if (lane < ROWS) {
      var high = NEG_LARGE;
      for (var peer = 0u; peer < LANES; peer++) { // @unroll
        high = max(high, highest[group * LANES + peer][lane]);
      }
      tile_m[group][lane] = high;
    }
    workgroupBarrier();

    // 4. Compute p, and leave it for the lanes of the group.
    for (var r = 0u; r < ROWS; r++) { // @unroll
      let m_new = max(m[r], tile_m[group][r]);
      let alpha = exp2(m[r] - m_new);
      let p = exp2(scores[r] - m_new);
      m[r] = m_new;
      l[r] = l[r] * alpha + dot(p, vec4f(1.0));
      acc[r] *= alpha;
      probabilities[thread][r] = p;
    }
    workgroupBarrier();

    // 5. Add p times values to acc.
    for (var step = 0u; step < STEPS; step++) {
      let raw = loaded_v;
      let next_four = min(step + 1u, STEPS - 1u) * KEY_PARTS + part;
      let next_value = cache + min(tile + 4u * next_four, PREFIX - 4u);
      for (var k = 0u; k < 4u; k++) { // @unroll
        for (var half = 0u; half < HALVES; half++) { // @unroll
          let at = ((next_value + k) * HEAD_QUADS + quad) * HALVES + half;
          loaded_v[k * HALVES + half] = values[at];
        }
      }
      let value_0 = widen_pair(raw[0], raw[HALVES - 1u]);
      let value_1 = widen_pair(raw[HALVES], raw[2u * HALVES - 1u]);
      let value_2 = widen_pair(raw[2u * HALVES], raw[3u * HALVES - 1u]);
      let value_3 = widen_pair(raw[3u * HALVES], raw[4u * HALVES - 1u]);
      for (var r = 0u; r < ROWS; r++) { // @unroll
        let p = probabilities[group * LANES + step * KEY_PARTS + part][r];
        acc[r] = fma(vec4f(p.x), value_0, acc[r]);
        acc[r] = fma(vec4f(p.y), value_1, acc[r]);
        acc[r] = fma(vec4f(p.z), value_2, acc[r]);
        acc[r] = fma(vec4f(p.w), value_3, acc[r]);
      }
    }
  }

  // 6. Sum l, join the parts, and store the partial.
  workgroupBarrier();
  for (var r = 0u; r < ROWS; r++) { // @unroll
    highest[thread][r] = l[r];
    probabilities[thread][r] = acc[r];
  }
  workgroupBarrier();
  for (var r = 0u; r < ROWS; r++) { // @unroll
    let row = first_row + group * ROWS + r;
    if (row < ALL_ROWS) {
      let partial = head_of(kv_head, row) * (OWN_SPLITS + SPLITS) + OWN_SPLITS + wid.x;
      if (lane < HEAD_QUADS) {
        var sum = vec4f(0.0);
        for (var each = 0u; each < KEY_PARTS; each++) { // @unroll
          sum += probabilities[group * LANES + each * HEAD_QUADS + lane][r];
        }
        partial_out[partial * HEAD_QUADS + lane] = sum;
      }
      if (lane == 0u) {
        var row_l = 0.0;
        for (var peer = 0u; peer < LANES; peer++) { // @unroll
          row_l += highest[group * LANES + peer][r];
        }
        partial_stats[partial] = vec2f(m[r], row_l);
      }
    }
  }
}
