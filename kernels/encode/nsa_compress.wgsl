// nsa_compress.wgsl: the compressed row of NSA's newest 32 tokens, of keys and of values.
//
// Dispatch (head dim / OUTPUTS, 2 * KV heads, batch). Every 16th token completes a row; at other
// lengths nothing is written. Row of keys: W (x + e), where x is the keys of the 32 tokens in
// order, e their learned positions within the row, and W a learned matrix of the KV head. Values
// have a matrix and positions of their own.
//
// LANES threads compute one element of the row. A row of W is as long as 32 rows of keys; all of it
// is in flight together.
//
// 1. Load the lane's part of W, of the tokens and of the positions, and multiply.
// 2. Add up the lanes.
// 3. Store the elements, two in a word if they have 16 bits.
const HEAD_DIM: u32 = 128u; // @param
const KV_HEADS: u32 = 8u; // @param
const CAPACITY: u32 = 1024u; // @param tokens that a cache has room for
const KV_DTYPE: u32 = 1u; // @param 0 f32, 1 f16, 2 bf16
const WORKGROUP: u32 = 256u; // @param
const OUTPUTS: u32 = 8u; // @param elements of a workgroup, an even number

// @shared nsa_sizes
const STRIDE = 16u; // tokens from a compressed row to the next one
const SPAN = 32u; // tokens of a compressed row
const WINDOW = 512u; // last tokens, which the window attends
const FIRST_COMPRESSED = CAPACITY; // row of a KV head in the caches: the tokens come first
const FIRST_RECENT = CAPACITY + CAPACITY / STRIDE; // row of the window's ring
const CACHE_ROWS = FIRST_RECENT + WINDOW;
// @end
const WIDTH = 4u + 4u * u32(KV_DTYPE != 0u); // values of a 16-byte load
const QUADS = WIDTH / 4u; // vec4f of a load
const ROW_LOADS = HEAD_DIM / WIDTH; // loads of a row
const SPAN_LOADS = SPAN * ROW_LOADS;
const LANES = WORKGROUP / OUTPUTS;
const LOADS = (SPAN_LOADS + LANES - 1u) / LANES; // of a lane

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read> raw_keys: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> raw_values: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> compress_map: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read> compress_positions: array<vec4<u32>>;
@group(0) @binding(5) var<storage, read_write> branch_keys: array<u32>;
@group(0) @binding(6) var<storage, read_write> branch_values: array<u32>;

var<workgroup> sums: array<f32, WORKGROUP>;

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

// @shared compressed_rows
/// Compressed rows that a token sees if it is the last of `length`: all their tokens are cached.
fn compressed_rows(length: u32) -> u32 {
  return select(0u, (length - SPAN) / STRIDE + 1u, length >= SPAN);
}
// @end

/// Where a load of the last tokens lies: token t at t % 32. Loads past the end repeat the last one.
fn ring_load(length: u32, load: u32) -> u32 {
  let at = min(load, SPAN_LOADS - 1u);
  return (length + at / ROW_LOADS) % SPAN * ROW_LOADS + at % ROW_LOADS;
}

/// Element `output` of the row: the sum of its lanes.
fn joined(output: u32) -> f32 {
  var sum = 0.0;
  for (var lane = 0u; lane < LANES; lane++) { // @unroll
    sum += sums[output * LANES + lane];
  }
  return sum;
}

/// The word of two elements of 16 bits.
fn packed(low: f32, high: f32) -> u32 {
  if (KV_DTYPE == 1u) {
    return pack2x16float(vec2f(low, high));
  }
  let bits = bitcast<vec2<u32>>(vec2f(low, high));
  let rounded = bits + vec2<u32>(0x7fffu) + ((bits >> vec2<u32>(16u)) & vec2<u32>(1u));
  return (rounded.x >> 16u) | (rounded.y & 0xffff0000u);
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let length = lengths[wid.z];
  if (length < SPAN || length % STRIDE != 0u) {
    return;
  }
  let map_head = wid.y / 2u;
  let is_values = wid.y % 2u == 1u;
  let kv_head = wid.z * KV_HEADS + map_head;
  let lane = thread % LANES;
  let output = wid.x * OUTPUTS + thread / LANES;

  // 1. Load, and multiply.
  var w: array<vec4<u32>, LOADS>;
  var x: array<vec4<u32>, LOADS>;
  var e: array<vec4<u32>, LOADS>;
  for (var i = 0u; i < LOADS; i++) { // @unroll
    let at = min(i * LANES + lane, SPAN_LOADS - 1u);
    w[i] = compress_map[(wid.y * HEAD_DIM + output) * SPAN_LOADS + at];
    e[i] = compress_positions[wid.y * SPAN_LOADS + at];
  }
  let first = kv_head * SPAN_LOADS;
  if (is_values) {
    for (var i = 0u; i < LOADS; i++) { // @unroll
      x[i] = raw_values[first + ring_load(length, i * LANES + lane)];
    }
  } else {
    for (var i = 0u; i < LOADS; i++) { // @unroll
      x[i] = raw_keys[first + ring_load(length, i * LANES + lane)];
    }
  }
  var sum = 0.0;
  for (var i = 0u; i < LOADS; i++) { // @unroll
    for (var quad = 0u; quad < QUADS; quad++) { // @unroll
      let part = dot(widen(w[i], quad), widen(x[i], quad) + widen(e[i], quad));
      sum += select(0.0, part, i * LANES + lane < SPAN_LOADS);
    }
  }

  // 2. Add up the lanes.
  sums[thread] = sum;
  workgroupBarrier();

  // 3. Store the elements.
  let row = kv_head * CACHE_ROWS + FIRST_COMPRESSED + compressed_rows(length) - 1u;
  let element = row * HEAD_DIM + wid.x * OUTPUTS + thread * QUADS;
  if (thread * QUADS < OUTPUTS) {
    var word = bitcast<u32>(joined(thread * QUADS));
    if (KV_DTYPE != 0u) {
      word = packed(joined(thread * QUADS), joined(thread * QUADS + QUADS - 1u));
    }
    if (is_values) {
      branch_values[element / QUADS] = word;
    } else {
      branch_keys[element / QUADS] = word;
    }
  }
}
