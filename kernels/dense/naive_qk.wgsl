// First third of naive dense decode: one score per query head and cached token.
//
// Dispatch (blocks of tokens, query heads, batch): a workgroup scores WORKGROUP / LANES * TOKENS
// tokens against one query head; those past the sequence's end leave early. LANES threads share a
// row of K in 16-byte loads. No GQA packing: each query head reads K again.
// Scores lie as [batch, query heads, capacity] in log2 units.
const HEAD_DIM: u32 = 128u; // @param
const GROUP: u32 = 4u; // @param query heads per KV head
const Q_HEADS: u32 = 32u; // @param
const KV_HEADS: u32 = 8u; // @param
const CAPACITY: u32 = 1024u; // @param tokens a cache row block holds
const KV_DTYPE: u32 = 1u; // @param 0 f32, 1 f16, 2 bf16
const WORKGROUP: u32 = 256u; // @param
const LANES: u32 = 4u; // @param threads per row
const TOKENS: u32 = 4u; // @param rows in flight per thread

const WIDTH = 4u + 4u * u32(KV_DTYPE != 0u); // values of a 16-byte load
const QUADS = WIDTH / 4u; // vec4f of a load
const ROW_LOADS = HEAD_DIM / WIDTH;
const CHUNKS = ROW_LOADS / LANES; // loads of a row per thread
const ROWS = WORKGROUP / LANES; // rows side by side
const TILE = ROWS * TOKENS;
const HEAD_QUADS = HEAD_DIM / 4u;
const LOG2_E = 1.4426950408889634;

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read> q: array<vec4f>;
@group(0) @binding(2) var<storage, read> keys: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read_write> scores: array<f32>;

var<workgroup> sums: array<f32, WORKGROUP * TOKENS>;

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
  let begin = wid.x * TILE;
  let length = lengths[wid.z];
  if (begin >= length) {
    return;
  }
  let lane = thread % LANES;
  let row = thread / LANES;
  let cache = (wid.z * KV_HEADS + wid.y / GROUP) * CAPACITY;
  let head = wid.z * Q_HEADS + wid.y;

  var sum: array<f32, TOKENS>;
  // @unroll
  for (var chunk = 0u; chunk < CHUNKS; chunk++) {
    // @unroll
    for (var t = 0u; t < TOKENS; t++) {
      // Rows past the end repeat the last one of the sequence: what lies beyond it may be NaN.
      let token = min(begin + t * ROWS + row, length - 1u);
      let raw = keys[(cache + token) * ROW_LOADS + chunk * LANES + lane];
      // @unroll
      for (var quad = 0u; quad < QUADS; quad++) {
        let query = q[head * HEAD_QUADS + (chunk * LANES + lane) * QUADS + quad];
        sum[t] += dot(widen(raw, quad), query);
      }
    }
  }
  // @unroll
  for (var t = 0u; t < TOKENS; t++) {
    sums[(t * ROWS + row) * LANES + (lane + row) % LANES] = sum[t];
  }
  workgroupBarrier();
  for (var token = thread; token < min(TILE, length - begin); token += WORKGROUP) {
    var score = 0.0;
    // @unroll
    for (var i = 0u; i < LANES; i++) {
      score += sums[token * LANES + (i + token) % LANES];
    }
    scores[head * CAPACITY + begin + token] = score * (LOG2_E / sqrt(f32(HEAD_DIM)));
  }
}
