// labels.wgsl: labels of keys (Double Sparsity), which are 16 of their channels.
//
// Dispatch (tokens / ROWS, label heads, batch), or with APPEND = 1 (1, label heads, batch) for the
// newest tokens alone. A workgroup makes the labels of ROWS tokens of one head, each thread an
// element.
//
// Labels of 16 bits are 8 words of two f16 each. Labels of 4 bits are 2 words of codes from the
// lowest bits up, and a scale: the least element and a step in f16. Code c stands for least + c *
// step. A head has the codes of all tokens, then the scales. Elements beyond f16 become the largest
// f16.
const HEAD_DIM: u32 = 128u; // @param
const KV_HEADS: u32 = 8u; // @param
const LABEL_HEADS: u32 = 8u; // @param KV heads, or query heads
const CAPACITY: u32 = 1024u; // @param tokens a cache row block holds
const KV_DTYPE: u32 = 1u; // @param 0 f32, 1 f16, 2 bf16
const LABEL_BITS: u32 = 16u; // @param 16 or 4
const APPEND: u32 = 0u; // @param 1 for the newest token alone
const WORKGROUP: u32 = 128u; // @param

// @shared label_sizes
const CHANNELS = 16u; // elements of a label
const LABEL_WORDS = 3u + 5u * u32(LABEL_BITS == 16u);
const LARGEST = 65504.0; // the largest f16
// @end
const ROWS = WORKGROUP / CHANNELS; // tokens of a workgroup

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read> keys: array<u32>;
@group(0) @binding(2) var<storage, read> channels: array<u32>;
@group(0) @binding(3) var<storage, read_write> labels: array<vec4<u32>>;

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

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let length = lengths[wid.z];
  let begin = select(wid.x * ROWS, length - 1u, APPEND == 1u);
  if (begin < length) {
    let list = wid.z * LABEL_HEADS + wid.y;
    let kv_head = wid.z * KV_HEADS + wid.y / (LABEL_HEADS / KV_HEADS);
    make_labels(begin, length, wid.y, list, kv_head, thread);
  }
}
