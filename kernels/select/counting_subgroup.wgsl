// Exact top-k of bounded whole numbers from their histogram: threshold, then ordered compaction.
//
// Dispatch (shares, code heads, batch): a workgroup takes the tokens of SHARE_BLOCKS blocks of a
// list. It adds up the histograms of all blocks, which gives the cut distance, and of those before
// its share, which gives its place in the list; then it compacts its tokens and writes its picks.
// No workgroup waits for another, and which tokens are whose depends on the capacity alone: lengths,
// distances and histograms are all in flight at once, before anything is known about any of them.
// The list: sink, then every middle token nearer than the cut and the first ones at the cut
// (ties: the lower index wins), then recent; ascending.
// Subgroups are consecutive threads, of at least SUBGROUP_MIN.
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
const BLOCK: u32 = 1024u; // @param tokens per histogram
const SPLITS: u32 = 2u; // @param most workgroups per list
const SUBGROUP_MIN: u32 = 4u; // @param smallest subgroup of the device
const WORKGROUP: u32 = 128u; // @param
const TOKENS: u32 = 16u; // @param consecutive tokens per thread, 16 or 32

const LAST = BITS * QUERIES_PER_LIST; // the last bin: never read, it has what the others have not
const COLUMNS = min(LAST, WORKGROUP); // threads that read a histogram
const SLICES = WORKGROUP / COLUMNS; // histograms read side by side
const BLOCKS = (CAPACITY + BLOCK - 1u) / BLOCK;
const SHARE_BLOCKS = (BLOCKS + SPLITS - 1u) / SPLITS;
const SHARE = SHARE_BLOCKS * BLOCK;
const AHEAD = min((BLOCKS + SLICES - 1u) / SLICES, 16u); // counts that a thread loads at a time
const LANE_BINS = (LAST + SUBGROUP_MIN - 1u) / SUBGROUP_MIN; // a subgroup finds the cut
const PADDING = u32(LANE_BINS > 1u); // per lane, so that the lanes do not meet in the banks
const STRIDE = LAST + PADDING * SUBGROUP_MIN;
const WINDOW = WORKGROUP * TOKENS;
const ROUNDS = (SHARE + WINDOW - 1u) / WINDOW; // 1, unless the share is long
const PER_WORD = 4u / DISTANCE_BYTES; // distances in a word
const WORDS = TOKENS / PER_WORD;
const LOADS = WORDS / 4u;
const ROW_LOADS = CAPACITY / PER_WORD / 4u;
const MOST_SUBGROUPS = WORKGROUP / SUBGROUP_MIN;

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read> distances: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> block_histograms: array<u32>;
@group(0) @binding(3) var<storage, read_write> selected: array<u32>;
@group(0) @binding(4) var<storage, read_write> selected_counts: array<u32>;

var<workgroup> slices: array<vec2<u32>, SLICES * STRIDE>; // counts in all, and before this share
var<workgroup> cut: vec4<u32>; // its bin, tokens before it in all; before it, in it before this share
var<workgroup> subtotals: array<u32, MOST_SUBGROUPS>;

/// The sum of a bin over the slices.
fn bin_total(bin: u32) -> vec2<u32> {
  var total = vec2<u32>(0u);
  for (var s = 0u; s < SLICES; s++) { // @unroll
    total += slices[s * STRIDE + bin + PADDING * (bin / LANE_BINS)];
  }
  return total;
}

// @shared bits_from
/// A word whose bits `count` and up are set.
fn bits_from(count: u32) -> u32 {
  return select(0xffffffffu << min(count, 31u), 0u, count > 31u);
}
// @end

/// Bit i of the result: distance i of a word is below `limit`, which the top bit of the field
/// (limit + top - 1 - distance) tells; no field borrows from the next.
fn marks(word: u32, limit: u32) -> u32 {
  if (DISTANCE_BYTES == 1u && LAST < 128u) {
    let fields = ((0x7f7f7f7fu + limit * 0x01010101u - word) >> 7u) & 0x01010101u;
    return (fields * 0x10204080u) >> 28u;
  }
  // Distances that need all 8 bits are spread to 16, the even ones and the odd ones.
  let wide = 0x7fff7fffu + limit * 0x00010001u;
  let even = (wide - select(word, word & 0x00ff00ffu, DISTANCE_BYTES == 1u)) >> 15u;
  if (DISTANCE_BYTES == 2u) {
    return (even & 1u) | ((even >> 15u) & 2u);
  }
  let odd = (wide - ((word >> 8u) & 0x00ff00ffu)) >> 15u;
  return (even & 1u) | ((even >> 14u) & 4u) | ((odd & 1u) << 1u) | ((odd >> 13u) & 8u);
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
  @builtin(subgroup_invocation_id) lane: u32,
  @builtin(subgroup_size) lanes: u32,
) {
  let list = wid.z * CODE_HEADS + wid.y;
  let start = wid.x * SHARE;
  var words: array<vec4<u32>, LOADS>;
  for (var i = 0u; i < LOADS; i++) { // @unroll
    let load = (start + thread * TOKENS) / PER_WORD / 4u + i;
    words[i] = distances[list * ROW_LOADS + min(load, ROW_LOADS - 1u)];
  }

  // Thread by bin and slice of the blocks: sums need no atomics, and neighbours read neighbours.
  let length = lengths[wid.z];
  let written = (length + BLOCK - 1u) / BLOCK; // blocks past the sequence have no histogram
  let earlier = min(written, wid.x * SHARE_BLOCKS);
  let slice = thread / COLUMNS;
  for (var bin = thread % COLUMNS; bin < LAST; bin += COLUMNS) {
    var sums = vec2<u32>(0u);
    for (var block = slice; block < BLOCKS; block += AHEAD * SLICES) {
      var counts: array<u32, AHEAD>;
      for (var i = 0u; i < AHEAD; i++) { // @unroll
        let row = list * BLOCKS + min(block + i * SLICES, BLOCKS - 1u);
        counts[i] = block_histograms[row * (LAST + 1u) + bin];
      }
      for (var i = 0u; i < AHEAD; i++) { // @unroll
        let at = vec2<u32>(block + i * SLICES);
        sums += select(vec2<u32>(0u), vec2<u32>(counts[i]), at < vec2<u32>(written, earlier));
      }
    }
    if (slice < SLICES) {
      slices[slice * STRIDE + bin + PADDING * (bin / LANE_BINS)] = sums;
    }
  }

  // @shared windows
  let sink_end = min(SINK, length);
  let recent_start = max(sink_end, length - min(RECENT, length));
  let wanted = select(length / max(SPARSITY, 1u), K_COUNT, SPARSITY == 0u);
  let picks_wanted = min(wanted, recent_start - sink_end);
  // @end
  if (wid.x == 0u && thread == 0u) {
    selected_counts[list] = sink_end + picks_wanted + length - recent_start;
  }
  workgroupBarrier();

  // The cut: the first bin up to which there are k tokens. The first subgroup finds it.
  var mine = vec2<u32>(0u);
  for (var b = 0u; b < LANE_BINS; b++) { // @unroll
    let bin = thread * LANE_BINS + b;
    if (thread < SUBGROUP_MIN && bin < LAST) {
      mine += bin_total(bin);
    }
  }
  var below = subgroupExclusiveAdd(mine);
  for (var b = 0u; b < LANE_BINS; b++) { // @unroll
    let bin = thread * LANE_BINS + b;
    if (thread < SUBGROUP_MIN && bin < LAST) {
      let here = bin_total(bin);
      if ((below.x < picks_wanted || bin == 0u) && picks_wanted <= below.x + here.x) {
        cut = vec4<u32>(bin, below, here.y);
      }
      below += here;
      if (bin == LAST - 1u && below.x < picks_wanted) {
        let middle = clamp(start, sink_end, recent_start) - sink_end;
        cut = vec4<u32>(LAST, below, middle - below.y);
      }
    }
  }
  workgroupBarrier();
  let ties = picks_wanted - cut.y;

  // Tokens of the windows count as nearer than the cut.
  let windows_before = min(start, sink_end) + max(min(start, length), recent_start) - recent_start;
  var before_round = vec2<u32>(cut.z + windows_before, cut.w);
  for (var round = 0u; round < ROUNDS; round++) {
    let first = start + round * WINDOW + thread * TOKENS;
    var nearer = 0u;
    var reached = 0u;
    for (var w = 0u; w < WORDS; w++) { // @unroll
      nearer |= marks(words[w / 4u][w % 4u], cut.x) << (w * PER_WORD);
      reached |= marks(words[w / 4u][w % 4u], cut.x + 1u) << (w * PER_WORD);
    }
    if (round + 1u < ROUNDS) {
      for (var i = 0u; i < LOADS; i++) { // @unroll
        let load = (first + WINDOW) / PER_WORD / 4u + i;
        words[i] = distances[list * ROW_LOADS + min(load, ROW_LOADS - 1u)];
      }
    }
    let end = min(min(length, start + SHARE), first + TOKENS);
    let inside = ~bits_from(max(first, end) - first);
    let windows = ~bits_from(max(first, sink_end) - first) | bits_from(max(first, recent_start) - first);
    nearer = (nearer | windows) & inside;
    var equal = reached & inside & ~nearer;

    // Ranks: nearer tokens in the low half, equal ones in the high half; a window has under 2^16.
    let counts = countOneBits(nearer) | (countOneBits(equal) << 16u);
    var earlier_counts = subgroupExclusiveAdd(counts);
    if (round > 0u) {
      workgroupBarrier();
    }
    if (lane == lanes - 1u) {
      subtotals[thread / lanes] = earlier_counts + counts;
    }
    workgroupBarrier();
    var all = 0u;
    for (var s = 0u; s < MOST_SUBGROUPS; s++) { // @unroll
      earlier_counts += select(0u, subtotals[s], s < thread / lanes);
      all += subtotals[s];
    }
    let before = before_round + vec2<u32>(earlier_counts & 0xffffu, earlier_counts >> 16u);
    before_round += vec2<u32>(all & 0xffffu, all >> 16u);

    let most = ties - min(before.y, ties);
    equal = select(equal, 0u, most == 0u);
    for (; countOneBits(equal) > most;) {
      equal &= ~(1u << firstLeadingBit(equal));
    }
    var slot = list * LIST_CAPACITY + before.x + min(before.y, ties);
    for (var picks = nearer | equal; picks != 0u; picks &= picks - 1u) {
      selected[slot] = first + firstTrailingBit(picks);
      slot += 1u;
    }
  }
}
