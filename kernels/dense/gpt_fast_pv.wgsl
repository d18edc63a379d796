// gpt-fast's dense decode, 3 of 4: P*V, split over the cache (split-K, as of a GEMV).
//
// Dispatch (query heads, splits, batch): a workgroup adds up the weighted rows of V of every
// SPLITS-th tile, over all of the static cache's capacity. LANES threads share a row in 16-byte
// loads; WORKGROUP / LANES rows go side by side, TOKENS of them in flight per thread. No GQA packing:
// each query head reads V as repeat_interleave repeats it.
// Weights lie as f32 [batch, query heads, capacity], sums as f32 [batch, query heads, SPLITS, head dim].
const HEAD_DIM: u32 = 128u; // @param
const GROUP: u32 = 4u; // @param query heads per KV head
const Q_HEADS: u32 = 32u; // @param
const KV_HEADS: u32 = 8u; // @param
const CAPACITY: u32 = 1024u; // @param slots of the cache per head
const KV_DTYPE: u32 = 1u; // @param 0 f32, 1 f16, 2 bf16
const WORKGROUP: u32 = 256u; // @param
const LANES: u32 = 16u; // @param threads per row
const TOKENS: u32 = 8u; // @param rows in flight per thread
const SPLITS: u32 = 8u; // @param

// @shared row_layout
const WIDTH = 4u + 4u * u32(KV_DTYPE != 0u); // values of a 16-byte load
const QUADS = WIDTH / 4u; // vec4f of a load
const ROW_LOADS = HEAD_DIM / WIDTH; // loads of a row
const CHUNKS = ROW_LOADS / LANES; // loads of a row per thread
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

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let lane = thread % LANES;
  let row = thread / LANES;
  let length = lengths[wid.z];
  let head = wid.z * Q_HEADS + wid.x;
  let cache = (wid.z * KV_HEADS + wid.x / GROUP) * CAPACITY;

  var total: array<vec4f, PARTS>;
  for (var tile = wid.y * TILE; tile < CAPACITY; tile += SPLITS * TILE) {
    // All loads of the tile are in flight before the first use.
    var v: array<vec4<u32>, LOADS>;
    var weight: array<f32, TOKENS>;
    for (var load = 0u; load < LOADS; load++) { // @unroll
      let slot = min(tile + (load / CHUNKS) * ROWS + row, CAPACITY - 1u);
      v[load] = values[(cache + slot) * ROW_LOADS + (load % CHUNKS) * LANES + lane];
    }
    for (var t = 0u; t < TOKENS; t++) { // @unroll
      weight[t] = scores[head * CAPACITY + min(tile + t * ROWS + row, CAPACITY - 1u)];
    }
    for (var t = 0u; t < TOKENS; t++) { // @unroll
      // A masked slot weighs 0, but may hold NaN, which 0 times does not remove: a select does.
      let inside = tile + t * ROWS + row < length;
      for (var part = 0u; part < PARTS; part++) { // @unroll
        let raw = select(vec4<u32>(), v[t * CHUNKS + part / QUADS], inside);
        total[part] += weight[t] * widen(raw, part % QUADS);
      }
    }
  }

  for (var part = 0u; part < PARTS; part++) { // @unroll
    let column = ((part / QUADS) * LANES + lane) * QUADS + part % QUADS;
    sums[row * HEAD_QUADS + column] = total[part];
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
