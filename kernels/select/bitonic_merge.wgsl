// Middle step of bitonic top-k, once per level: merges pairs of sorted lists and keeps the first k.
//
// Dispatch (pairs * TILES, lists, batch): a workgroup makes one RUN-sized tile of one merged list;
// tiles past its end leave early. Where the tile begins in both lists is searched on the merge
// path, WORKGROUP probes at a time. Of RUN keys of list a from there, ascending, and RUN of list b,
// descending, the smaller of each two are the tile's keys as a bitonic sequence: half a sort.
// At level l a list holds the first k keys of 2^l runs, at the place of the first of them.
const CODE_HEADS: u32 = 32u; // @param lists per sequence
const SINK: u32 = 128u; // @param
const RECENT: u32 = 128u; // @param
const K_COUNT: u32 = 0u; // @param
const SPARSITY: u32 = 32u; // @param 0 takes K_COUNT
const RUNS: u32 = 4u; // @param runs per list at capacity
const TILES: u32 = 1u; // @param tiles of the longest merged list
const LEVEL: u32 = 0u; // @param
const RUN: u32 = 1024u; // @param keys of a tile
const WORKGROUP: u32 = 256u; // @param

const PAIRS = RUN / 2u / WORKGROUP; // compare-exchanges of a thread per stage
const LOADS = RUN / WORKGROUP;
const HALF = RUN << LEVEL; // middle tokens behind each list that comes in
const LONGEST = TILES * RUN; // no list that comes in is longer
const ROUNDS = 1u + u32(LONGEST > WORKGROUP) + u32(LONGEST / WORKGROUP > WORKGROUP) +
  u32(LONGEST / WORKGROUP / WORKGROUP > WORKGROUP);
const NOTHING = 0xffffffffu; // sorts behind every key

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read> sorted: array<u32>;
@group(0) @binding(2) var<storage, read_write> merged: array<u32>;

var<workgroup> tile_keys: array<u32, RUN>;
var<workgroup> hits: array<atomic<u32>, ROUNDS>;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let length = lengths[wid.z];
  let sink_end = min(SINK, length);
  let recent_start = max(sink_end, length - min(RECENT, length));
  let middle = recent_start - sink_end;
  let k = select(K_COUNT, length / max(SPARSITY, 1u), SPARSITY > 0u);
  let begin_a = wid.x / TILES * 2u * HALF;
  let begin_b = begin_a + HALF;
  let count_a = min(k, min(HALF, middle - min(begin_a, middle)));
  let count_b = min(k, min(HALF, middle - min(begin_b, middle)));
  let count = min(k, count_a + count_b);
  let begin = wid.x % TILES * RUN;
  if (begin >= count) {
    return;
  }
  let list = (wid.z * CODE_HEADS + wid.y) * RUNS * RUN;
  let a = list + begin_a;
  let b = list + begin_b;

  // The tile skips `low` keys of a and begin - low of b: `low` is the number of places on the
  // diagonal where a's key is the smaller. Each round narrows it to one of WORKGROUP intervals.
  var low = begin - min(begin, count_b);
  var high = min(begin, count_a);
  if (begin > 0u) {
    for (var round = 0u; round < ROUNDS; round++) {
      let step = (high - low + WORKGROUP - 1u) / WORKGROUP;
      let probe = low + thread * step;
      if (probe < high) {
        if (sorted[a + probe] < sorted[b + begin - 1u - probe]) {
          atomicAdd(&hits[round], 1u);
        }
      }
      workgroupBarrier();
      let smaller = atomicLoad(&hits[round]);
      high = min(high, low + smaller * step);
      low += select((smaller - 1u) * step + 1u, 0u, smaller == 0u);
    }
  }
  let first_a = low;
  let first_b = begin - low;

  for (var i = 0u; i < LOADS; i++) { // @unroll
    let at = i * WORKGROUP + thread;
    let at_a = first_a + at;
    let at_b = first_b + RUN - 1u - at;
    let key_a = select(NOTHING, sorted[a + min(at_a, count_a - 1u)], at_a < count_a);
    let key_b = select(NOTHING, sorted[b + min(at_b, max(count_b, 1u) - 1u)], at_b < count_b);
    tile_keys[at] = min(key_a, key_b);
  }
  workgroupBarrier();
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
  for (var i = 0u; i < LOADS; i++) { // @unroll
    let at = i * WORKGROUP + thread;
    if (begin + at < count) {
      merged[a + begin + at] = tile_keys[at];
    }
  }
}
