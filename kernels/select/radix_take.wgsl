// radix_take.wgsl: exact top-k of f32 scores, 2 of 3: takes all that is above the threshold's bin.
//
// Dispatch (shares, lists, batch). A workgroup looks at SPAN tokens of one list.
//
// The threshold's bin is the largest bin down to which there are enough middle tokens. Tokens above
// it are picks; tokens in it are candidates, between which radix_finish.wgsl decides. Both are
// appended in no certain order. The sink comes first in a list and the recent window last.
//
// 1. Load the scores of the share.
// 2. Find the threshold's bin from the counts of the list.
// 3. Compare the bins of the scores with it.
// 4. Take places in the list and among the candidates, and write both.
const SEQUENCE_LISTS: u32 = 32u; // @param lists of a sequence
const CAPACITY: u32 = 4096u; // @param
const LIST_CAPACITY: u32 = 256u; // @param
const SINK: u32 = 0u; // @param
const RECENT: u32 = 0u; // @param
const K_COUNT: u32 = 128u; // @param used where SPARSITY is 0
const SPARSITY: u32 = 0u; // @param k = length / SPARSITY
const BINS: u32 = 2048u; // @param
const SHIFT: u32 = 18u; // @param bits of a magnitude that bins do not tell apart
const FIRST_EXPONENT: u32 = 111u; // @param smallest exponent with bins of its own, biased by 127
const WORKGROUP: u32 = 256u; // @param
const LOADS: u32 = 2u; // @param loads of four scores per thread

const SPAN = WORKGROUP * LOADS * 4u;
const ROW_LOADS = CAPACITY / 4u; // loads of a list's scores
const THREAD_BINS = BINS / WORKGROUP;
const ROW = 16u; // threads whose values a scan adds up first
const ROWS = WORKGROUP / ROW;
const ROW_STRIDE = ROW + 1u; // rows begin in different banks
// @shared key_bins
const HALF = BINS / 2u; // bins of one sign
const FIRST_STEP = FIRST_EXPONENT << (23u - SHIFT); // magnitudes of this step and below share a bin
// @end

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read> scores: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> bin_counts: array<u32>;
@group(0) @binding(3) var<storage, read_write> appended: array<atomic<u32>>;
@group(0) @binding(4) var<storage, read_write> candidates: array<vec2<u32>>;
@group(0) @binding(5) var<storage, read_write> selected: array<u32>;
@group(0) @binding(6) var<storage, read_write> selected_counts: array<u32>;

var<workgroup> threshold: u32; // the threshold's bin
var<workgroup> places: vec2<u32>; // where the picks and the candidates of the share begin
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
  let length = lengths[wid.z];
  // @shared windows
  let sink_end = min(SINK, length);
  let recent_start = max(sink_end, length - min(RECENT, length));
  let wanted = select(length / max(SPARSITY, 1u), K_COUNT, SPARSITY == 0u);
  let picks_wanted = min(wanted, recent_start - sink_end);
  // @end
  let start = wid.x * SPAN;
  if (wid.x == 0u && thread == 0u) {
    selected_counts[list] = sink_end + picks_wanted + length - recent_start;
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
}
