// join_splits.wgsl: joins the partials that fused attention kernels leave with HAND_OVER 0.
// merge.wgsl for another layout of partials, plus a reset of counters for the next step. The
// boundary between dispatches orders memory, as WGSL guarantees.
//
// Dispatch (query heads, batch). A workgroup computes one row of the output. Its threads form
// SLICES rows of head dim / 4 columns. Logits are in log2 units. A query head that attends no token
// gets zeros.
// A partial is acc, then (m, l, 0, 0). A list is HEADS query heads of one KV head, whose partials
// lie together. If GROUP is no multiple of HEADS, the last list of a group has unused partials.
// With COUNTED = 1 the output of a list without splits is stored already.
//
// 1. All threads set the first ZEROED words of counters to zero.
// 2. Each slice joins every SLICES-th split.
// 3. The first slice joins the slices and the sink logit, divides and stores the row.
const HEAD_DIM: u32 = 128u; // @param
const BATCH: u32 = 1u; // @param sequences
const GROUP: u32 = 4u; // @param query heads per KV head
const Q_HEADS: u32 = 32u; // @param
const HEADS: u32 = 1u; // @param query heads of a list
const SPLITS: u32 = 8u; // @param
const COUNTED: u32 = 0u; // @param 1 if arrivals say how many splits a list has, SPLITS at most
const SLICES: u32 = 8u; // @param
const ZEROED: u32 = 0u; // @param words of counters to reset
const ZEROS_BEGIN: u32 = 0u; // @param first word to reset

const COLUMNS = HEAD_DIM / 4u;
const PARTIAL_QUADS = COLUMNS + 1u;
const WORKGROUP = COLUMNS * SLICES;
const ROUNDS = (SPLITS + SLICES - 1u) / SLICES;
const IN_FLIGHT = min(ROUNDS, 9u); // splits that a thread loads at a time
const GROUP_LISTS = (GROUP + HEADS - 1u) / HEADS;
const LISTS = BATCH * (Q_HEADS / GROUP) * GROUP_LISTS;
const LINE_QUADS = 8u; // of a cache line: each list begins a line
const LIST_QUADS = (HEADS * SPLITS * PARTIAL_QUADS + LINE_QUADS - 1u) / LINE_QUADS * LINE_QUADS;
// @shared softmax
const NEG_LARGE = -1e30; // in place of minus infinity, for which WGSL promises nothing
const LOG2_E = 1.4426950408889634; // logits are in log2 units
// @end

/// Partials of all lists, as the fused kernels declare them.
struct HandOver {
  arrivals: array<u32, LISTS>,
  words: array<u32, 64u - LISTS % 64u>,
  partials: array<vec4f, LISTS * LIST_QUADS>,
}

@group(0) @binding(0) var<storage, read> hand_over: HandOver;
@group(0) @binding(1) var<uniform> sink_logits: array<vec4f, (Q_HEADS + 3u) / 4u>;
@group(0) @binding(2) var<storage, read_write> counters: array<u32>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4f>;

var<workgroup> slice_stats: array<vec2f, SLICES>; // (m, l)
var<workgroup> slice_acc: array<vec4f, WORKGROUP>;

// @shared store_out
/// Stores a quad of the output.
fn store_out(at: u32, quad: vec4f) {
  out[at] = quad;
}
// @end

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let column = thread % COLUMNS;
  let slice = thread / COLUMNS;
  let row = wid.y * Q_HEADS + wid.x;

  // 1. Reset the counters.
  for (var i = row * WORKGROUP + thread; i < ZEROED; i += BATCH * Q_HEADS * WORKGROUP) {
    counters[ZEROS_BEGIN + i] = 0u;
  }

  // 2. Join every SLICES-th split.
  let list = row / GROUP * GROUP_LISTS + row % GROUP / HEADS;
  var splits = SPLITS;
  if (COUNTED == 1u) {
    splits = hand_over.arrivals[list];
  }
  let first = list * LIST_QUADS + row % GROUP % HEADS * SPLITS * PARTIAL_QUADS;
  var m = NEG_LARGE;
  var l = 0.0;
  var acc = vec4f(0.0);
  for (var start = 0u; start < ROUNDS; start += IN_FLIGHT) {
    // All loads are in flight before the first use: the join is bound by latency.
    var split_acc: array<vec4f, IN_FLIGHT>;
    var split_stats: array<vec2f, IN_FLIGHT>;
    for (var i = 0u; i < IN_FLIGHT; i++) { // @unroll
      let split = min((start + i) * SLICES + slice, SPLITS - 1u);
      split_acc[i] = hand_over.partials[first + split * PARTIAL_QUADS + column];
      split_stats[i] = hand_over.partials[first + split * PARTIAL_QUADS + COLUMNS].xy;
    }
    let m_old = m;
    for (var i = 0u; i < IN_FLIGHT; i++) { // @unroll
      let is_split = (start + i) * SLICES + slice < splits;
      split_stats[i] = select(vec2f(NEG_LARGE, 0.0), split_stats[i], is_split);
      m = max(m, split_stats[i].x);
    }
    l *= exp2(m_old - m);
    acc *= exp2(m_old - m);
    for (var i = 0u; i < IN_FLIGHT; i++) { // @unroll
      // What lies past the last split may be NaN.
      let is_split = (start + i) * SLICES + slice < splits;
      let beta = exp2(split_stats[i].x - m);
      l += split_stats[i].y * beta;
      acc += select(vec4f(0.0), split_acc[i], is_split) * beta;
    }
  }
  if (column == 0u) {
    slice_stats[slice] = vec2f(m, l);
  }
  slice_acc[thread] = acc;
  workgroupBarrier();

  // 3. Join the slices and the sink logit, divide and store the row.
  if (slice == 0u && splits > 0u) {
    let sink = sink_logits[wid.x / 4u][wid.x % 4u] * LOG2_E;
    m = max(sink, NEG_LARGE);
    for (var s = 0u; s < SLICES; s++) {
      m = max(m, slice_stats[s].x);
    }
    l = 0.0;
    acc = vec4f(0.0);
    for (var s = 0u; s < SLICES; s++) {
      let beta = exp2(slice_stats[s].x - m);
      l += slice_stats[s].y * beta;
      acc += slice_acc[s * COLUMNS + column] * beta;
    }
    let attends = !(l <= 0.0); // a NaN goes on
    l += select(exp2(sink - m), 0.0, sink <= NEG_LARGE);
    store_out(row * COLUMNS + column, select(vec4f(0.0), acc / l, attends));
  }
}
