// pq_start.wgsl: k-means of a prompt's keys, first: keys as the first centroids.
//
// Dispatch (quads of a row, KV heads, batch). A thread copies four elements of a centroid.
//
// Centroid c is a key of the c-th of CENTROIDS even stretches of the sequence, at a place that the
// seed decides. A sequence of fewer than CENTROIDS tokens has equal ones, the first of
// which gets all of their keys.
const HEAD_DIM: u32 = 128u; // @param
const KV_HEADS: u32 = 8u; // @param
const CAPACITY: u32 = 4096u; // @param
const KV_DTYPE: u32 = 1u; // @param 0 f32, 1 f16, 2 bf16
const SEED: u32 = 1u; // @param

const CENTROIDS = 256u;
const HEAD_QUADS = HEAD_DIM / 4u;

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read> keys: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read_write> means: array<vec4f>;

// @shared hash
/// A hash of 32 bits in which every bit of `x` changes about half of the bits.
fn hash(x: u32) -> u32 {
  var h = (x ^ (x >> 16u)) * 0x7feb352du;
  h = (h ^ (h >> 15u)) * 0x846ca68bu;
  return h ^ (h >> 16u);
}
// @end

// @shared key_quad
/// Elements 4 * at .. 4 * at + 3 of the keys.
fn key_quad(at: u32) -> vec4f {
  if (KV_DTYPE == 0u) {
    return bitcast<vec4f>(vec4<u32>(keys[2u * at], keys[2u * at + 1u]));
  }
  let pair = keys[at];
  if (KV_DTYPE == 1u) {
    return vec4f(unpack2x16float(pair.x), unpack2x16float(pair.y));
  }
  let low = pair << vec2<u32>(16u);
  let high = pair & vec2<u32>(0xffff0000u);
  return bitcast<vec4f>(vec4<u32>(low.x, high.x, low.y, high.y));
}
// @end

@compute @workgroup_size(CENTROIDS)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) c: u32,
) {
  let length = lengths[wid.z];
  let head = wid.z * KV_HEADS + wid.y;
  let first = c * length / CENTROIDS;
  let stretch = max(1u, (c + 1u) * length / CENTROIDS - first);
  let token = first + hash(SEED * 0x9e3779b9u + c) % stretch;
  means[(head * HEAD_QUADS + wid.x) * CENTROIDS + c] =
    key_quad((head * CAPACITY + token) * HEAD_QUADS + wid.x);
}
