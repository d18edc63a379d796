// radix_list.wgsl: exact top-k of f32 scores, in one dispatch for lists of up to SPAN tokens.
//
// Dispatch (1, lists, batch). A workgroup holds all scores of a list in registers.
//
// The cut is the worst middle token that is taken. A larger score is better; of equal scores the
// lower index is, or with TIES = 1 the higher. So no two tokens are equally good. The cut lies in a
// bin of scores, then in a range of scores, and then in a range of indices of one score. A round
// divides the range into 2^DIGIT_BITS parts, counts the tokens of each part, and goes on with the
// part of the cut. Tokens in the range are finalists.
//
// Scores are read as bits and never computed with: denormals keep their order, and NaN its place.
// Picks are in no certain order. The sink comes first in a list and the recent window last.
//
// 1. Load the scores.
// 2. Count the tokens of each bin, which gives the bin of the cut.
// 3. Repeat rounds until few finalists are left, or all of them are taken.
// 4. Rank the finalists, which gives the cut.
// 5. Write the tokens down to the cut, and the windows.
const SEQUENCE_LISTS: u32 = 32u; // @param lists of a sequence
const CAPACITY: u32 = 4096u; // @param
const LIST_CAPACITY: u32 = 256u; // @param
const TIES: u32 = 0u; // @param 0 lower, 1 higher index first
const SINK: u32 = 0u; // @param
const RECENT: u32 = 0u; // @param
const K_COUNT: u32 = 128u; // @param used where SPARSITY is 0
const SPARSITY: u32 = 0u; // @param k = tokens / SPARSITY
const PAGE: u32 = 1u; // @param tokens of an entry of the list
const BINS: u32 = 2048u; // @param
const SHIFT: u32 = 18u; // @param bits of a magnitude that bins do not tell apart
const FIRST_EXPONENT: u32 = 111u; // @param smallest exponent with bins of its own, biased by 127
const WORKGROUP: u32 = 256u; // @param
const LOADS: u32 = 4u; // @param loads of four scores per thread
const COPIES: u32 = 1u; // @param counters of a bin, so that fewer threads meet at one
const FINALISTS: u32 = 32u; // @param most finalists that are ranked

const SCORES = LOADS * 4u; // scores of a thread
const ROW_LOADS = CAPACITY / 4u; // loads of a list's scores
const THREAD_BINS = BINS / WORKGROUP;
const DIGIT_BITS = 10u; // that a round decides
const DIGITS = 1u << DIGIT_BITS;
const THREAD_DIGITS = DIGITS / WORKGROUP;
const TOKEN_BITS = 21u; // of the largest capacity
const ROW = 16u; // threads whose values a scan adds up first
const ROWS = WORKGROUP / ROW;
const ROW_STRIDE = ROW + 1u; // rows begin in different banks
// @shared key_bins
const HALF = BINS / 2u; // bins of one sign
const FIRST_STEP = FIRST_EXPONENT << (23u - SHIFT); // magnitudes of this step and below share a bin
// @end

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read> scores: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read_write> selected: array<u32>;
@group(0) @binding(3) var<storage, read_write> selected_counts: array<u32>;

// @shared key_range
/// Candidates whose key is in [low_key, low_key + 2^key_bits) and, if key_bits is 0, whose rank by
/// index is in [low_rank, low_rank + 2^rank_bits).
struct Range {
  low_key: u32,
  key_bits: u32,
  low_rank: u32,
  rank_bits: u32,
}
// @end

var<workgroup> counts: array<atomic<u32>, max(BINS * COPIES, DIGITS)>;
var<workgroup> cut_part: vec3<u32>; // the part of the cut, finalists above it, finalists in it
var<workgroup> values: array<vec2<u32>, ROWS * ROW_STRIDE>;
var<workgroup> row_totals: array<vec2<u32>, ROWS>;
var<workgroup> finalist_count: atomic<u32>;
var<workgroup> finalists: array<vec2<u32>, FINALISTS>; // (key, rank)
var<workgroup> cut: vec2<u32>; // (key, rank)

// @shared float_key
/// A u32 that orders f32 scores by their bits: a larger score has a larger key. -0 equals +0, and
/// NaN is below -inf.
fn float_key(bits: u32) -> u32 {
  let magnitude = bits & 0x7fffffffu;
  let ordered = select(0x80000000u + magnitude, 0x7fffffffu - magnitude, bits > 0x80000000u);
  return select(ordered, 0u, magnitude > 0x7f800000u);
}
// @end

// @shared key_bin
/// The bin of a key. Bins ascend with keys, so any threshold between bins is one between scores. A
/// power of two of magnitudes has 2^(23 - SHIFT) bins, and bins begin with FIRST_EXPONENT.
fn key_bin(key: u32) -> u32 {
  let negative = key < 0x80000000u;
  let magnitude = select(key - 0x80000000u, 0x7fffffffu - key, negative);
  let step = clamp(magnitude >> SHIFT, FIRST_STEP, FIRST_STEP + HALF - 1u) - FIRST_STEP;
  return select(HALF + step, HALF - 1u - step, negative);
}
// @end

// @shared scan_rows
/// Sums of `value` over the threads before this one (xy) and over all threads (zw).
///
/// Two calls need no barrier between them. The second barrier of a call separates its reads of
/// `values` from the writes of the next call, whose first barrier does the same for `row_totals`.
fn scan_rows(value: vec2<u32>, thread: u32) -> vec4<u32> {
  let row = thread / ROW;
  let place = thread % ROW;
  values[row * ROW_STRIDE + place] = value;
  workgroupBarrier();
  var before = vec2<u32>(0u);
  for (var i = 0u; i < ROW; i++) { // @unroll
    before += select(vec2<u32>(0u), values[row * ROW_STRIDE + i], i < place);
  }
  if (place == ROW - 1u) {
    row_totals[row] = before + value;
  }
  workgroupBarrier();
  var all = vec2<u32>(0u);
  for (var r = 0u; r < ROWS; r++) { // @unroll
    before += select(vec2<u32>(0u), row_totals[r], r < row);
    all += row_totals[r];
  }
  return vec4<u32>(before, all);
}
// @end

// @shared key_ranges
/// The keys of a bin as a range.
fn bin_range(bin: u32) -> Range {
  let negative = bin < HALF;
  let step = select(bin - HALF, HALF - 1u - bin, negative);
  if (step == 0u || step == HALF - 1u) {
    return Range(select(0x80000000u, 0u, negative), 31u, 0u, TOKEN_BITS); // all keys of the sign
  }
  let first = (FIRST_STEP + step) << SHIFT;
  let last = first + (1u << SHIFT) - 1u;
  return Range(select(0x80000000u + first, 0x7fffffffu - last, negative), SHIFT, 0u, TOKEN_BITS);
}

/// Orders tokens of one score: the better one has the higher rank.
fn rank_of(token: u32) -> u32 {
  return select((1u << TOKEN_BITS) - 1u - token, token, TIES == 1u);
}

/// Whether a candidate, with its rank, is in a range.
fn is_in(candidate: vec2<u32>, range: Range) -> bool {
  return (candidate.x - range.low_key) >> range.key_bits == 0u &&
    (range.key_bits > 0u || (candidate.y - range.low_rank) >> range.rank_bits == 0u);
}

/// Whether a candidate, with its rank, is at least as good as another one.
fn reaches(candidate: vec2<u32>, other: vec2<u32>) -> bool {
  return candidate.x > other.x || (candidate.x == other.x && candidate.y >= other.y);
}
// @end

/// Tokens of a bin.
fn bin_count(bin: u32) -> u32 {
  var count = 0u;
  for (var copy = 0u; copy < COPIES; copy++) { // @unroll
    count += atomicLoad(&counts[bin * COPIES + copy]);
  }
  return count;
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  // 1. Load the scores.
  let list = wid.z * SEQUENCE_LISTS + wid.y;
  var words: array<vec4<u32>, LOADS>;
  for (var i = 0u; i < LOADS; i++) { // @unroll
    words[i] = scores[list * ROW_LOADS + min(i * WORKGROUP + thread, ROW_LOADS - 1u)];
  }
  // @shared list_windows
  // With PAGE > 1 a list has pages, not tokens. A page with a token of a window is in the window,
  // and the newest page is always in the recent one.
  let tokens = lengths[wid.z];
  let length = (tokens + PAGE - 1u) / PAGE; // of the list
  let sink_end = (min(SINK, tokens) + PAGE - 1u) / PAGE;
  let recent = min(max(RECENT, u32(PAGE > 1u)), tokens);
  let recent_start = max(sink_end, (tokens - recent) / PAGE);
  let wanted = select(tokens / max(SPARSITY, 1u), K_COUNT, SPARSITY == 0u) / PAGE;
  let picks_wanted = min(wanted, recent_start - sink_end);
  // @end
  if (thread == 0u) {
    let entries = sink_end + picks_wanted + length - recent_start;
    // The newest page, which every list has, may not be whole.
    selected_counts[list] = tokens - PAGE * length + PAGE * entries;
  }

  // 2. Count the tokens of each bin. Workgroup memory begins with zeros.
  var keys: array<u32, SCORES>;
  var inside = 0u; // bit i of a mask: score i of this thread is of a middle token
  for (var i = 0u; i < SCORES; i++) { // @unroll
    let token = (i / 4u * WORKGROUP + thread) * 4u + i % 4u;
    keys[i] = float_key(words[i / 4u][i % 4u]);
    let is_middle = token >= sink_end && token < recent_start;
    inside |= u32(is_middle) << i;
    if (is_middle) {
      atomicAdd(&counts[key_bin(keys[i]) * COPIES + thread % COPIES], 1u);
    }
  }
  workgroupBarrier();
  var own_bins = 0u;
  for (var i = 0u; i < THREAD_BINS; i++) { // @unroll
    own_bins += bin_count(BINS - 1u - thread * THREAD_BINS - i);
  }
  var bins_above = scan_rows(vec2<u32>(own_bins, 0u), thread).x;
  for (var i = 0u; i < THREAD_BINS; i++) { // @unroll
    let bin = BINS - 1u - thread * THREAD_BINS - i;
    let here = bin_count(bin);
    if (bins_above < picks_wanted && picks_wanted <= bins_above + here) {
      cut_part = vec3<u32>(bin, bins_above, here);
    }
    bins_above += here;
  }
  let cut_bin = workgroupUniformLoad(&cut_part);
  var picks = 0u; // above the bin of the cut
  var tied = 0u; // in it
  for (var i = 0u; i < SCORES; i++) { // @unroll
    let bin = key_bin(keys[i]);
    picks |= (inside & (u32(bin > cut_bin.x) << i));
    tied |= (inside & (u32(bin == cut_bin.x) << i));
  }

  // 3. Repeat rounds until few finalists are left, or all of them are taken.
  var range = bin_range(cut_bin.x);
  var left = cut_bin.z; // finalists
  var missing = picks_wanted - cut_bin.y; // finalists to take
  for (; left > FINALISTS && missing < left;) {
    for (var digit = thread; digit < DIGITS; digit += WORKGROUP) {
      atomicStore(&counts[digit], 0u);
    }
    workgroupBarrier();
    let by_key = range.key_bits > 0u;
    let bits = select(range.rank_bits, range.key_bits, by_key);
    let shift = bits - min(bits, DIGIT_BITS);
    for (var i = 0u; i < SCORES; i++) { // @unroll
      let token = (i / 4u * WORKGROUP + thread) * 4u + i % 4u;
      let candidate = vec2<u32>(keys[i], rank_of(token));
      if (((tied >> i) & 1u) != 0u && is_in(candidate, range)) {
        let offset = select(candidate.y - range.low_rank, candidate.x - range.low_key, by_key);
        atomicAdd(&counts[offset >> shift], 1u);
      }
    }
    workgroupBarrier();
    // A thread adds up its digits, from the largest digit of all down.
    var own = 0u;
    for (var i = 0u; i < THREAD_DIGITS; i++) { // @unroll
      own += atomicLoad(&counts[DIGITS - 1u - thread * THREAD_DIGITS - i]);
    }
    var above = scan_rows(vec2<u32>(own, 0u), thread).x;
    for (var i = 0u; i < THREAD_DIGITS; i++) { // @unroll
      let digit = DIGITS - 1u - thread * THREAD_DIGITS - i;
      let here = atomicLoad(&counts[digit]);
      if (above < missing && missing <= above + here) {
        cut_part = vec3<u32>(digit, above, here);
      }
      above += here;
    }
    let part = workgroupUniformLoad(&cut_part);
    missing -= part.y;
    left = part.z;
    if (by_key) {
      range.low_key += part.x << shift;
      range.key_bits = shift;
    } else {
      range.low_rank += part.x << shift;
      range.rank_bits = shift;
    }
  }

  // 4. Rank the finalists, which gives the cut. If all are taken, the range begins at the cut.
  if (thread == 0u) {
    cut = vec2<u32>(range.low_key, range.low_rank);
  }
  workgroupBarrier();
  if (missing < left) {
    for (var i = 0u; i < SCORES; i++) { // @unroll
      let token = (i / 4u * WORKGROUP + thread) * 4u + i % 4u;
      let candidate = vec2<u32>(keys[i], rank_of(token));
      if (((tied >> i) & 1u) != 0u && is_in(candidate, range)) {
        finalists[atomicAdd(&finalist_count, 1u)] = candidate;
      }
    }
    workgroupBarrier();
    if (thread < left) {
      var better = 0u; // finalists that are at least as good as this thread's one
      for (var i = 0u; i < left; i++) {
        better += u32(reaches(finalists[i], finalists[thread]));
      }
      if (better == missing) {
        cut = finalists[thread];
      }
    }
    workgroupBarrier();
  }

  // 5. Write the tokens down to the cut, and the windows.
  for (var i = 0u; i < SCORES; i++) { // @unroll
    let token = (i / 4u * WORKGROUP + thread) * 4u + i % 4u;
    picks |= tied & (u32(reaches(vec2<u32>(keys[i], rank_of(token)), cut)) << i);
  }
  picks = select(0u, picks, picks_wanted > 0u);
  let slots = list * LIST_CAPACITY;
  var slot = slots + sink_end + scan_rows(vec2<u32>(countOneBits(picks), 0u), thread).x;
  for (var i = 0u; i < SCORES; i++) { // @unroll
    let token = (i / 4u * WORKGROUP + thread) * 4u + i % 4u;
    if (((picks >> i) & 1u) != 0u) {
      selected[slot] = token;
      slot += 1u;
    }
    if (token < sink_end) {
      selected[slots + token] = token;
    }
    if (token >= recent_start && token < length) {
      selected[slots + sink_end + picks_wanted + token - recent_start] = token;
    }
  }
}
