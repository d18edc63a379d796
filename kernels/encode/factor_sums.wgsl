// factor_sums.wgsl: sums of the squared factor values of a prompt's keys.
//
// Dispatch (KV heads, batch). A workgroup adds up one KV head.
//
// 1. Add up the squares of all tokens but the last, a word of four factors at a time. Bytes of the
//    last token and after it count as zero.
// 2. Add up the threads' sums.
// 3. Store the sum without the last token, and the sum with it.
//
// Of a prompt of n tokens, the sum of the first m lies at m % 2 of the head's pair: a decode step
// that repeats token n - 1 reads the first, and the step that appends token n reads the second.
const HEAD_DIM: u32 = 128u; // @param
const KV_HEADS: u32 = 8u; // @param
const CAPACITY: u32 = 4096u; // @param
const PREFIX: u32 = 0u; // @param tokens that all sequences share
const CENTRE: u32 = 0u; // @param 1 if key_stats has mean keys, too
const WORKGROUP: u32 = 256u; // @param

const LOADS = 16u; // loads in flight per thread
const HEAD_WORDS = CAPACITY / 4u; // of a KV head, four factors each
// @shared key_stats
// Of each KV head: two sums of squared factor values, and with CENTRE = 1 the mean key.
const HEAD_STATS = 2u + CENTRE * HEAD_DIM;
// @end

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read> factors: array<u32>;
@group(0) @binding(2) var<storage, read_write> key_stats: array<f32>;

var<workgroup> sums: array<f32, WORKGROUP>;

// @shared factor_value
/// The whole number that a factor's byte stands for.
fn factor_value(byte: u32) -> u32 {
  return select((16u + (byte & 15u)) << (max(byte >> 4u, 1u) - 1u), byte, byte < 16u);
}
// @end

// @shared cache_row
/// The row of a token in the caches. The first PREFIX tokens lie there once for all sequences, then
/// come the own tokens of each. `head` is the KV head, counted through all sequences.
fn cache_row(head: u32, token: u32) -> u32 {
  let shared_row = head % KV_HEADS * PREFIX + token;
  let own_row = KV_HEADS * PREFIX + head * (CAPACITY - PREFIX) + token - PREFIX;
  return select(own_row, shared_row, token < PREFIX);
}
// @end

// @shared bits_from
/// A word whose bits `count` and up are set.
fn bits_from(count: u32) -> u32 {
  return select(0xffffffffu << min(count, 31u), 0u, count > 31u);
}
// @end

/// The squared value of token `token` out of the word that holds its factor.
fn squared_value(word: u32, token: u32) -> f32 {
  let value = f32(factor_value(extractBits(word, 8u * (token % 4u), 8u)));
  return value * value;
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let head = wid.y * KV_HEADS + wid.x;
  let last = lengths[wid.y] - 1u;

  // 1. Add up the squares.
  var sum = 0.0;
  for (var first = thread; 4u * first < last; first += LOADS * WORKGROUP) {
    var loaded: array<u32, LOADS>;
    for (var load = 0u; load < LOADS; load++) { // @unroll
      let word = min(first + load * WORKGROUP, HEAD_WORDS - 1u);
      loaded[load] = factors[cache_row(head, 4u * word) / 4u];
    }
    for (var load = 0u; load < LOADS; load++) { // @unroll
      let token = 4u * (first + load * WORKGROUP);
      if (token < last) {
        let word = loaded[load] & ~bits_from(8u * min(last - token, 4u));
        for (var i = 0u; i < 4u; i++) { // @unroll
          sum += squared_value(word, i);
        }
      }
    }
  }
  sums[thread] = sum;
  workgroupBarrier();

  // 2. Add up the threads' sums.
  for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
    if (thread < half) {
      sums[thread] += sums[thread + half];
    }
    workgroupBarrier();
  }

  // 3. Store both sums.
  if (thread == 0u) {
    let squared_last = squared_value(factors[cache_row(head, last) / 4u], last);
    key_stats[head * HEAD_STATS + last % 2u] = sums[0];
    key_stats[head * HEAD_STATS + (last + 1u) % 2u] = sums[0] + squared_last;
  }
}
