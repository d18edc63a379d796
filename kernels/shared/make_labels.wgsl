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
