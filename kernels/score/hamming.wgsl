// Hamming distances of one query token to every cached code, and their histogram, in one pass.
//
// Dispatch (blocks, code heads, batch): a workgroup takes BLOCK tokens of one head. A thread takes
// four consecutive tokens at a time, so that codes come in 16-byte loads and distances leave packed.
// With QUERIES_PER_LIST > 1 the distances of the group's query heads are summed.
// The histogram counts middle tokens only (neither sink nor recent). It is kept in COPIES columns,
// so that threads of a subgroup do not collide, and leaves as one row per block: nothing to reset.
// Blocks past the sequence leave at once, and their rows stay unwritten.
const BITS: u32 = 32u; // @param
const QUERIES_PER_LIST: u32 = 1u; // @param query heads that share a code
const CODE_HEADS: u32 = 32u; // @param
const CAPACITY: u32 = 4096u; // @param
const DISTANCE_BYTES: u32 = 1u; // @param 1 or 2
const SINK: u32 = 0u; // @param
const RECENT: u32 = 0u; // @param
const BLOCK: u32 = 2048u; // @param tokens per workgroup
const WORKGROUP: u32 = 256u; // @param
const COPIES: u32 = 32u; // @param histogram columns

const WORDS = BITS / 32u;
const BINS = BITS * QUERIES_PER_LIST + 1u;
const BLOCKS = (CAPACITY + BLOCK - 1u) / BLOCK;
const ROUNDS = BLOCK / 4u / WORKGROUP; // fours of tokens per thread
const LOADS = ROUNDS * WORDS;
const QUERY_WORDS = QUERIES_PER_LIST * WORDS;
const FOUR = 4u;
const CLEARS = (BINS * COPIES + WORKGROUP - 1u) / WORKGROUP;

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read> query_codes: array<u32>;
@group(0) @binding(2) var<storage, read> codes: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read_write> distances: array<u32>;
@group(0) @binding(4) var<storage, read_write> block_histograms: array<u32>;

var<workgroup> columns: array<atomic<u32>, BINS * COPIES>;

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
  let head = wid.z * CODE_HEADS + wid.y;

  var loads: array<vec4<u32>, LOADS>;
  for (var i = 0u; i < LOADS; i++) { // @unroll
    let four = min(start / 4u + (i / WORDS) * WORKGROUP + thread, CAPACITY / 4u - 1u);
    loads[i] = codes[(head * (CAPACITY / 4u) + four) * WORDS + i % WORDS];
  }
  var query: array<u32, QUERY_WORDS>;
  for (var i = 0u; i < QUERY_WORDS; i++) { // @unroll
    query[i] = query_codes[head * QUERY_WORDS + i];
  }
  for (var i = 0u; i < CLEARS; i++) { // @unroll
    if (i * WORKGROUP + thread < BINS * COPIES) {
      atomicStore(&columns[i * WORKGROUP + thread], 0u);
    }
  }
  workgroupBarrier();

  let sink_end = min(SINK, length);
  let recent_start = max(sink_end, length - min(RECENT, length));
  for (var round = 0u; round < ROUNDS; round++) { // @unroll
    let first = start + (round * WORKGROUP + thread) * 4u;
    var found = vec4<u32>();
    for (var i = 0u; i < QUERY_WORDS; i++) { // @unroll
      // Word w of the four tokens: strided by WORDS through the WORDS loads.
      let w = i % WORDS;
      let base = round * WORDS;
      let four = vec4<u32>(
        loads[base + w / 4u][w % 4u],
        loads[base + (WORDS + w) / 4u][(WORDS + w) % 4u],
        loads[base + (2u * WORDS + w) / 4u][(2u * WORDS + w) % 4u],
        loads[base + (3u * WORDS + w) / 4u][(3u * WORDS + w) % 4u],
      );
      found += countOneBits(four ^ vec4<u32>(query[i]));
    }
    if (first < CAPACITY) {
      if (DISTANCE_BYTES == 1u) {
        distances[(head * CAPACITY + first) / 4u] = found.x | (found.y << 8u) | (found.z << 16u) | (found.w << 24u);
      } else {
        distances[(head * CAPACITY + first) / 2u] = found.x | (found.y << 16u);
        distances[(head * CAPACITY + first) / 2u + 1u] = found.z | (found.w << 16u);
      }
    }
    for (var t = 0u; t < FOUR; t++) { // @unroll
      if (first + t >= sink_end && first + t < recent_start) {
        atomicAdd(&columns[found[t] * COPIES + thread % COPIES], 1u);
      }
    }
  }
  workgroupBarrier();

  for (var bin = thread; bin < BINS; bin += WORKGROUP) {
    var count = 0u;
    for (var copy = 0u; copy < COPIES; copy++) { // @unroll
      count += atomicLoad(&columns[bin * COPIES + (copy + thread) % COPIES]);
    }
    block_histograms[(head * BLOCKS + wid.x) * BINS + bin] = count;
  }
}
