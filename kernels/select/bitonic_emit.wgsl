// bitonic_emit.wgsl: step 3 of bitonic top-k, writes each list: sink, picks and recent window.
//
// Dispatch (blocks of WORKGROUP places, lists, batch). A thread writes one place of a list, and the
// thread of the first place writes the length of the list too. The picks are the first keys of the
// merged list, nearest first. With TIES = 1 they hold tokens with all bits flipped.
const SEQUENCE_LISTS: u32 = 32u; // @param lists of a sequence
const LIST_CAPACITY: u32 = 384u; // @param
const TIES: u32 = 0u; // @param 0 lower, 1 higher index first
const SINK: u32 = 128u; // @param
const RECENT: u32 = 128u; // @param
const K_COUNT: u32 = 0u; // @param
const SPARSITY: u32 = 32u; // @param 0 takes K_COUNT
const INDEX_BITS: u32 = 12u; // @param
const LIST_KEYS: u32 = 4096u; // @param keys between the beginnings of two lists
const WORKGROUP: u32 = 256u; // @param

const INDEX_MASK = (1u << INDEX_BITS) - 1u;

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read> sorted: array<u32>;
@group(0) @binding(2) var<storage, read_write> selected: array<u32>;
@group(0) @binding(3) var<storage, read_write> selected_counts: array<u32>;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let length = lengths[wid.z];
  // @shared windows
  let sink_end = min(SINK, length);
  let recent_start = max(sink_end, length - min(RECENT, length));
  let wanted = select(length / max(SPARSITY, 1u), K_COUNT, SPARSITY == 0u);
  let picks_wanted = min(wanted, recent_start - sink_end);
  // @end
  let picks_end = sink_end + picks_wanted;
  let count = picks_end + length - recent_start;
  let list = wid.z * SEQUENCE_LISTS + wid.y;
  let at = wid.x * WORKGROUP + thread;
  if (at == 0u) {
    selected_counts[list] = count;
  }
  if (at >= count) {
    return;
  }
  var token = at;
  if (at >= picks_end) {
    token = recent_start + at - picks_end;
  } else if (at >= sink_end) {
    let key = sorted[list * LIST_KEYS + at - sink_end];
    token = select(key, ~key, TIES == 1u) & INDEX_MASK;
  }
  selected[list * LIST_CAPACITY + at] = token;
}
