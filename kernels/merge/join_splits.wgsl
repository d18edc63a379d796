// Joins the partials that the fused attention kernels leave when HAND_OVER is 0: the dispatch
// boundary orders their memory, as WGSL guarantees.
//
// Dispatch (query heads, batch): a workgroup makes one row of the output. WORKGROUP threads stand as
// SLICES rows of head dim / 4 columns; each slice adds up every SLICES-th split, then the slices are
// joined in workgroup memory. A partial is its numerators, then (maximum, denominator, 0, 0). A list
// is HEADS query heads of one KV head; its partials lie together, those of its last head unused
// where the group ends before. Logits are in log2 units. Nothing attended gives o = 0.
// The first ZEROED words of counters become zero, for the step to come.
const HEAD_DIM: u32 = 128u; // @param
const BATCH: u32 = 1u; // @param sequences
const GROUP: u32 = 4u; // @param query heads per KV head
const Q_HEADS: u32 = 32u; // @param
const HEADS: u32 = 1u; // @param query heads of a list
const SPLITS: u32 = 8u; // @param
const SLICES: u32 = 8u; // @param
const ZEROED: u32 = 0u; // @param words of counters
const ZEROS_BEGIN: u32 = 0u; // @param the first of them

const COLUMNS = HEAD_DIM / 4u;
const PARTIAL_QUADS = COLUMNS + 1u;
const WORKGROUP = COLUMNS * SLICES;
const ROUNDS = (SPLITS + SLICES - 1u) / SLICES;
const GROUP_LISTS = (GROUP + HEADS - 1u) / HEADS;
const LISTS = BATCH * (Q_HEADS / GROUP) * GROUP_LISTS;
const LINE_QUADS = 8u; // of a cache line: each list begins one
const LIST_QUADS = (HEADS * SPLITS * PARTIAL_QUADS + LINE_QUADS - 1u) / LINE_QUADS * LINE_QUADS;
// @shared softmax
const NEG_LARGE = -1e30; // in place of minus infinity, for which WGSL promises nothing
const LOG2_E = 1.4426950408889634; // logits are in log2 units
// @end

/// What the workgroups of a list left, as the fused kernels declare it.
struct HandOver {
  arrivals: array<u32, LISTS>,
  words: array<u32, 64u - LISTS % 64u>,
  partials: array<vec4f, LISTS * LIST_QUADS>,
}

@group(0) @binding(0) var<storage, read> hand_over: HandOver;
@group(0) @binding(1) var<uniform> sink_logits: array<vec4f, (Q_HEADS + 3u) / 4u>;
@group(0) @binding(2) var<storage, read_write> counters: array<u32>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4f>;

var<workgroup> slice_stats: array<vec2f, SLICES>; // m, l
var<workgroup> slice_acc: array<vec4f, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let column = thread % COLUMNS;
  let slice = thread / COLUMNS;
  let row = wid.y * Q_HEADS + wid.x;
  for (var i = row * WORKGROUP + thread; i < ZEROED; i += BATCH * Q_HEADS * WORKGROUP) {
    counters[ZEROS_BEGIN + i] = 0u;
  }

  let list = row / GROUP * GROUP_LISTS + row % GROUP / HEADS;
  let first = list * LIST_QUADS + row % GROUP % HEADS * SPLITS * PARTIAL_QUADS;
  var m = NEG_LARGE;
  var l = 0.0;
  var acc = vec4f(0.0);
  for (var round = 0u; round < ROUNDS; round++) {
    let split = round * SLICES + slice;
    if (split < SPLITS) {
      let partial_stats = hand_over.partials[first + split * PARTIAL_QUADS + COLUMNS].xy;
      let partial_acc = hand_over.partials[first + split * PARTIAL_QUADS + column];
      let m_new = max(m, partial_stats.x);
      let alpha = exp2(m - m_new);
      let beta = exp2(partial_stats.x - m_new);
      m = m_new;
      l = l * alpha + partial_stats.y * beta;
      acc = acc * alpha + partial_acc * beta;
    }
  }
  if (column == 0u) {
    slice_stats[slice] = vec2f(m, l);
  }
  slice_acc[thread] = acc;
  workgroupBarrier();

  if (slice == 0u) {
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
    let attends = l > 0.0 || l != l;
    l += select(exp2(sink - m), 0.0, sink <= NEG_LARGE);
    out[row * COLUMNS + column] = select(vec4f(0.0), acc / l, attends);
  }
}
