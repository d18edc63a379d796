// Hamming distances of one query token to every cached code but the newest, and how many tokens lie
// within each distance: what select_gather.wgsl asks for where queries were encoded before.
//
// Dispatch (SPLITS, query heads, batch): a workgroup scores its share of the blocks, ROUNDS of them in
// flight. A block is the 4 * WORKGROUP tokens that the workgroup takes at a time; a thread takes four
// consecutive tokens, so that codes come in 16-byte loads and distances leave packed.
// For the bins and the rows of sums see encode_score.wgsl. Subgroups are consecutive threads, of at
// least SUBGROUP_MIN.
const Q_HEADS: u32 = 32u; // @param
const CAPACITY: u32 = 4096u; // @param
const BITS: u32 = 32u; // @param
const SINK: u32 = 0u; // @param
const RECENT: u32 = 0u; // @param
const SUBGROUP_MIN: u32 = 4u; // @param smallest subgroup of the device
const WORKGROUP: u32 = 256u; // @param
const SPLITS: u32 = 8u; // @param workgroups that score a list
const ROUNDS: u32 = 4u; // @param blocks in flight

const WORDS = BITS / 32u;
const BINS = BITS + 2u;
const BINS_EACH = (BINS + SUBGROUP_MIN - 1u) / SUBGROUP_MIN; // of a lane
const BLOCK = 4u * WORKGROUP; // tokens
const BLOCKS = (CAPACITY + BLOCK - 1u) / BLOCK;
const CODE_LOADS = ROUNDS * WORDS;
const FOUR = 4u;

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read> query_codes: array<u32>;
@group(0) @binding(2) var<storage, read> codes: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read_write> distances: array<u32>;
@group(0) @binding(4) var<storage, read_write> bin_sums: array<u32>;

var<workgroup> counts: array<atomic<u32>, ROUNDS * BINS>;
var<workgroup> counted: array<u32, BINS>; // in the share's earlier blocks

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
  @builtin(subgroup_invocation_id) lane: u32,
  @builtin(subgroup_size) lanes: u32,
) {
  let length = lengths[wid.z];
  let newest = length - 1u;
  let list = wid.z * Q_HEADS + wid.y;
  let blocks = (length + BLOCK - 1u) / BLOCK;
  let share = (blocks + SPLITS - 1u) / SPLITS;
  let begin = min(wid.x * share, blocks);
  let end = min(begin + share, blocks);
  var query: array<u32, WORDS>;
  for (var w = 0u; w < WORDS; w++) { // @unroll
    query[w] = query_codes[list * WORDS + w];
  }

  let recent_start = length - min(RECENT, length);
  for (var start = begin; start < end; start += ROUNDS) {
    var found_codes: array<vec4<u32>, CODE_LOADS>;
    for (var i = 0u; i < CODE_LOADS; i++) { // @unroll
      let four = min((start + i / WORDS) * WORKGROUP + thread, CAPACITY / 4u - 1u);
      found_codes[i] = codes[(list * (CAPACITY / 4u) + four) * WORDS + i % WORDS];
    }
    for (var i = thread; i < ROUNDS * BINS; i += WORKGROUP) {
      atomicStore(&counts[i], 0u);
    }
    workgroupBarrier();
    for (var round = 0u; round < ROUNDS; round++) { // @unroll
      let first = ((start + round) * WORKGROUP + thread) * 4u;
      var found = vec4<u32>();
      for (var w = 0u; w < WORDS; w++) { // @unroll
        // Word w of the four tokens: strided by WORDS through the WORDS loads.
        let at = round * WORDS;
        let four = vec4<u32>(
          found_codes[at + w / 4u][w % 4u],
          found_codes[at + (WORDS + w) / 4u][(WORDS + w) % 4u],
          found_codes[at + (2u * WORDS + w) / 4u][(2u * WORDS + w) % 4u],
          found_codes[at + (3u * WORDS + w) / 4u][(3u * WORDS + w) % 4u],
        );
        found += countOneBits(four ^ vec4<u32>(query[w]));
      }
      if (start + round < end && first < CAPACITY) {
        distances[(list * CAPACITY + first) / 4u] = found.x | (found.y << 8u) | (found.z << 16u) | (found.w << 24u);
        for (var t = 0u; t < FOUR; t++) { // @unroll
          let is_middle = first + t >= SINK && first + t < recent_start;
          if (first + t < newest) {
            atomicAdd(&counts[round * BINS + select(0u, found[t] + 1u, is_middle)], 1u);
          }
        }
      }
    }
    workgroupBarrier();
    // Sums over the bins, a subgroup to a block, then over the blocks.
    for (var first = 0u; first < ROUNDS; first += WORKGROUP / lanes) {
      let round = first + thread / lanes;
      let row = min(round, ROUNDS - 1u) * BINS;
      var sum = 0u;
      for (var b = 0u; b < BINS_EACH; b++) { // @unroll
        let bin = lane * BINS_EACH + b;
        sum += select(0u, atomicLoad(&counts[row + min(bin, BINS - 1u)]), bin < BINS);
      }
      sum = subgroupExclusiveAdd(sum);
      for (var b = 0u; b < BINS_EACH; b++) { // @unroll
        let bin = lane * BINS_EACH + b;
        if (bin < BINS && round < ROUNDS) {
          sum += atomicLoad(&counts[row + bin]);
          atomicStore(&counts[row + bin], sum);
          if (start + round < end) {
            bin_sums[(list * (SPLITS + BLOCKS) + SPLITS + start + round) * BINS + bin] = sum;
          }
        }
      }
    }
    workgroupBarrier();
    for (var bin = thread; bin < BINS; bin += WORKGROUP) {
      for (var round = 0u; round < ROUNDS; round++) { // @unroll
        counted[bin] += atomicLoad(&counts[round * BINS + bin]);
      }
    }
    workgroupBarrier();
  }
  for (var bin = thread; bin < BINS; bin += WORKGROUP) {
    bin_sums[(list * (SPLITS + BLOCKS) + wid.x) * BINS + bin] = counted[bin];
  }
}
