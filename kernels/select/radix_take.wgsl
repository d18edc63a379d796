// radix_take.wgsl: exact top-k of f32 scores, 2 of 3: takes all that is above the threshold's bin.
//
// Dispatch (shares, lists, batch). A workgroup looks at SPAN tokens of one list.
//
// The threshold's bin is the largest bin down to which there are enough middle tokens. Tokens above
// it are picks; tokens in it are candidates. Both are appended in no certain order. The sink comes
// first in a list and the recent window last.
//
// HAND_OVER selects who decides between the candidates:
//   0  radix_finish.wgsl does, in a dispatch of its own. WGSL guarantees that this works.
//   1  The last workgroup of the list to arrive does. No workgroup waits. But storageBarrier() has
//      to order memory for the whole device: naga's SPIR-V does so, WGSL does not promise it.
//   2  As 0: atomics would hand over the candidates one by one.
//
// 1. Load the scores of the share.
// 2. Find the threshold's bin from the counts of the list.
// 3. Compare the bins of the scores with it.
// 4. Take places in the list and among the candidates, and write both. Write the sink and the
//    recent window, too.
// 5. In the last workgroup to arrive, decide between the candidates as radix_finish.wgsl does.
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
const LOADS: u32 = 2u; // @param loads of four scores per thread
const AHEAD: u32 = 4u; // @param candidates in flight per thread
const FINALISTS: u32 = 32u; // @param most finalists that are ranked
const HAND_OVER: u32 = 1u; // @param 0 dispatch, 1 barrier, 2 atomics

const SPAN = WORKGROUP * LOADS * 4u;
const ROW_LOADS = CAPACITY / 4u; // loads of a list's scores
const THREAD_BINS = BINS / WORKGROUP;
const TILE = WORKGROUP * AHEAD;
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
@group(0) @binding(2) var<storage, read_write> bin_counts: array<u32>;
@group(0) @binding(3) var<storage, read_write> appended: array<atomic<u32>>;
@group(0) @binding(4) var<storage, read_write> candidates: array<vec2<u32>>;
@group(0) @binding(5) var<storage, read_write> selected: array<u32>;
@group(0) @binding(6) var<storage, read_write> selected_counts: array<u32>;

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

var<workgroup> threshold: u32; // the threshold's bin
var<workgroup> places: vec2<u32>; // where the picks and the candidates of the share begin
var<workgroup> is_last: u32;
var<workgroup> list_place: vec4<u32>; // picks above, candidates, the threshold's bin
var<workgroup> digit_counts: array<atomic<u32>, DIGITS>;
var<workgroup> cut_part: vec3<u32>; // the part of the cut, finalists above it, finalists in it
var<workgroup> finalist_count: atomic<u32>;
var<workgroup> finalists: array<vec2<u32>, FINALISTS>; // (key, rank)
var<workgroup> cut: vec2<u32>; // (key, rank)
var<workgroup> taken: atomic<u32>;
var<workgroup> values: array<vec2<u32>, ROWS * ROW_STRIDE>;
var<workgroup> row_totals: array<vec2<u32>, ROWS>;

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

/// Bin `i` of a thread, from the largest bin of all down.
fn thread_bin(thread: u32, i: u32) -> u32 {
  return BINS - 1u - thread * THREAD_BINS - i;
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let list = wid.z * SEQUENCE_LISTS + wid.y;
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
  let start = wid.x * SPAN;
  if (wid.x == 0u && thread == 0u) {
    let entries = sink_end + picks_wanted + length - recent_start;
    // The newest page, which every list has, may not be whole.
    selected_counts[list] = tokens - PAGE * length + PAGE * entries;
  }
  if (start >= length) {
    return;
  }

  // 1. Load the scores of the share.
  var words: array<vec4<u32>, LOADS>;
  for (var i = 0u; i < LOADS; i++) { // @unroll
    let place = min(start / 4u + i * WORKGROUP + thread, ROW_LOADS - 1u);
    words[i] = scores[list * ROW_LOADS + place];
  }

  // 2. Find the threshold's bin: above it there are too few tokens, down to it there are enough.
  var counts: array<u32, THREAD_BINS>;
  for (var i = 0u; i < THREAD_BINS; i++) { // @unroll
    counts[i] = bin_counts[list * BINS + thread_bin(thread, i)];
  }
  var own = 0u;
  for (var i = 0u; i < THREAD_BINS; i++) { // @unroll
    own += counts[i];
  }
  if (thread == 0u) {
    threshold = BINS; // without picks no bin is at it or above
  }
  var above = scan_rows(vec2<u32>(own, 0u), thread).x;
  for (var i = 0u; i < THREAD_BINS; i++) { // @unroll
    if (above < picks_wanted && picks_wanted <= above + counts[i]) {
      threshold = thread_bin(thread, i);
    }
    above += counts[i];
  }
  workgroupBarrier();

  // 3. Compare the bins of the scores with it.
  var picks = 0u; // bit i of a mask: score i of this thread
  var ties = 0u;
  for (var i = 0u; i < LOADS; i++) { // @unroll
    for (var part = 0u; part < 4u; part++) { // @unroll
      let token = start + (i * WORKGROUP + thread) * 4u + part;
      let bin = key_bin(float_key(words[i][part]));
      let inside = u32(token >= sink_end && token < recent_start);
      picks |= (inside & u32(bin > threshold)) << (i * 4u + part);
      ties |= (inside & u32(bin == threshold)) << (i * 4u + part);
    }
  }

  // 4. Take places in the list and among the candidates, and write both.
  let scanned = scan_rows(vec2<u32>(countOneBits(picks), countOneBits(ties)), thread);
  if (thread == 0u) {
    places.x = atomicAdd(&appended[list * 4u], scanned.z);
    places.y = atomicAdd(&appended[list * 4u + 1u], scanned.w);
    if (wid.x == 0u && picks_wanted > 0u) {
      atomicStore(&appended[list * 4u + 2u], threshold);
    }
  }
  workgroupBarrier();
  let first_slot = list * LIST_CAPACITY;
  var slot = first_slot + sink_end + places.x + scanned.x;
  var candidate = list * CAPACITY + places.y + scanned.y;
  for (var i = 0u; i < LOADS; i++) { // @unroll
    for (var part = 0u; part < 4u; part++) { // @unroll
      let token = start + (i * WORKGROUP + thread) * 4u + part;
      let bit = 1u << (i * 4u + part);
      if ((picks & bit) != 0u) {
        selected[slot] = token;
        slot += 1u;
      }
      if ((ties & bit) != 0u) {
        candidates[candidate] = vec2<u32>(float_key(words[i][part]), token);
        candidate += 1u;
      }
      if (token < sink_end) {
        selected[first_slot + token] = token;
      }
      if (token >= recent_start && token < length) {
        selected[first_slot + sink_end + picks_wanted + token - recent_start] = token;
      }
    }
  }

  // 5. In the last workgroup to arrive, decide between the candidates.
  if (HAND_OVER == 1u && picks_wanted > 0u) {
    storageBarrier();
    if (thread == 0u) {
      let arrivals = atomicAdd(&appended[list * 4u + 3u], 1u) + 1u;
      is_last = u32(arrivals == (length + SPAN - 1u) / SPAN);
    }
    if (workgroupUniformLoad(&is_last) == 0u) {
      return;
    }
    storageBarrier();
    for (var bin = thread; bin < BINS; bin += WORKGROUP) {
      bin_counts[list * BINS + bin] = 0u;
    }
    if (thread == 0u) {
      list_place.x = atomicExchange(&appended[list * 4u], 0u);
      list_place.y = atomicExchange(&appended[list * 4u + 1u], 0u);
      list_place.z = atomicExchange(&appended[list * 4u + 2u], 0u);
      atomicStore(&appended[list * 4u + 3u], 0u);
    }
    let place = workgroupUniformLoad(&list_place);
    let found = place.y;
    let begin = list * CAPACITY; // of the list's candidates
    // @shared decide_candidates
    // Repeat rounds until few finalists are left, or all of them are taken.
    var range = bin_range(place.z);
    var left = found; // finalists
    var missing = picks_wanted - place.x; // finalists to take
    for (; left > FINALISTS && missing < left;) {
      for (var digit = thread; digit < DIGITS; digit += WORKGROUP) {
        atomicStore(&digit_counts[digit], 0u);
      }
      workgroupBarrier();
      let by_key = range.key_bits > 0u;
      let bits = select(range.rank_bits, range.key_bits, by_key);
      let shift = bits - min(bits, DIGIT_BITS);
      for (var first = 0u; first < found; first += TILE) {
        var own: array<vec2<u32>, AHEAD>;
        for (var i = 0u; i < AHEAD; i++) { // @unroll
          own[i] = candidates[begin + min(first + i * WORKGROUP + thread, found - 1u)];
        }
        for (var i = 0u; i < AHEAD; i++) { // @unroll
          let candidate = vec2<u32>(own[i].x, rank_of(own[i].y));
          if (first + i * WORKGROUP + thread < found && is_in(candidate, range)) {
            let offset = select(candidate.y - range.low_rank, candidate.x - range.low_key, by_key);
            atomicAdd(&digit_counts[offset >> shift], 1u);
          }
        }
      }
      workgroupBarrier();
      // A thread adds up its digits, from the largest digit of all down.
      var own = 0u;
      for (var i = 0u; i < THREAD_DIGITS; i++) { // @unroll
        own += atomicLoad(&digit_counts[DIGITS - 1u - thread * THREAD_DIGITS - i]);
      }
      var above = scan_rows(vec2<u32>(own, 0u), thread).x;
      for (var i = 0u; i < THREAD_DIGITS; i++) { // @unroll
        let digit = DIGITS - 1u - thread * THREAD_DIGITS - i;
        let here = atomicLoad(&digit_counts[digit]);
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

    // Rank the finalists, which gives the cut. If all are taken, the range begins at the cut.
    if (thread == 0u) {
      cut = vec2<u32>(range.low_key, range.low_rank);
    }
    workgroupBarrier();
    if (missing < left) {
      for (var first = 0u; first < found; first += TILE) {
        var own: array<vec2<u32>, AHEAD>;
        for (var i = 0u; i < AHEAD; i++) { // @unroll
          own[i] = candidates[begin + min(first + i * WORKGROUP + thread, found - 1u)];
        }
        for (var i = 0u; i < AHEAD; i++) { // @unroll
          let candidate = vec2<u32>(own[i].x, rank_of(own[i].y));
          if (first + i * WORKGROUP + thread < found && is_in(candidate, range)) {
            finalists[atomicAdd(&finalist_count, 1u)] = candidate;
          }
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

    // Write the candidates down to the cut.
    let slots = list * LIST_CAPACITY + sink_end + place.x;
    for (var first = 0u; first < found; first += TILE) {
      var own: array<vec2<u32>, AHEAD>;
      for (var i = 0u; i < AHEAD; i++) { // @unroll
        own[i] = candidates[begin + min(first + i * WORKGROUP + thread, found - 1u)];
      }
      for (var i = 0u; i < AHEAD; i++) { // @unroll
        let candidate = vec2<u32>(own[i].x, rank_of(own[i].y));
        if (first + i * WORKGROUP + thread < found && reaches(candidate, cut)) {
          selected[slots + atomicAdd(&taken, 1u)] = own[i].y;
        }
      }
    }
    // @end
  }
}
