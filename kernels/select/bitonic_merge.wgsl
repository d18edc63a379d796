// bitonic_merge.wgsl: step 2 of bitonic top-k, merges pairs of sorted lists and keeps the first k.
//
// Dispatch (pairs * TILES, lists, batch), once per level. A workgroup makes one tile of RUN keys of
// a merged list. It ends at once if the tile lies past the end of that list.
//
// 1. Search the merge path for the place in lists a and b at which the tile begins.
// 2. Load RUN keys of a from there in ascending order, and RUN keys of b in descending order. The
//    smaller key of each pair belongs to the tile, and these keys are a bitonic sequence.
// 3. Sort that sequence. That is the last merge of a bitonic sort.
// 4. Store the tile.
//
// At level l, a list holds the first k keys of 2^l runs and lies in the place of the first of them.
const SEQUENCE_LISTS: u32 = 32u; // @param lists of a sequence
const SINK: u32 = 128u; // @param
const RECENT: u32 = 128u; // @param
const K_COUNT: u32 = 0u; // @param
const SPARSITY: u32 = 32u; // @param 0 takes K_COUNT
const RUNS: u32 = 4u; // @param runs per list at capacity
const TILES: u32 = 1u; // @param tiles of the longest merged list
const LEVEL: u32 = 0u; // @param
const RUN: u32 = 1024u; // @param keys of a tile
const WORKGROUP: u32 = 256u; // @param

const PAIRS = RUN / 2u / WORKGROUP; // pairs that a thread compares per stage
const LOADS = RUN / WORKGROUP; // keys per thread
const HALF = RUN << LEVEL; // middle tokens that a list to be merged stands for
const LONGEST = TILES * RUN; // bound for the length of a list to be merged
// Rounds of the search, each of which divides the interval by WORKGROUP.
const ROUNDS = 1u + u32(LONGEST > WORKGROUP) + u32(LONGEST / WORKGROUP > WORKGROUP) +
  u32(LONGEST / WORKGROUP / WORKGROUP > WORKGROUP);
const NO_KEY = 0xffffffffu; // sorts behind every key

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read> sorted: array<u32>;
@group(0) @binding(2) var<storage, read_write> merged: array<u32>;

var<workgroup> tile_keys: array<u32, RUN>;
var<workgroup> smaller_counts: array<atomic<u32>, ROUNDS>; // probes at which a has the smaller key

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
  let middle = recent_start - sink_end;
  let begin_a = wid.x / TILES * 2u * HALF;
  let begin_b = begin_a + HALF;
  let count_a = min(picks_wanted, min(HALF, middle - min(begin_a, middle)));
  let count_b = min(picks_wanted, min(HALF, middle - min(begin_b, middle)));
  let count = min(picks_wanted, count_a + count_b);
  let begin = wid.x % TILES * RUN;
  if (begin >= count) {
    return;
  }
  let list = (wid.z * SEQUENCE_LISTS + wid.y) * RUNS * RUN;
  let a = list + begin_a;
  let b = list + begin_b;

  // 1. Search the merge path. Keys before the tile are `low` keys of a and begin - low keys of b.
  // `low` is the number of places on the path's diagonal where the key of a is the smaller one.
  // Every round has one probe per thread and keeps the interval between two of them.
  var low = begin - min(begin, count_b);
  var high = min(begin, count_a);
  if (begin > 0u) {
    for (var round = 0u; round < ROUNDS; round++) {
      let step = (high - low + WORKGROUP - 1u) / WORKGROUP;
      let probe = low + thread * step;
      if (probe < high) {
        if (sorted[a + probe] < sorted[b + begin - 1u - probe]) {
          atomicAdd(&smaller_counts[round], 1u);
        }
      }
      workgroupBarrier();
      let smaller = atomicLoad(&smaller_counts[round]);
      high = min(high, low + smaller * step);
      low += select((smaller - 1u) * step + 1u, 0u, smaller == 0u);
    }
  }
  let first_a = low;
  let first_b = begin - low;

  // 2. Load both lists, and keep the smaller key of each pair.
  for (var i = 0u; i < LOADS; i++) { // @unroll
    let at = i * WORKGROUP + thread;
    let at_a = first_a + at;
    let at_b = first_b + RUN - 1u - at;
    let key_a = select(NO_KEY, sorted[a + min(at_a, count_a - 1u)], at_a < count_a);
    let key_b = select(NO_KEY, sorted[b + min(at_b, max(count_b, 1u) - 1u)], at_b < count_b);
    tile_keys[at] = min(key_a, key_b);
  }
  workgroupBarrier();

  // 3. Sort the tile.
  for (var stride = RUN / 2u; stride > 0u; stride /= 2u) {
    for (var i = 0u; i < PAIRS; i++) { // @unroll
      let pair = i * WORKGROUP + thread;
      let left = 2u * pair - (pair & (stride - 1u));
      let x = tile_keys[left];
      let y = tile_keys[left + stride];
      tile_keys[left] = min(x, y);
      tile_keys[left + stride] = max(x, y);
    }
    workgroupBarrier();
  }

  // 4. Store the tile.
  for (var i = 0u; i < LOADS; i++) { // @unroll
    let at = i * WORKGROUP + thread;
    if (begin + at < count) {
      merged[a + begin + at] = tile_keys[at];
    }
  }
}
