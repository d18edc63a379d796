// Last third of naive dense decode: the output as the weighted sum of all rows of V.
//
// Dispatch (slices of the head dim, query heads, batch): a workgroup makes LANES 16-byte loads'
// worth of columns of one output row. WORKGROUP / LANES threads go side by side over the tokens,
// TOKENS deep, and are joined at the end. No GQA packing: each query head reads V again.
// Weights lie as [batch, query heads, capacity].
const HEAD_DIM: u32 = 128u; // @param
const GROUP: u32 = 4u; // @param query heads per KV head
const Q_HEADS: u32 = 32u; // @param
const KV_HEADS: u32 = 8u; // @param
const CAPACITY: u32 = 1024u; // @param tokens a cache row block holds
const KV_DTYPE: u32 = 1u; // @param 0 f32, 1 f16, 2 bf16
const WORKGROUP: u32 = 256u; // @param
const LANES: u32 = 4u; // @param threads per slice of a row
const TOKENS: u32 = 4u; // @param rows in flight per thread

const WIDTH = 4u + 4u * u32(KV_DTYPE != 0u); // values of a 16-byte load
const QUADS = WIDTH / 4u; // vec4f of a load
const ROW_LOADS = HEAD_DIM / WIDTH;
const ROWS = WORKGROUP / LANES; // rows side by side
const TILE = ROWS * TOKENS;
const COLUMNS = LANES * QUADS; // vec4f of a slice
const HEAD_QUADS = HEAD_DIM / 4u;

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read> scores: array<f32>;
@group(0) @binding(2) var<storage, read> values: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4f>;

var<workgroup> sums: array<vec4f, ROWS * COLUMNS>;

/// Values 4*quad .. 4*quad+3 of a 16-byte load.
fn widen(raw: vec4<u32>, quad: u32) -> vec4f {
  if (KV_DTYPE == 0u) {
    return bitcast<vec4f>(raw);
  }
  let pair = select(raw.xy, raw.zw, quad == 1u);
  if (KV_DTYPE == 1u) {
    return vec4f(unpack2x16float(pair.x), unpack2x16float(pair.y));
  }
  return bitcast<vec4f>(vec4<u32>(pair.x << 16u, pair.x & 0xffff0000u, pair.y << 16u, pair.y & 0xffff0000u));
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let lane = thread % LANES;
  let row = thread / LANES;
  let length = lengths[wid.z];
  let cache = (wid.z * KV_HEADS + wid.y / GROUP) * CAPACITY;
  let head = wid.z * Q_HEADS + wid.y;

  var total: array<vec4f, QUADS>;
  for (var begin = 0u; begin < length; begin += TILE) {
    var raw: array<vec4<u32>, TOKENS>;
    var weight: array<f32, TOKENS>;
    // @unroll
    for (var t = 0u; t < TOKENS; t++) {
      // Rows past the end repeat the last one of the sequence: what lies beyond it may be NaN.
      let at = begin + t * ROWS + row;
      let token = min(at, length - 1u);
      raw[t] = values[(cache + token) * ROW_LOADS + wid.x * LANES + lane];
      weight[t] = select(0.0, scores[head * CAPACITY + token], at < length);
    }
    // @unroll
    for (var t = 0u; t < TOKENS; t++) {
      // @unroll
      for (var quad = 0u; quad < QUADS; quad++) {
        total[quad] += weight[t] * widen(raw[t], quad);
      }
    }
  }
  // @unroll
  for (var quad = 0u; quad < QUADS; quad++) {
    sums[row * COLUMNS + lane * QUADS + quad] = total[quad];
  }
  workgroupBarrier();
  for (var i = ROWS / 2u; i > 0u; i /= 2u) {
    for (var at = thread; at < i * COLUMNS; at += WORKGROUP) {
      sums[at] += sums[at + i * COLUMNS];
    }
    workgroupBarrier();
  }
  for (var column = thread; column < COLUMNS; column += WORKGROUP) {
    out[head * HEAD_QUADS + wid.x * COLUMNS + column] = sums[column];
  }
}
