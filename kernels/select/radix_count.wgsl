// radix_count.wgsl: exact top-k of f32 scores, 1 of 3: counts the scores of each bin.
//
// Dispatch (shares, lists, batch). A workgroup counts the middle tokens of its share, which is SPAN
// tokens of one list, and adds its counts to those of the list.
//
// Scores are read as bits and never computed with: denormals keep their order, and NaN its place.
//
// 1. Load the scores of the share.
// 2. Count them in workgroup memory.
// 3. Add the counts to the list's.
const SEQUENCE_LISTS: u32 = 32u; // @param lists of a sequence
const CAPACITY: u32 = 4096u; // @param scores that a list has room for
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

const SPAN = WORKGROUP * LOADS * 4u;
const ROW_LOADS = CAPACITY / 4u; // loads of a list's scores
// @shared key_bins
const HALF = BINS / 2u; // bins of one sign
const FIRST_STEP = FIRST_EXPONENT << (23u - SHIFT); // magnitudes of this step and below share a bin
// @end

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read> scores: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read_write> bin_counts: array<atomic<u32>>;

var<workgroup> counts: array<atomic<u32>, BINS>;

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
  if (picks_wanted == 0u || start >= recent_start) {
    return;
  }

  // 1. Load the scores of the share.
  var words: array<vec4<u32>, LOADS>;
  for (var i = 0u; i < LOADS; i++) { // @unroll
    let place = min(start / 4u + i * WORKGROUP + thread, ROW_LOADS - 1u);
    words[i] = scores[list * ROW_LOADS + place];
  }

  // 2. Count them. Workgroup memory begins with zeros.
  for (var i = 0u; i < LOADS; i++) { // @unroll
    let first = start + (i * WORKGROUP + thread) * 4u;
    for (var part = 0u; part < 4u; part++) { // @unroll
      if (first + part >= sink_end && first + part < recent_start) {
        atomicAdd(&counts[key_bin(float_key(words[i][part]))], 1u);
      }
    }
  }
  workgroupBarrier();

  // 3. Add the counts to the list's.
  for (var bin = thread; bin < BINS; bin += WORKGROUP) {
    let count = atomicLoad(&counts[bin]);
    if (count != 0u) {
      atomicAdd(&bin_counts[list * BINS + bin], count);
    }
  }
}
