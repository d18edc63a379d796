// rotated_shared.wgsl: distances of rotated codes where sequences share a prefix, and their
// histograms. rotated.wgsl, but a workgroup keeps its codes for the queries of all sequences.
//
// Dispatch (blocks, KV heads). First come the SHARED_BLOCKS blocks that lie within the prefix. Such
// a workgroup reads the codes of BLOCK tokens once, and scores them for every query head of the KV
// head of every sequence. Then come the other blocks of each sequence, which are scored for the
// query heads of that sequence alone. One of them may begin within the prefix.
//
// 1. Load the codes and factors of the block, a few tokens per thread, into registers.
// For QUERIES queries at a time:
// 2. Load the codes of the queries, and where the recent windows of their sequences start.
// 3. Score: the weights of the bits that agree with the query's signs, minus those of the others,
//    times the key's factor. Put the score into a bin; the distance counts from the best bin.
// 4. Store the distances, and count those of the middle tokens.
// 5. Store the histograms, and reset the counters.
//
// Popcounts bind: each query takes as many as in rotated.wgsl, and only the codes are read once. So
// adders come before the popcounts, as in rotate_score.wgsl. All numbers are whole: every device
// finds the same bins. rotated.wgsl says why the last bin is counted apart.
const BITS: u32 = 128u; // @param
const PLANES: u32 = 2u; // @param magnitude planes of a query code
const BINS: u32 = 64u; // @param bins of scores
const BATCH: u32 = 8u; // @param sequences
const GROUP: u32 = 4u; // @param query heads per KV head
const KV_HEADS: u32 = 8u; // @param
const CAPACITY: u32 = 4608u; // @param
const PREFIX: u32 = 4096u; // @param tokens that all sequences share
const SINK: u32 = 0u; // @param
const RECENT: u32 = 0u; // @param
const BLOCK: u32 = 1024u; // @param tokens per workgroup
const WORKGROUP: u32 = 256u; // @param
const QUERIES: u32 = 16u; // @param queries at a time

const WORDS = BITS / 32u; // of a code's signs, and of each plane
const SCALE_WORD = (1u + PLANES) * WORDS; // place of the scale in a query code
const QUERY_WORDS = SCALE_WORD + 1u;
const CODE_QUADS = (QUERY_WORDS + 3u) / 4u; // of a query code in workgroup memory
const LAST = BINS - 1u;
const BLOCKS = (CAPACITY + BLOCK - 1u) / BLOCK;
const SHARED_BLOCKS = PREFIX / BLOCK;
const OWN_BLOCKS = BLOCKS - SHARED_BLOCKS; // of each sequence
const LIST_FOURS = CAPACITY / 4u; // fours of tokens of a list
const ROUNDS = BLOCK / 4u / WORKGROUP; // fours of tokens per thread
const LOADS = ROUNDS * WORDS; // 16-byte loads of codes in flight per thread
const Q_HEADS = KV_HEADS * GROUP;

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read> query_codes: array<u32>;
@group(0) @binding(2) var<storage, read> codes: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> factors: array<u32>;
@group(0) @binding(4) var<storage, read_write> distances: array<u32>;
@group(0) @binding(5) var<storage, read_write> block_histograms: array<u32>;

var<workgroup> codes_of_queries: array<vec4<u32>, QUERIES * CODE_QUADS>;
// The first middle token, and the one after the last.
var<workgroup> middles: array<vec2<u32>, QUERIES>;
var<workgroup> counts: array<atomic<u32>, QUERIES * BINS>; // zero at the start

// @shared cache_row
/// The row of a token in the caches. The first PREFIX tokens lie there once for all sequences, then
/// come the own tokens of each. `head` is the KV head, counted through all sequences.
fn cache_row(head: u32, token: u32) -> u32 {
  let shared_row = head % KV_HEADS * PREFIX + token;
  let own_row = KV_HEADS * PREFIX + head * (CAPACITY - PREFIX) + token - PREFIX;
  return select(own_row, shared_row, token < PREFIX);
}
// @end

// @shared factor_value
/// The whole number that a factor's byte stands for.
fn factor_value(byte: u32) -> u32 {
  return select((16u + (byte & 15u)) << (max(byte >> 4u, 1u) - 1u), byte, byte < 16u);
}
// @end

// @shared score_bin
/// The bin of a token's score, 0 for scores below zero. `weighted` are the weights of the bits that
/// differ from the query's signs, `value` is that of the key's factor.
fn score_bin(weighted: u32, value: u32, scale: u32) -> u32 {
  let total = scale >> 21u; // of all weights
  let score = (max(total, 2u * weighted) - 2u * weighted) * value;
  let bounded = min(score >> ((scale >> 16u) & 31u), 65535u);
  return min((bounded * (scale & 0xffffu)) >> 16u, BINS - 1u);
}
// @end

// @shared add_weights
fn xor3(a: u32, b: u32, c: u32) -> u32 {
  return a ^ b ^ c;
}

fn majority(a: u32, b: u32, c: u32) -> u32 {
  return (a & b) | (c & (a | b));
}

/// The weights of the bits that differ, added up. `query` is the code of a query.
///
/// Popcounts are slow, so in codes of four words adders come first: they turn three words of one
/// weight into one of that weight and one of twice the weight.
fn add_weights(code: array<u32, WORDS>, query: array<vec4<u32>, CODE_QUADS>) -> u32 {
  var sum = 0u;
  var carry_a = 0u; // words of the next weight
  var carry_b = 0u;
  for (var plane = 0u; plane < max(PLANES, 1u); plane++) { // @unroll
    var bits: array<u32, WORDS>;
    for (var w = 0u; w < WORDS; w++) { // @unroll
      bits[w] = code[w] ^ query[w / 4u][w % 4u];
      if (PLANES > 0u) {
        let at = (plane + 1u) * WORDS + w;
        bits[w] &= query[at / 4u][at % 4u];
      }
    }
    if (WORDS == 4u) {
      let ones = xor3(bits[0], bits[1 % WORDS], bits[2 % WORDS]);
      let twos = majority(bits[0], bits[1 % WORDS], bits[2 % WORDS]);
      let fourth = bits[3 % WORDS];
      if (plane == 0u) {
        sum += countOneBits(ones) + countOneBits(fourth);
      } else {
        let all = xor3(ones, fourth, carry_a);
        sum += (countOneBits(all) + countOneBits(carry_b)) << plane;
        carry_b = majority(ones, fourth, carry_a);
      }
      carry_a = twos;
    } else {
      for (var w = 0u; w < WORDS; w++) { // @unroll
        sum += countOneBits(bits[w]) << plane;
      }
    }
  }
  return sum + ((countOneBits(carry_a) + countOneBits(carry_b)) << max(PLANES, 1u));
}
// @end

/// The list of query `i` among the queries of a KV head of the sequences from `first` on.
fn list_of(first: u32, kv_head: u32, i: u32) -> u32 {
  return (first + i / GROUP) * Q_HEADS + kv_head * GROUP + i % GROUP;
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let kv_head = wid.y;
  var block = wid.x;
  var first_sequence = 0u;
  var sequences = BATCH;
  if (block >= SHARED_BLOCKS) {
    first_sequence = (block - SHARED_BLOCKS) / OWN_BLOCKS;
    sequences = 1u;
    block = SHARED_BLOCKS + (block - SHARED_BLOCKS) % OWN_BLOCKS;
  }
  let start = block * BLOCK;
  if (start >= lengths[first_sequence]) {
    return; // past the sequence; every sequence is longer than the prefix
  }

  // 1. Load.
  let head = first_sequence * KV_HEADS + kv_head;
  var loaded_codes: array<vec4<u32>, LOADS>;
  var loaded_factors: array<u32, ROUNDS>;
  for (var round = 0u; round < ROUNDS; round++) { // @unroll
    let four = min(start / 4u + round * WORKGROUP + thread, LIST_FOURS - 1u);
    let row_four = cache_row(head, 4u * four) / 4u;
    for (var w = 0u; w < WORDS; w++) { // @unroll
      loaded_codes[round * WORDS + w] = codes[row_four * WORDS + w];
    }
    loaded_factors[round] = factors[row_four];
  }

  let all = sequences * GROUP;
  for (var turn = 0u; turn < all; turn += QUERIES) {
    // 2. Load the queries.
    let queries = min(all - turn, QUERIES);
    for (var i = thread; i < queries * CODE_QUADS; i += WORKGROUP) {
      let list = list_of(first_sequence, kv_head, turn + i / CODE_QUADS);
      var quad = vec4<u32>();
      for (var part = 0u; part < 4u; part++) { // @unroll
        let word = min(i % CODE_QUADS * 4u + part, QUERY_WORDS - 1u);
        quad[part] = query_codes[list * QUERY_WORDS + word];
      }
      codes_of_queries[i] = quad;
    }
    if (thread < queries) {
      let length = lengths[first_sequence + (turn + thread) / GROUP];
      let sink_end = min(SINK, length);
      middles[thread] = vec2<u32>(sink_end, max(sink_end, length - min(RECENT, length)));
    }
    workgroupBarrier();

    for (var i = 0u; i < queries; i++) {
      let list = list_of(first_sequence, kv_head, turn + i);
      let middle = middles[i];
      var query: array<vec4<u32>, CODE_QUADS>;
      for (var quad = 0u; quad < CODE_QUADS; quad++) { // @unroll
        query[quad] = codes_of_queries[i * CODE_QUADS + quad];
      }
      let scale = query[SCALE_WORD / 4u][SCALE_WORD % 4u];
      var farthest = 0u; // tokens of this thread at distance LAST
      for (var round = 0u; round < ROUNDS; round++) { // @unroll
        let first = start + (round * WORKGROUP + thread) * 4u;
        // 3. Score four tokens, and 4. store and count them. Their codes fill WORDS loads.
        var packed = 0u;
        for (var t = 0u; t < 4u; t++) { // @unroll
          var code: array<u32, WORDS>;
          for (var w = 0u; w < WORDS; w++) { // @unroll
            let at = t * WORDS + w;
            code[w] = loaded_codes[round * WORDS + at / 4u][at % 4u];
          }
          let value = factor_value(extractBits(loaded_factors[round], 8u * t, 8u));
          let distance = LAST - score_bin(add_weights(code, query), value, scale);
          packed |= distance << (8u * t);
          let is_middle = first + t >= middle.x && first + t < middle.y;
          farthest += u32(is_middle && distance == LAST);
          if (is_middle && distance != LAST) {
            atomicAdd(&counts[i * BINS + distance], 1u);
          }
        }
        if (first < CAPACITY) {
          distances[list * LIST_FOURS + first / 4u] = packed;
        }
      }
      if (farthest > 0u) {
        atomicAdd(&counts[i * BINS + LAST], farthest);
      }
    }
    workgroupBarrier();

    // 5. Store the histograms.
    for (var i = thread; i < queries * BINS; i += WORKGROUP) {
      let list = list_of(first_sequence, kv_head, turn + i / BINS);
      let count = atomicExchange(&counts[i], 0u);
      block_histograms[(list * BLOCKS + block) * BINS + i % BINS] = count;
    }
  }
}
