// labels.wgsl: scores by labels (Double Sparsity): dot products over 16 channels.
//
// Dispatch (blocks of TILE tokens, label heads, batch). A workgroup reads the labels of its tokens
// once for all query heads that share them. Scores are not scaled. encode/labels.wgsl says what
// labels are. With APPEND = 1 the workgroup of the newest token makes its label first.
//
// 1. Load labels, and the channels of the queries.
// 2. Widen the labels.
// 3. Compute and store the scores, one query head at a time.
const HEAD_DIM: u32 = 128u; // @param
const KV_HEADS: u32 = 8u; // @param
const QUERIES: u32 = 4u; // @param query heads that share labels
const LABEL_HEADS: u32 = 8u; // @param KV heads, or query heads
const CAPACITY: u32 = 1024u; // @param tokens a cache row block holds
const KV_DTYPE: u32 = 1u; // @param 0 f32, 1 f16, 2 bf16
const LABEL_BITS: u32 = 16u; // @param 16 or 4
const WORKGROUP: u32 = 128u; // @param
const TOKENS: u32 = 4u; // @param tokens per thread
const TOGETHER: u32 = 1u; // @param tokens of a thread that follow each other, 4 or 8 if packed
const APPEND: u32 = 0u; // @param 1 to make the label of the newest token

// @shared label_sizes
const CHANNELS = 16u; // elements of a label
const LABEL_WORDS = 3u + 5u * u32(LABEL_BITS == 16u);
const LARGEST = 65504.0; // the largest f16
// @end
const QUADS = CHANNELS / 4u;
const PACKED = u32(LABEL_BITS == 4u);
const TILE = WORKGROUP * TOKENS;
const LOADS = max(2u * TOKENS, 3u); // per thread, the most of both kinds of labels

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read> q: array<f32>;
@group(0) @binding(2) var<storage, read> keys: array<u32>;
@group(0) @binding(3) var<storage, read> channels: array<u32>;
@group(0) @binding(4) var<storage, read_write> labels: array<vec4<u32>>;
@group(0) @binding(5) var<storage, read_write> scores: array<vec4f>;

var<workgroup> query: array<f32, QUERIES * CHANNELS>;
var<workgroup> elements: array<f32, WORKGROUP>;
var<workgroup> codes: array<u32, WORKGROUP>;

// @shared key_element
/// Element `at` of the keys.
fn key_element(at: u32) -> f32 {
  if (KV_DTYPE == 0u) {
    return bitcast<f32>(keys[at]);
  }
  let pair = keys[at / 2u];
  if (KV_DTYPE == 1u) {
    return unpack2x16float(pair)[at % 2u];
  }
  return bitcast<f32>((pair >> (16u * (at % 2u))) << 16u);
}
// @end

// @shared make_labels
/// Stores word `word` of the labels.
fn store_label(word: u32, value: u32) {
  labels[word / 4u][word % 4u] = value;
}

/// Makes the labels of tokens from `begin` on, one for each 16 threads, up to the end of the
/// sequence. `head` is a label head of the sequence, `list` the same of all, and `kv_head` the KV
/// head of all.
fn make_labels(begin: u32, length: u32, head: u32, list: u32, kv_head: u32, thread: u32) {
  let row = thread / CHANNELS;
  let place = thread % CHANNELS;
  let token = begin + row;
  let first = list * CAPACITY * LABEL_WORDS;

  // Load the elements. Rows past the end repeat the last token.
  let at = (kv_head * CAPACITY + min(token, length - 1u)) * HEAD_DIM;
  let element = key_element(at + min(channels[head * CHANNELS + place], HEAD_DIM - 1u));
  elements[thread] = clamp(element, -LARGEST, LARGEST);
  workgroupBarrier();
  if (LABEL_BITS == 16u) {
    if (token < length && place % 2u == 0u) {
      let pair = pack2x16float(vec2f(elements[thread], elements[thread + 1u]));
      store_label(first + token * LABEL_WORDS + place / 2u, pair);
    }
    return;
  }

  // Find the scale. Codes are of the scale as it is stored: rounded by quantizeToF16, since
  // compilers drop a pack2x16float whose result is unpacked again.
  var least = elements[row * CHANNELS];
  var largest = least;
  for (var i = 0u; i < CHANNELS; i++) { // @unroll
    least = min(least, elements[row * CHANNELS + i]);
    largest = max(largest, elements[row * CHANNELS + i]);
  }
  let stored = quantizeToF16(vec2f(least, (largest - least) / 15.0));
  let scale = pack2x16float(stored);
  let steps = (elements[thread] - stored.x) / select(stored.y, 1.0, stored.y == 0.0);
  codes[thread] = select(u32(clamp(steps + 0.5, 0.0, 15.0)), 0u, stored.y == 0.0);
  workgroupBarrier();

  if (token < length && place < 2u) {
    var word = 0u;
    for (var i = 0u; i < 8u; i++) { // @unroll
      word |= codes[row * CHANNELS + 8u * place + i] << (4u * i);
    }
    store_label(first + 2u * token + place, word);
  }
  if (token < length && place == 2u) {
    store_label(first + 2u * CAPACITY + token, scale);
  }
}
// @end

/// Token `t` of a thread. Four packed labels in a row share loads.
fn token_of(begin: u32, thread: u32, t: u32) -> u32 {
  return begin + (t / TOGETHER * WORKGROUP + thread) * TOGETHER + t % TOGETHER;
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
  let head = wid.z * LABEL_HEADS + wid.y;
  if (APPEND == 1u && begin + TILE >= length) {
    let kv_head = wid.z * KV_HEADS + wid.y / (LABEL_HEADS / KV_HEADS);
    make_labels(length - 1u, length, wid.y, head, kv_head, thread);
    storageBarrier();
  }

  // 1. Load labels, and the channels of the queries. Loads past the end repeat the last token's.
  var raw: array<vec4<u32>, LOADS>;
  if (PACKED == 0u) {
    for (var t = 0u; t < TOKENS; t++) { // @unroll
      let token = min(token_of(begin, thread, t), length - 1u);
      raw[2u * t] = labels[(head * CAPACITY + token) * 2u];
      raw[2u * t + 1u] = labels[(head * CAPACITY + token) * 2u + 1u];
    }
  } else {
    // Four tokens have two loads of codes and one of scales.
    for (var t = 0u; t < TOKENS / 4u; t++) { // @unroll
      let four = min(token_of(begin, thread, 4u * t), length - 1u) / 4u;
      let first = head * CAPACITY / 4u * 3u;
      raw[3u * t] = labels[first + 2u * four];
      raw[3u * t + 1u] = labels[first + 2u * four + 1u];
      raw[3u * t + 2u] = labels[first + CAPACITY / 2u + four];
    }
  }
  for (var i = thread; i < QUERIES * CHANNELS; i += WORKGROUP) {
    let channel = min(channels[wid.y * CHANNELS + i % CHANNELS], HEAD_DIM - 1u);
    query[i] = q[(head * QUERIES + i / CHANNELS) * HEAD_DIM + channel];
  }
  workgroupBarrier();

  // 2. Widen the labels.
  var label: array<vec4f, TOKENS * QUADS>;
  for (var t = 0u; t < TOKENS; t++) { // @unroll
    for (var quad = 0u; quad < QUADS; quad++) { // @unroll
      if (PACKED == 0u) {
        let four = raw[2u * t + quad / 2u];
        let pair = select(four.xy, four.zw, quad % 2u == 1u);
        label[t * QUADS + quad] = vec4f(unpack2x16float(pair.x), unpack2x16float(pair.y));
      } else {
        let word = raw[3u * (t / 4u) + t % 4u / 2u][t % 2u * 2u + quad / 2u];
        let codes = vec4<u32>(word >> (16u * (quad % 2u))) >> vec4<u32>(0u, 4u, 8u, 12u);
        let scale = unpack2x16float(raw[3u * (t / 4u) + 2u][t % 4u]);
        label[t * QUADS + quad] = scale.x + scale.y * vec4f(codes & vec4<u32>(15u));
      }
    }
  }

  // 3. Compute and store the scores.
  for (var h = 0u; h < QUERIES; h++) { // @unroll
    var four: array<vec4f, QUADS>;
    for (var quad = 0u; quad < QUADS; quad++) { // @unroll
      let at = h * CHANNELS + quad * 4u;
      four[quad] = vec4f(query[at], query[at + 1u], query[at + 2u], query[at + 3u]);
    }
    for (var t = 0u; t < TOKENS; t++) { // @unroll
      var score = 0.0;
      for (var quad = 0u; quad < QUADS; quad++) { // @unroll
        score += dot(four[quad], label[t * QUADS + quad]);
      }
      let token = token_of(begin, thread, t);
      if (token < length) {
        let at = (head * QUERIES + h) * CAPACITY + token;
        scores[at / 4u][at % 4u] = score;
      }
    }
  }
}
