// pq_prompt.wgsl: the codes of all keys of a prompt, for each part the nearest centroid.
//
// Dispatch (tiles of tokens, KV heads x rows of codes, batch). A workgroup makes a word of codes of
// each of its tokens, one part after the other. It ends at once if its tokens lie past the
// sequence.
//
// The nearest centroid c of a part k has the largest k . c - |c|^2 / 2; of equally near ones it is
// the first. A part that has a NaN has code 0.
//
// A thread has a part of TOKENS keys in registers, and all threads read the same centroid from
// workgroup memory.
// For each part:
// 1. Load the keys.
// For each tile of centroids:
// 2. Put the centroids into workgroup memory, and half the squares of their lengths.
// 3. Compare each key with each centroid.
// At the end:
// 4. Store the codes.
const HEAD_DIM: u32 = 128u; // @param
const KV_HEADS: u32 = 8u; // @param
const CAPACITY: u32 = 4096u; // @param
const KV_DTYPE: u32 = 1u; // @param 0 f32, 1 f16, 2 bf16
const CENTROID_DTYPE: u32 = 1u; // @param 0 f32, 1 f16
const PARTS: u32 = 8u; // @param parts of a key
const TILE: u32 = 64u; // @param centroids in workgroup memory
const TOKENS: u32 = 2u; // @param tokens per thread
const WORKGROUP: u32 = 128u; // @param

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
const AHEAD = 2u; // centroids whose dot products are under way
const SPAN = WORKGROUP * TOKENS;

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read> keys: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read> centroids: array<vec2<u32>>;
@group(0) @binding(3) var<storage, read_write> pq_codes: array<u32>;

var<workgroup> staged: array<vec4f, TILE * PART_QUADS>;
var<workgroup> halves: array<f32, TILE>;

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
  let length = lengths[wid.z];
  if (wid.x * SPAN >= length) {
    return;
  }
  let head = wid.z * KV_HEADS + wid.y / CODE_ROWS;
  let row = wid.y % CODE_ROWS;
  let begin = wid.x * SPAN + thread * TOKENS;

  var words: array<u32, TOKENS>;
  for (var part = 0u; part < WORD_PARTS; part++) {
    let first_quad = (row * WORD_PARTS + part) * PART_QUADS;

    // 1. Load the keys.
    var key: array<vec4f, TOKENS * PART_QUADS>;
    for (var t = 0u; t < TOKENS; t++) { // @unroll
      let token = min(begin + t, length - 1u);
      for (var i = 0u; i < PART_QUADS; i++) { // @unroll
        key[t * PART_QUADS + i] =
          key_quad((head * CAPACITY + token) * HEAD_QUADS + first_quad + i);
      }
    }
    var best: array<f32, TOKENS>;
    var code: array<u32, TOKENS>;
    for (var t = 0u; t < TOKENS; t++) { // @unroll
      best[t] = LEAST;
      code[t] = 0u;
    }

    for (var tile = 0u; tile < CENTROIDS; tile += TILE) {
      // 2. Put the centroids into workgroup memory.
      workgroupBarrier();
      for (var at = thread; at < TILE * PART_QUADS; at += WORKGROUP) {
        let i = at / TILE;
        let c = at % TILE;
        staged[c * PART_QUADS + i] =
          centroid_quad((head * HEAD_QUADS + first_quad + i) * CENTROIDS + tile + c);
      }
      workgroupBarrier();
      for (var c = thread; c < TILE; c += WORKGROUP) {
        var squares = 0.0;
        for (var i = 0u; i < PART_QUADS; i++) { // @unroll
          let values = staged[c * PART_QUADS + i];
          squares += dot(values, values);
        }
        halves[c] = 0.5 * squares;
      }
      workgroupBarrier();

      // 3. Compare.
      for (var first = 0u; first < TILE; first += AHEAD) {
        for (var ahead = 0u; ahead < AHEAD; ahead++) { // @unroll
          let c = first + ahead;
          var near = array<f32, TOKENS>();
          for (var i = 0u; i < PART_QUADS; i++) { // @unroll
            let values = staged[c * PART_QUADS + i];
            for (var t = 0u; t < TOKENS; t++) { // @unroll
              near[t] += dot(key[t * PART_QUADS + i], values);
            }
          }
          let half = halves[c];
          for (var t = 0u; t < TOKENS; t++) { // @unroll
            let is_nearer = near[t] - half > best[t];
            best[t] = select(best[t], near[t] - half, is_nearer);
            code[t] = select(code[t], tile + c, is_nearer);
          }
        }
      }
    }
    for (var t = 0u; t < TOKENS; t++) { // @unroll
      words[t] |= code[t] << (8u * part);
    }
  }

  // 4. Store the codes. Of tokens past the length a word may hold any.
  for (var i = 0u; i < TOKENS / WORD_TOKENS; i++) { // @unroll
    let t = i * WORD_TOKENS;
    if (begin + t < length) {
      var word = words[t];
      if (WORD_TOKENS == 2u) {
        word |= words[t + WORD_TOKENS - 1u] << 16u;
      }
      pq_codes[((head * CODE_ROWS + row) * CAPACITY + begin + t) / WORD_TOKENS] = word;
    }
  }
}
