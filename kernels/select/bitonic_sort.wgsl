// bitonic_sort.wgsl: step 1 of bitonic top-k, sorts runs of middle tokens by (distance, index).
//
// Dispatch (runs, lists, batch). A workgroup sorts one run of RUN tokens of a list in workgroup
// memory. Runs are counted from the end of the sink. A workgroup whose run lies past the middle
// tokens ends at once.
//
// 1. Make the keys of the run.
// 2. Sort them.
// 3. Store the first `picks_wanted` of them.
//
// A key is distance << INDEX_BITS | token. No two keys are equal, and tokens of one distance stay
// in order. With TIES = 1 the bits of the token are flipped, which reverses that order. Sorted runs
// lie as [list][run][RUN] keys, in ascending order.
const SEQUENCE_LISTS: u32 = 32u; // @param lists of a sequence
const CAPACITY: u32 = 4096u; // @param tokens a row of distances holds
const DISTANCE_BYTES: u32 = 1u; // @param
const TIES: u32 = 0u; // @param 0 lower, 1 higher index first
const SINK: u32 = 128u; // @param
const RECENT: u32 = 128u; // @param
const K_COUNT: u32 = 0u; // @param
const SPARSITY: u32 = 32u; // @param 0 takes K_COUNT
const INDEX_BITS: u32 = 12u; // @param
const RUN: u32 = 1024u; // @param keys sorted in workgroup memory
const WORKGROUP: u32 = 256u; // @param

const INDEX_MASK = (1u << INDEX_BITS) - 1u;
const PAIRS = RUN / 2u / WORKGROUP; // pairs that a thread compares per stage
const LOADS = RUN / WORKGROUP; // keys per thread
const PER_WORD = 4u / DISTANCE_BYTES; // distances packed into a u32
const DISTANCE_BITS = 8u * DISTANCE_BYTES;
const NO_KEY = 0xffffffffu; // sorts behind every key

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read> distances: array<u32>;
@group(0) @binding(2) var<storage, read_write> sorted: array<u32>;

var<workgroup> run: array<u32, RUN>;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let length = lengths[wid.z];
  // @shared windows
  let sink_end = min(SINK, length);
  let recent_start = max(sink_end, length - min(RECENT, length));
  let wanted = select(length / max(SPARSITY, 1u), K_COUNT, SPARSITY == 0u);
  let picks_wanted = min(wanted, recent_start - sink_end);
  // @end
  let begin = wid.x * RUN;
  if (begin >= recent_start - sink_end) {
    return;
  }
  let keep = min(picks_wanted, min(RUN, recent_start - sink_end - begin));
  let list = wid.z * SEQUENCE_LISTS + wid.y;

  // 1. Make the keys.
  for (var i = 0u; i < LOADS; i++) { // @unroll
    let token = sink_end + begin + i * WORKGROUP + thread;
    let row_at = min(token, CAPACITY - 1u);
    let word = distances[(list * CAPACITY + row_at) / PER_WORD];
    let distance = extractBits(word, row_at % PER_WORD * DISTANCE_BITS, DISTANCE_BITS);
    let index = select(token, token ^ INDEX_MASK, TIES == 1u);
    let key = (distance << INDEX_BITS) | index;
    run[i * WORKGROUP + thread] = select(NO_KEY, key, token < recent_start);
  }
  workgroupBarrier();

  // 2. Sort them. Stages of one `size` turn bitonic sequences of that length into sorted ones, in
  // ascending and descending order by turns.
  for (var size = 2u; size <= RUN; size *= 2u) {
    for (var stride = size / 2u; stride > 0u; stride /= 2u) {
      for (var i = 0u; i < PAIRS; i++) { // @unroll
        let pair = i * WORKGROUP + thread;
        let low = 2u * pair - (pair & (stride - 1u));
        let a = run[low];
        let b = run[low + stride];
        if ((a > b) == ((low & size) == 0u)) {
          run[low] = b;
          run[low + stride] = a;
        }
      }
      workgroupBarrier();
    }
  }

  // 3. Store the first keys.
  let out = (list * grid.x + wid.x) * RUN;
  for (var i = 0u; i < LOADS; i++) { // @unroll
    let at = i * WORKGROUP + thread;
    if (at < keep) {
      sorted[out + at] = run[at];
    }
  }
}
