// Exact top-k of bounded whole numbers from their histogram: threshold, then ordered compaction.
//
// Dispatch (blocks, code heads, batch): every workgroup adds up the histograms of its head's blocks,
// in all and before its own, which gives the cut distance and its own place in the list; then it
// compacts its BLOCK tokens in index order. No workgroup waits for another.
// The list: sink, then every middle token nearer than the cut and the first ones at the cut
// (ties: the lower index wins), then recent; ascending. Blocks past the sequence leave at once.
const BITS: u32 = 32u; // @param
const QUERIES_PER_LIST: u32 = 1u; // @param query heads that share a list
const CODE_HEADS: u32 = 32u; // @param
const CAPACITY: u32 = 4096u; // @param
const LIST_CAPACITY: u32 = 256u; // @param
const DISTANCE_BYTES: u32 = 1u; // @param 1 or 2
const SINK: u32 = 0u; // @param
const RECENT: u32 = 0u; // @param
const K_COUNT: u32 = 128u; // @param used where SPARSITY is 0
const SPARSITY: u32 = 0u; // @param k = length / SPARSITY
const BLOCK: u32 = 2048u; // @param tokens per workgroup
const WORKGROUP: u32 = 256u; // @param

const BINS = BITS * QUERIES_PER_LIST + 1u;
const BINS_EACH = (BINS + WORKGROUP - 1u) / WORKGROUP;
const BLOCKS = (CAPACITY + BLOCK - 1u) / BLOCK;
const ENTRIES = BLOCKS * BINS;
const AHEAD = 8u; // histogram entries that a thread loads at a time
const PER_WORD = 4u / DISTANCE_BYTES; // distances in a u32
const TOKENS = BLOCK / WORKGROUP; // consecutive tokens per thread
const WORDS = TOKENS / PER_WORD;
const ROW_WORDS = CAPACITY / PER_WORD;
const MASK = (1u << (8u * DISTANCE_BYTES)) - 1u;

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read> distances: array<u32>;
@group(0) @binding(2) var<storage, read> block_histograms: array<u32>;
@group(0) @binding(3) var<storage, read_write> selected: array<u32>;
@group(0) @binding(4) var<storage, read_write> selected_counts: array<u32>;

var<workgroup> in_all: array<atomic<u32>, BINS>;
var<workgroup> before: array<atomic<u32>, BINS>;
var<workgroup> sums: array<vec2<u32>, WORKGROUP>;
var<workgroup> cut: u32;
var<workgroup> nearer_in_all: u32;
var<workgroup> place: vec2<u32>; // nearer and equal tokens before this block

/// Sums of `value` over the threads before this one.
fn exclusive_scan(value: vec2<u32>, thread: u32) -> vec2<u32> {
  workgroupBarrier();
  sums[thread] = value;
  workgroupBarrier();
  for (var reach = 1u; reach < WORKGROUP; reach *= 2u) {
    var sum = sums[thread];
    if (thread >= reach) {
      sum += sums[thread - reach];
    }
    workgroupBarrier();
    sums[thread] = sum;
    workgroupBarrier();
  }
  return sums[thread] - value;
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let length = lengths[wid.z];
  if (wid.x * BLOCK >= length) {
    return;
  }
  let head = wid.z * CODE_HEADS + wid.y;
  let sink_end = min(SINK, length);
  let recent_start = max(sink_end, length - min(RECENT, length));
  var k = K_COUNT;
  if (SPARSITY != 0u) {
    k = length / max(SPARSITY, 1u);
  }
  k = min(k, recent_start - sink_end);

  // This thread's distances, in flight while the histograms are added up.
  let first = wid.x * BLOCK + thread * TOKENS;
  var words: array<u32, WORDS>;
  for (var w = 0u; w < WORDS; w++) { // @unroll
    words[w] = distances[head * ROW_WORDS + min(first / PER_WORD + w, ROW_WORDS - 1u)];
  }

  for (var bin = thread; bin < BINS; bin += WORKGROUP) {
    atomicStore(&in_all[bin], 0u);
    atomicStore(&before[bin], 0u);
  }
  workgroupBarrier();
  let entries = (length + BLOCK - 1u) / BLOCK * BINS;
  for (var chunk = 0u; chunk < entries; chunk += AHEAD * WORKGROUP) {
    var counts: array<u32, AHEAD>;
    for (var e = 0u; e < AHEAD; e++) { // @unroll
      let entry = chunk + e * WORKGROUP + thread;
      counts[e] = select(0u, block_histograms[head * ENTRIES + min(entry, ENTRIES - 1u)], entry < entries);
    }
    for (var e = 0u; e < AHEAD; e++) { // @unroll
      let entry = chunk + e * WORKGROUP + thread;
      if (counts[e] > 0u) {
        atomicAdd(&in_all[entry % BINS], counts[e]);
      }
      if (counts[e] > 0u && entry < wid.x * BINS) {
        atomicAdd(&before[entry % BINS], counts[e]);
      }
    }
  }
  workgroupBarrier();

  // The cut: the first bin up to which there are k tokens. x: in all, y: before this block.
  var mine = vec2<u32>(0u);
  for (var b = 0u; b < BINS_EACH; b++) {
    let bin = thread * BINS_EACH + b;
    if (bin < BINS) {
      mine += vec2<u32>(atomicLoad(&in_all[bin]), atomicLoad(&before[bin]));
    }
  }
  var below = exclusive_scan(mine, thread);
  if (thread == 0u) {
    cut = 0u;
    nearer_in_all = 0u;
    place = vec2<u32>(0u);
  }
  workgroupBarrier();
  for (var b = 0u; b < BINS_EACH; b++) {
    let bin = thread * BINS_EACH + b;
    if (bin < BINS) {
      let here = vec2<u32>(atomicLoad(&in_all[bin]), atomicLoad(&before[bin]));
      if (below.x < k && k <= below.x + here.x) {
        cut = bin;
        nearer_in_all = below.x;
        place = vec2<u32>(below.y, here.y);
      }
      below += here;
    }
  }
  workgroupBarrier();

  var nearer = 0u;
  var equal = 0u;
  let ties = k - nearer_in_all;
  let cut_at = cut;
  for (var t = 0u; t < TOKENS; t++) { // @unroll
    let token = first + t;
    let distance = (words[t / PER_WORD] >> ((t % PER_WORD) * 8u * DISTANCE_BYTES)) & MASK;
    let middle = token >= sink_end && token < recent_start;
    nearer += u32(middle && distance < cut_at);
    equal += u32(middle && distance == cut_at);
  }
  var rank = exclusive_scan(vec2<u32>(nearer, equal), thread) + place;

  let row = head * LIST_CAPACITY;
  for (var t = 0u; t < TOKENS; t++) { // @unroll
    let token = first + t;
    let distance = (words[t / PER_WORD] >> ((t % PER_WORD) * 8u * DISTANCE_BYTES)) & MASK;
    if (token < sink_end) {
      selected[row + token] = token;
    } else if (token < recent_start) {
      if (distance < cut_at || (distance == cut_at && rank.y < ties)) {
        selected[row + sink_end + rank.x + min(rank.y, ties)] = token;
      }
      rank += vec2<u32>(u32(distance < cut_at), u32(distance == cut_at));
    } else if (token < length) {
      selected[row + sink_end + k + token - recent_start] = token;
    }
  }
  if (wid.x == 0u && thread == 0u) {
    selected_counts[head] = sink_end + k + length - recent_start;
  }
}
