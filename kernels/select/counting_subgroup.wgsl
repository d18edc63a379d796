// counting_subgroup.wgsl: exact top-k of small whole numbers by their histograms, with subgroups.
//
// counting.wgsl plus subgroups: one subgroup finds the threshold, and scans need fewer barriers.
// Subgroups must be consecutive threads, SUBGROUP_MIN or more, and no more than WORKGROUP.
//
// Dispatch (shares, lists, batch). A workgroup selects among the tokens of its share, which is
// SHARE_BLOCKS blocks of one list.
//
// A list holds the sink, the recent window, and the picks between them: all middle tokens whose
// distance is below the threshold, and the first of those at the threshold (the ties), or with
// TIES = 1 the last. Lists are in the order of tokens.
//
// 1. Load the distances of the first span of the share.
// 2. Add up the histograms of all blocks, and of the blocks before the share.
// 3. Find the threshold, the first distance up to which there are enough tokens. The sums also give
//    the place of the share in the list.
// 4. Compact: compare the distances with the threshold, span by span, and write the tokens of the
//    list.
//
// No workgroup waits for another. A share depends on the capacity only. So the loads of steps 1
// and 2 depend on no other load, and are all in flight at once.
const LAST: u32 = 32u; // @param largest distance
const SEQUENCE_LISTS: u32 = 32u; // @param lists of a sequence
const CAPACITY: u32 = 4096u; // @param
const LIST_CAPACITY: u32 = 256u; // @param
const DISTANCE_BYTES: u32 = 1u; // @param 1 or 2
const TIES: u32 = 0u; // @param 0 lower, 1 higher index first
const SINK: u32 = 0u; // @param
const RECENT: u32 = 0u; // @param
const K_COUNT: u32 = 128u; // @param used where SPARSITY is 0
const SPARSITY: u32 = 0u; // @param k = length / SPARSITY
const BLOCK: u32 = 1024u; // @param tokens per histogram
const SPLITS: u32 = 2u; // @param most workgroups per list
const SUBGROUP_MIN: u32 = 4u; // @param smallest subgroup of the device
const WORKGROUP: u32 = 128u; // @param
const TOKENS: u32 = 16u; // @param consecutive tokens per thread, 16 or 32


const COLUMNS = min(LAST, WORKGROUP); // threads that read a histogram
const SLICES = WORKGROUP / COLUMNS; // histograms read side by side
const BLOCKS = (CAPACITY + BLOCK - 1u) / BLOCK;
const SHARE_BLOCKS = (BLOCKS + SPLITS - 1u) / SPLITS;
const SHARE = SHARE_BLOCKS * BLOCK;
const AHEAD = min((BLOCKS + SLICES - 1u) / SLICES, 16u); // counts in flight per thread
const LANE_BINS = (LAST + SUBGROUP_MIN - 1u) / SUBGROUP_MIN; // bins per thread in step 3
const PADDING = u32(LANE_BINS > 1u); // words after the bins of a lane: lanes read from other banks
const STRIDE = LAST + PADDING * SUBGROUP_MIN; // of a slice
const SPAN = WORKGROUP * TOKENS; // tokens that the workgroup compares at a time
const ROUNDS = (SHARE + SPAN - 1u) / SPAN; // spans of a share
const PER_WORD = 4u / DISTANCE_BYTES; // distances in a word
const WORDS = TOKENS / PER_WORD; // words of distances per thread and span
const LOADS = WORDS / 4u;
const ROW_LOADS = CAPACITY / PER_WORD / 4u; // loads of a list's distances
const MOST_SUBGROUPS = WORKGROUP / SUBGROUP_MIN;

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read> distances: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> block_histograms: array<u32>;
@group(0) @binding(3) var<storage, read_write> selected: array<u32>;
@group(0) @binding(4) var<storage, read_write> selected_counts: array<u32>;

var<workgroup> slices: array<vec2<u32>, SLICES * STRIDE>; // counts in all, and before this share
// The threshold, the middle tokens below it (with TIES = 1, below or at it), and of the tokens
// before this share: those below the threshold, and the ties.
var<workgroup> threshold_place: vec4<u32>;
var<workgroup> subtotals: array<u32, MOST_SUBGROUPS>;

// @shared bits_from
/// A word whose bits `count` and up are set.
fn bits_from(count: u32) -> u32 {
  return select(0xffffffffu << min(count, 31u), 0u, count > 31u);
}
// @end

// @shared window_tokens
/// The number of tokens of [first, after) that lie in the sink or the recent window.
fn window_tokens(first: u32, after: u32, sink_end: u32, recent_start: u32) -> u32 {
  let in_sink = max(min(after, sink_end), first) - first;
  return in_sink + after - clamp(recent_start, first, after);
}
// @end

// @shared window_mask
/// The tokens of the sink or the recent window among the 32 from `first` on, as a mask: bit i is
/// token first + i. Tokens at the length and past it count as recent.
fn window_mask(first: u32, sink_end: u32, recent_start: u32) -> u32 {
  let in_sink = ~bits_from(max(first, sink_end) - first);
  return in_sink | bits_from(max(first, recent_start) - first);
}
// @end

// @shared first_bits
/// The lowest `count` of the bits that are set in `mask`, or all if there are fewer.
fn first_bits(mask: u32, count: u32) -> u32 {
  var kept = select(mask, 0u, count == 0u);
  for (; countOneBits(kept) > count;) {
    kept &= ~(1u << firstLeadingBit(kept));
  }
  return kept;
}
// @end

// @shared tie_picks
/// How many of the first `count` ties are picks. Picks are the first `tie_bound` ties, or with
/// TIES = 1 all ties but these.
fn picks_of_ties(count: u32, tie_bound: u32) -> u32 {
  let first = min(count, tie_bound);
  return select(first, count - first, TIES == 1u);
}

/// The picks among the ties of a mask, where `before` ties come before the mask.
fn mask_tie_picks(tie_mask: u32, before: u32, tie_bound: u32) -> u32 {
  let first = first_bits(tie_mask, tie_bound - min(before, tie_bound));
  return select(first, tie_mask & ~first, TIES == 1u);
}
// @end

// @shared fields_below
/// Bit i of the result is set if field i of `word`, a distance, is below `limit`.
///
/// One subtraction compares all fields: limit + top - 1 - distance has its top bit set if and only
/// if the distance is below the limit. Fields do not borrow from each other.
fn fields_below(word: u32, limit: u32) -> u32 {
  if (DISTANCE_BYTES == 1u && LAST < 128u) {
    let fields = ((0x7f7f7f7fu + limit * 0x01010101u - word) >> 7u) & 0x01010101u;
    return (fields * 0x10204080u) >> 28u;
  }
  // Distances that need all 8 bits of a field get 16: first the even fields, then the odd ones.
  let wide = 0x7fff7fffu + limit * 0x00010001u;
  let even = (wide - select(word, word & 0x00ff00ffu, DISTANCE_BYTES == 1u)) >> 15u;
  if (DISTANCE_BYTES == 2u) {
    return (even & 1u) | ((even >> 15u) & 2u);
  }
  let odd = (wide - ((word >> 8u) & 0x00ff00ffu)) >> 15u;
  return (even & 1u) | ((even >> 14u) & 4u) | ((odd & 1u) << 1u) | ((odd >> 13u) & 8u);
}
// @end

// @shared list_picks
/// Writes the tokens of the mask `picks`, bit i for token first + i, to the list from `slot` on.
fn list_picks(first: u32, picks: u32, slot: u32) {
  var next = slot;
  for (var left = picks; left != 0u; left &= left - 1u) {
    selected[next] = first + firstTrailingBit(left);
    next += 1u;
  }
}
// @end

// @shared distance_place
/// The place of load i of a thread in the distances of the list, from token `first` on. Past the
/// end of the list its last load repeats.
fn distance_place(first: u32, i: u32) -> u32 {
  return min(first / PER_WORD / 4u + i, ROW_LOADS - 1u);
}
// @end

/// Adds up the counts of each bin over all blocks of the list (x) and over those before the share
/// (y). A thread takes one bin of every SLICES-th block: that needs no atomics, and neighbours read
/// neighbours.
fn add_padded_histograms(list: u32, share: u32, length: u32, thread: u32) {
  let written = (length + BLOCK - 1u) / BLOCK; // blocks past the sequence have no histogram
  let earlier = min(written, share * SHARE_BLOCKS);
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
}

/// The sums of a bin over the slices.
fn padded_bin_sums(bin: u32) -> vec2<u32> {
  var total = vec2<u32>(0u);
  for (var s = 0u; s < SLICES; s++) { // @unroll
    total += slices[s * STRIDE + bin + PADDING * (bin / LANE_BINS)];
  }
  return total;
}

/// Finds the threshold and writes `threshold_place`. The threshold is the first bin up to which
/// there are `picks_wanted` tokens, or the last bin if the others hold fewer. Only the first
/// SUBGROUP_MIN threads have bins, so the scan of their subgroup is enough.
fn place_threshold_by_lanes(
  thread: u32,
  start: u32,
  sink_end: u32,
  recent_start: u32,
  picks_wanted: u32,
) {
  var own = vec2<u32>(0u); // tokens in the bins of this thread
  for (var b = 0u; b < LANE_BINS; b++) { // @unroll
    let bin = thread * LANE_BINS + b;
    if (thread < SUBGROUP_MIN && bin < LAST) {
      own += padded_bin_sums(bin);
    }
  }
  var below = subgroupExclusiveAdd(own);
  for (var b = 0u; b < LANE_BINS; b++) { // @unroll
    let bin = thread * LANE_BINS + b;
    if (thread < SUBGROUP_MIN && bin < LAST) {
      let here = padded_bin_sums(bin);
      if ((below.x < picks_wanted || bin == 0u) && picks_wanted <= below.x + here.x) {
        threshold_place = vec4<u32>(bin, below, here.y);
        if (TIES == 1u) {
          threshold_place.y += here.x;
        }
      }
      below += here;
      if (bin == LAST - 1u && below.x < picks_wanted) {
        let middle = clamp(start, sink_end, recent_start) - sink_end; // middle tokens before
        threshold_place = vec4<u32>(LAST, below, middle - below.y);
        if (TIES == 1u) {
          threshold_place.y = recent_start - sink_end;
        }
      }
    }
  }
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
  @builtin(subgroup_invocation_id) lane: u32,
  @builtin(subgroup_size) lanes: u32,
) {
  // 1. Load the distances of the first span.
  let list = wid.z * SEQUENCE_LISTS + wid.y;
  let start = wid.x * SHARE;
  var words: array<vec4<u32>, LOADS>;
  for (var i = 0u; i < LOADS; i++) { // @unroll
    words[i] = distances[list * ROW_LOADS + distance_place(start + thread * TOKENS, i)];
  }

  // 2. Add up the histograms.
  let length = lengths[wid.z];
  add_padded_histograms(list, wid.x, length, thread);
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

  // 3. Find the threshold.
  place_threshold_by_lanes(thread, start, sink_end, recent_start, picks_wanted);
  workgroupBarrier();
  let threshold = threshold_place.x;
  let counted = threshold_place.y;
  let tie_bound = select(picks_wanted - counted, counted - picks_wanted, TIES == 1u);

  // 4. Compact. Tokens of the windows count as below the threshold.
  let windows_before = window_tokens(0u, min(start, length), sink_end, recent_start);
  var before_round = vec2<u32>(threshold_place.z + windows_before, threshold_place.w);
  for (var round = 0u; round < ROUNDS; round++) {
    // @shared span_masks
    let first = start + round * SPAN + thread * TOKENS; // bit i of a mask is token first + i
    var below_mask = 0u;
    var upto_mask = 0u; // below the threshold or at it
    for (var w = 0u; w < WORDS; w++) { // @unroll
      let word = words[w / 4u][w % 4u];
      below_mask |= fields_below(word, threshold) << (w * PER_WORD);
      upto_mask |= fields_below(word, threshold + 1u) << (w * PER_WORD);
    }
    if (round + 1u < ROUNDS) {
      for (var i = 0u; i < LOADS; i++) { // @unroll
        words[i] = distances[list * ROW_LOADS + distance_place(first + SPAN, i)];
      }
    }
    let end = min(min(length, start + SHARE), first + TOKENS);
    let inside = ~bits_from(max(first, end) - first);
    below_mask = (below_mask | window_mask(first, sink_end, recent_start)) & inside;
    let tie_mask = upto_mask & inside & ~below_mask;
    // @end

    // Scan both counts in one word: tokens below in the low half, ties in the high half. A span has
    // less than 2^16 tokens.
    let counts = countOneBits(below_mask) | (countOneBits(tie_mask) << 16u);
    var earlier = subgroupExclusiveAdd(counts);
    if (round > 0u) {
      workgroupBarrier(); // all threads have read the last subtotals
    }
    if (lane == lanes - 1u) {
      subtotals[thread / lanes] = earlier + counts;
    }
    workgroupBarrier();
    var all = 0u;
    for (var s = 0u; s < MOST_SUBGROUPS; s++) { // @unroll
      earlier += select(0u, subtotals[s], s < thread / lanes);
      all += subtotals[s];
    }
    let before = before_round + vec2<u32>(earlier & 0xffffu, earlier >> 16u);
    before_round += vec2<u32>(all & 0xffffu, all >> 16u);

    let tie_picks = mask_tie_picks(tie_mask, before.y, tie_bound);
    let slot = list * LIST_CAPACITY + before.x + picks_of_ties(before.y, tie_bound);
    list_picks(first, below_mask | tie_picks, slot);
  }
}
