// First step of bitonic top-k: sorts runs of the middle tokens by (distance, index).
//
// Dispatch (runs, lists, batch): a workgroup sorts RUN tokens of one list, counted from the end of
// the sink, in workgroup memory and keeps the first k of them; runs past the middle leave early.
// A key is distance << INDEX_BITS | token, so keys differ and equal distances keep token order.
// Runs lie as [list][run][RUN] ascending keys.
const CODE_HEADS: u32 = 32u; // @param lists per sequence
const CAPACITY: u32 = 4096u; // @param tokens a row of distances holds
const DISTANCE_BYTES: u32 = 1u; // @param
const SINK: u32 = 128u; // @param
const RECENT: u32 = 128u; // @param
const K_COUNT: u32 = 0u; // @param
const SPARSITY: u32 = 32u; // @param 0 takes K_COUNT
const INDEX_BITS: u32 = 12u; // @param
const RUN: u32 = 1024u; // @param keys sorted in workgroup memory
const WORKGROUP: u32 = 256u; // @param

const PAIRS = RUN / 2u / WORKGROUP; // compare-exchanges of a thread per stage
const LOADS = RUN / WORKGROUP;
const PER_WORD = 4u / DISTANCE_BYTES; // distances packed into a u32
const DISTANCE_BITS = 8u * DISTANCE_BYTES;
const NOTHING = 0xffffffffu; // sorts behind every key

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
  let sink_end = min(SINK, length);
  let recent_start = max(sink_end, length - min(RECENT, length));
  let begin = wid.x * RUN;
  if (begin >= recent_start - sink_end) {
    return;
  }
  let k = select(K_COUNT, length / max(SPARSITY, 1u), SPARSITY > 0u);
  let keep = min(k, min(RUN, recent_start - sink_end - begin));
  let list = wid.z * CODE_HEADS + wid.y;

  for (var i = 0u; i < LOADS; i++) { // @unroll
    let token = sink_end + begin + i * WORKGROUP + thread;
    let row_at = min(token, CAPACITY - 1u);
    let word = distances[(list * CAPACITY + row_at) / PER_WORD];
    let distance = extractBits(word, row_at % PER_WORD * DISTANCE_BITS, DISTANCE_BITS);
    run[i * WORKGROUP + thread] = select(NOTHING, (distance << INDEX_BITS) | token, token < recent_start);
  }
  workgroupBarrier();
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
  let out = (list * grid.x + wid.x) * RUN;
  for (var i = 0u; i < LOADS; i++) { // @unroll
    let at = i * WORKGROUP + thread;
    if (at < keep) {
      sorted[out + at] = run[at];
    }
  }
}
