// pq_append.wgsl: the codes of the newest key, for each part the nearest centroid.
//
// Dispatch (rows of codes, KV heads, batch). A workgroup makes the codes of the WORD_PARTS parts
// that share a word. LANES threads share the centroids of a part.
//
// The nearest centroid c of a part k has the largest k . c - |c|^2 / 2; of equally near ones it is
// the first. A part that has a NaN has code 0.
//
// 1. Find the nearest centroid of each thread.
// 2. Find the nearest one of each part.
// 3. Store the codes.
const HEAD_DIM: u32 = 128u; // @param
const KV_HEADS: u32 = 8u; // @param
const CAPACITY: u32 = 4096u; // @param
const KV_DTYPE: u32 = 1u; // @param 0 f32, 1 f16, 2 bf16
const CENTROID_DTYPE: u32 = 1u; // @param 0 f32, 1 f16
const PARTS: u32 = 8u; // @param parts of a key
const WORKGROUP: u32 = 256u; // @param

// @shared pq_sizes
const CENTROIDS = 256u; // of a part
const PART_DIM = HEAD_DIM / PARTS; // elements of a part
const PART_QUADS = PART_DIM / 4u;
const HEAD_QUADS = HEAD_DIM / 4u;
const WORD_PARTS = min(PARTS, 4u); // parts of a token whose codes share a word
const WORD_TOKENS = 4u / WORD_PARTS; // tokens that share a word of codes
const CODE_ROWS = PARTS / WORD_PARTS; // rows of codes of a KV head
// @end
// @shared pq_least
const LEAST = -3.4028234e38; // nearness that a finite one exceeds
// @end
const LANES = WORKGROUP / WORD_PARTS; // threads of a part
const SHARE = CENTROIDS / LANES; // centroids of a thread

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read> keys: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read> centroids: array<vec2<u32>>;
@group(0) @binding(3) var<storage, read_write> pq_codes: array<u32>;

var<workgroup> nearness: array<f32, WORKGROUP>;
var<workgroup> nearest: array<u32, WORKGROUP>;

// @shared centroid_quad
/// Four elements of a centroid; `at` counts [B, KV heads, HEAD_QUADS, CENTROIDS].
fn centroid_quad(at: u32) -> vec4f {
  if (CENTROID_DTYPE == 0u) {
    return bitcast<vec4f>(vec4<u32>(centroids[2u * at], centroids[2u * at + 1u]));
  }
  let pair = centroids[at];
  return vec4f(unpack2x16float(pair.x), unpack2x16float(pair.y));
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

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let newest = lengths[wid.z] - 1u;
  let head = wid.z * KV_HEADS + wid.y;
  let lane = thread % LANES;
  let first_quad = (wid.x * WORD_PARTS + thread / LANES) * PART_QUADS;

  // 1. Find the nearest centroid of the thread.
  var near: array<f32, SHARE>;
  for (var quad = first_quad; quad < first_quad + PART_QUADS; quad++) {
    let key = key_quad((head * CAPACITY + newest) * HEAD_QUADS + quad);
    for (var i = 0u; i < SHARE; i++) { // @unroll
      let centroid = centroid_quad((head * HEAD_QUADS + quad) * CENTROIDS + i * LANES + lane);
      near[i] += dot(key, centroid) - 0.5 * dot(centroid, centroid);
    }
  }
  var best = LEAST;
  var code = lane;
  for (var i = 0u; i < SHARE; i++) { // @unroll
    if (near[i] > best) {
      best = near[i];
      code = i * LANES + lane;
    }
  }
  nearness[thread] = best;
  nearest[thread] = code;
  workgroupBarrier();

  // 2. Find the nearest one of the part.
  for (var stride = LANES / 2u; stride > 0u; stride /= 2u) {
    if (lane < stride) {
      let other = nearness[thread + stride];
      let other_code = nearest[thread + stride];
      if (other > best || (other == best && other_code < code)) {
        best = other;
        code = other_code;
        nearness[thread] = best;
        nearest[thread] = code;
      }
    }
    workgroupBarrier();
  }

  // 3. Store the codes. The other tokens of the word keep theirs.
  if (thread == 0u) {
    let at = ((head * CODE_ROWS + wid.x) * CAPACITY + newest) / WORD_TOKENS;
    let first_bit = newest % WORD_TOKENS * WORD_PARTS * 8u;
    var word = pq_codes[at];
    for (var part = 0u; part < WORD_PARTS; part++) { // @unroll
      word = insertBits(word, nearest[part * LANES], first_bit + 8u * part, 8u);
    }
    pq_codes[at] = word;
  }
}
