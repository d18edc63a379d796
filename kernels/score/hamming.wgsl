// hamming.wgsl: Hamming distances of a query token to all cached codes, and their histograms.
//
// Dispatch (blocks, lists, batch). A workgroup takes the BLOCK tokens of one block of a list. It
// ends at once if the block lies past the sequence, and writes nothing then.
//
// 1. Load the codes of the block and those of the queries, and clear the histogram.
// 2. Compute and store the distances, and count those of the middle tokens.
// 3. Add up the copies of the histogram, and store it.
//
// A thread takes four consecutive tokens at a time. Their codes are whole 16-byte loads, and their
// distances whole words. If QUERIES_PER_LIST queries share a list, a distance is the sum over
// them. The middle tokens are those outside of the sink and the recent window.
//
// Without planes a distance counts the bits that differ. With planes, bit j of plane p of the query
// adds 2^p to the weight of bit j.
//
// The histogram has COPIES columns, so that the threads of a subgroup do not collide on a counter.
// Every block stores a row of its own: no total needs a reset between steps. With COUNTED = 0 there
// is no histogram, for a select that needs none.
const BITS: u32 = 32u; // @param
const PLANES: u32 = 0u; // @param magnitude planes of a query code
const QUERIES_PER_LIST: u32 = 1u; // @param query heads that share a list
const QUERIES_PER_CODE: u32 = 1u; // @param query heads that are compared with one code
const SEQUENCE_LISTS: u32 = 32u; // @param lists of a sequence
const CAPACITY: u32 = 4096u; // @param
const DISTANCE_BYTES: u32 = 1u; // @param 1 or 2
const SINK: u32 = 0u; // @param
const RECENT: u32 = 0u; // @param
const BLOCK: u32 = 2048u; // @param tokens per workgroup
const WORKGROUP: u32 = 256u; // @param
const COPIES: u32 = 32u; // @param histogram columns
const COUNTED: u32 = 1u; // @param 1 to make histograms

const WORDS = BITS / 32u; // of a code
const QUERY_WORDS = (1u + PLANES) * WORDS; // of a query: signs, then planes
const LIST_WORDS = QUERIES_PER_LIST * WORDS; // of the signs of all queries of a list
const LISTS_PER_CODE = QUERIES_PER_CODE / QUERIES_PER_LIST;
const BINS = BITS * ((1u << max(PLANES, 1u)) - 1u) * QUERIES_PER_LIST + 1u;
const BLOCKS = (CAPACITY + BLOCK - 1u) / BLOCK;
const LIST_FOURS = CAPACITY / 4u; // fours of tokens of a list
const ROUNDS = BLOCK / 4u / WORKGROUP; // fours of tokens per thread
const LOADS = ROUNDS * WORDS; // 16-byte loads of codes in flight per thread
const COUNTS = BINS * COPIES * COUNTED;
const CLEARS = (COUNTS + WORKGROUP - 1u) / WORKGROUP;

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read> query_codes: array<u32>;
@group(0) @binding(2) var<storage, read> codes: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read_write> distances: array<u32>;
@group(0) @binding(4) var<storage, read_write> block_histograms: array<u32>;

var<workgroup> counts: array<atomic<u32>, max(COUNTS, 1u)>; // COPIES counters of each bin

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
  let list = wid.z * SEQUENCE_LISTS + wid.y;

  // 1. Load the codes, and clear the histogram.
  var loaded_codes: array<vec4<u32>, LOADS>;
  for (var i = 0u; i < LOADS; i++) { // @unroll
    let four = min(start / 4u + (i / WORDS) * WORKGROUP + thread, LIST_FOURS - 1u);
    loaded_codes[i] = codes[(list / LISTS_PER_CODE * LIST_FOURS + four) * WORDS + i % WORDS];
  }
  var query: array<u32, QUERIES_PER_LIST * QUERY_WORDS>;
  for (var i = 0u; i < QUERIES_PER_LIST * QUERY_WORDS; i++) { // @unroll
    query[i] = query_codes[list * QUERIES_PER_LIST * QUERY_WORDS + i];
  }
  for (var i = 0u; i < CLEARS; i++) { // @unroll
    if (i * WORKGROUP + thread < COUNTS) {
      atomicStore(&counts[i * WORKGROUP + thread], 0u);
    }
  }
  workgroupBarrier();

  // 2. Compute, store and count the distances.
  let sink_end = min(SINK, length);
  let recent_start = max(sink_end, length - min(RECENT, length));
  for (var round = 0u; round < ROUNDS; round++) { // @unroll
    let first = start + (round * WORKGROUP + thread) * 4u;
    var four = vec4<u32>(); // distances
    for (var i = 0u; i < LIST_WORDS; i++) { // @unroll
      // The codes of four tokens fill WORDS loads. Their words w lie WORDS words apart.
      let w = i % WORDS;
      let base = round * WORDS;
      let words = vec4<u32>(
        loaded_codes[base + w / 4u][w % 4u],
        loaded_codes[base + (WORDS + w) / 4u][(WORDS + w) % 4u],
        loaded_codes[base + (2u * WORDS + w) / 4u][(2u * WORDS + w) % 4u],
        loaded_codes[base + (3u * WORDS + w) / 4u][(3u * WORDS + w) % 4u],
      );
      let at = i / WORDS * QUERY_WORDS + w;
      let differing = words ^ vec4<u32>(query[at]);
      if (PLANES == 0u) {
        four += countOneBits(differing);
      }
      for (var plane = 0u; plane < PLANES; plane++) { // @unroll
        let mask = query[at + (plane + 1u) * WORDS];
        four += countOneBits(differing & vec4<u32>(mask)) << vec4<u32>(plane);
      }
    }
    if (first < CAPACITY) {
      let at = list * CAPACITY + first;
      if (DISTANCE_BYTES == 1u) {
        distances[at / 4u] = four.x | (four.y << 8u) | (four.z << 16u) | (four.w << 24u);
      } else {
        distances[at / 2u] = four.x | (four.y << 16u);
        distances[at / 2u + 1u] = four.z | (four.w << 16u);
      }
    }
    for (var t = 0u; t < 4u; t++) { // @unroll
      if (COUNTED == 1u && first + t >= sink_end && first + t < recent_start) {
        atomicAdd(&counts[four[t] * COPIES + thread % COPIES], 1u);
      }
    }
  }
  workgroupBarrier();

  // 3. Add up the copies. Each thread starts at a copy of its own, to read from different banks.
  for (var bin = thread; bin < BINS * COUNTED; bin += WORKGROUP) {
    var count = 0u;
    for (var copy = 0u; copy < COPIES; copy++) { // @unroll
      count += atomicLoad(&counts[bin * COPIES + (copy + thread) % COPIES]);
    }
    block_histograms[(list * BLOCKS + wid.x) * BINS + bin] = count;
  }
}
