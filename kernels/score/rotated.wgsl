// rotated.wgsl: distances of rotated codes for HEADS query heads of a GQA group, and their
// histograms.
//
// Dispatch (blocks, query heads / HEADS, batch). A workgroup scores the BLOCK tokens of one block
// for HEADS query heads of a KV head, since they share its codes. It ends at once if the block lies
// past the sequence, and writes nothing then.
//
// 1. Load the codes and factors of the block, and the codes of the queries.
// 2. Add up the weights of the bits that differ from the query's signs.
// 3. Score: the weights of the bits that agree, minus those of the others, times the key's factor.
//    Put the score into a bin. The distance is the bin's number, counted from the best bin.
// 4. Store the distances, and count those of the middle tokens.
// 5. Store the histograms.
//
// All numbers are whole, so that every device finds the same bins. The scale word of a query says
// how scores become bins, see rotate_token.wgsl. Scores below zero, about half of all, have the
// distance LAST. A thread counts these in a register, since all would want the same counter.
// The other bins have COPIES counters each, so that threads collide less.
//
// A thread takes four consecutive tokens at a time: a word of distances for each query.
const BITS: u32 = 128u; // @param
const PLANES: u32 = 2u; // @param magnitude planes of a query code
const BINS: u32 = 64u; // @param bins of scores
const GROUP: u32 = 4u; // @param query heads per KV head
const KV_HEADS: u32 = 8u; // @param
const HEADS: u32 = 4u; // @param query heads of a workgroup, a divisor of GROUP
const CAPACITY: u32 = 4096u; // @param
const SINK: u32 = 0u; // @param
const RECENT: u32 = 0u; // @param
const BLOCK: u32 = 1024u; // @param tokens per workgroup
const WORKGROUP: u32 = 256u; // @param
const COPIES: u32 = 1u; // @param histogram columns

const WORDS = BITS / 32u; // of a code's signs, and of each plane
const SCALE_WORD = (1u + PLANES) * WORDS; // place of the scale in a query code
const QUERY_WORDS = SCALE_WORD + 1u;
const LAST = BINS - 1u;
const BLOCKS = (CAPACITY + BLOCK - 1u) / BLOCK;
const LIST_FOURS = CAPACITY / 4u; // fours of tokens of a list
const ROUNDS = BLOCK / 4u / WORKGROUP; // fours of tokens per thread
const LOADS = ROUNDS * WORDS; // 16-byte loads of codes in flight per thread

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read> query_codes: array<u32>;
@group(0) @binding(2) var<storage, read> codes: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> factors: array<u32>;
@group(0) @binding(4) var<storage, read_write> distances: array<u32>;
@group(0) @binding(5) var<storage, read_write> block_histograms: array<u32>;

var<workgroup> query: array<u32, HEADS * QUERY_WORDS>;
var<workgroup> counts: array<atomic<u32>, HEADS * BINS * COPIES>; // zero at the start

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

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let length = lengths[wid.z];
  let start = wid.x * BLOCK;
  if (start >= length) {
    return;
  }
  let first_list = wid.z * KV_HEADS * GROUP + wid.y * HEADS; // a list for each query head
  let head = first_list / GROUP;

  // 1. Load.
  var loaded_codes: array<vec4<u32>, LOADS>;
  var loaded_factors: array<u32, ROUNDS>;
  for (var i = 0u; i < LOADS; i++) { // @unroll
    let four = min(start / 4u + (i / WORDS) * WORKGROUP + thread, LIST_FOURS - 1u);
    loaded_codes[i] = codes[(head * LIST_FOURS + four) * WORDS + i % WORDS];
  }
  for (var round = 0u; round < ROUNDS; round++) { // @unroll
    let four = min(start / 4u + round * WORKGROUP + thread, LIST_FOURS - 1u);
    loaded_factors[round] = factors[head * LIST_FOURS + four];
  }
  for (var i = thread; i < HEADS * QUERY_WORDS; i += WORKGROUP) {
    query[i] = query_codes[first_list * QUERY_WORDS + i];
  }
  workgroupBarrier();

  let sink_end = min(SINK, length);
  let recent_start = max(sink_end, length - min(RECENT, length));
  for (var h = 0u; h < HEADS; h++) {
    let list = first_list + h;
    let scale = query[h * QUERY_WORDS + SCALE_WORD];
    var farthest = 0u; // tokens of this thread at distance LAST
    for (var round = 0u; round < ROUNDS; round++) { // @unroll
      let first = start + (round * WORKGROUP + thread) * 4u;

      // 2. Add up the weights of the differing bits. The codes of four tokens fill WORDS loads.
      var four = vec4<u32>();
      for (var w = 0u; w < WORDS; w++) { // @unroll
        let base = round * WORDS;
        let words = vec4<u32>(
          loaded_codes[base + w / 4u][w % 4u],
          loaded_codes[base + (WORDS + w) / 4u][(WORDS + w) % 4u],
          loaded_codes[base + (2u * WORDS + w) / 4u][(2u * WORDS + w) % 4u],
          loaded_codes[base + (3u * WORDS + w) / 4u][(3u * WORDS + w) % 4u],
        );
        let differing = words ^ vec4<u32>(query[h * QUERY_WORDS + w]);
        if (PLANES == 0u) {
          four += countOneBits(differing);
        }
        for (var plane = 0u; plane < PLANES; plane++) { // @unroll
          let mask = query[h * QUERY_WORDS + (plane + 1u) * WORDS + w];
          four += countOneBits(differing & vec4<u32>(mask)) << vec4<u32>(plane);
        }
      }

      // 3. Put the scores into bins, and 4. store and count them.
      var packed = 0u;
      for (var t = 0u; t < 4u; t++) { // @unroll
        let byte = extractBits(loaded_factors[round], 8u * t, 8u);
        let distance = LAST - score_bin(four[t], factor_value(byte), scale);
        packed |= distance << (8u * t);
        let is_middle = first + t >= sink_end && first + t < recent_start;
        farthest += u32(is_middle && distance == LAST);
        if (is_middle && distance != LAST) {
          atomicAdd(&counts[(h * BINS + distance) * COPIES + thread % COPIES], 1u);
        }
      }
      if (first < CAPACITY) {
        distances[list * LIST_FOURS + first / 4u] = packed;
      }
    }
    if (farthest > 0u) {
      atomicAdd(&counts[(h * BINS + LAST) * COPIES + thread % COPIES], farthest);
    }
  }
  workgroupBarrier();

  // 5. Store the histograms.
  for (var i = thread; i < HEADS * BINS; i += WORKGROUP) {
    let list = first_list + i / BINS;
    var count = 0u;
    for (var copy = 0u; copy < COPIES; copy++) { // @unroll
      count += atomicLoad(&counts[i * COPIES + (copy + thread) % COPIES]);
    }
    block_histograms[(list * BLOCKS + wid.x) * BINS + i % BINS] = count;
  }
}
