// merge.wgsl: joins the partials (acc, m, l) of a split attention into the output.
//
// Dispatch (query heads, batch). A workgroup computes one row of the output. Its threads form
// SLICES rows of head dim / 4 columns. Logits are in log2 units. A query head that attends no token
// gets zeros.
//
// 1. Each slice joins every SLICES-th split.
// 2. The first slice joins the slices and the sink logit, divides and stores the row.
const HEAD_DIM: u32 = 128u; // @param
const Q_HEADS: u32 = 32u; // @param
const SPLITS: u32 = 8u; // @param
const SLICES: u32 = 8u; // @param

const COLUMNS = HEAD_DIM / 4u;
const WORKGROUP = COLUMNS * SLICES;
const ROUNDS = (SPLITS + SLICES - 1u) / SLICES;
// @shared softmax
const NEG_LARGE = -1e30; // in place of minus infinity, for which WGSL promises nothing
const LOG2_E = 1.4426950408889634; // logits are in log2 units
// @end

@group(0) @binding(0) var<storage, read> partial_out: array<vec4f>;
@group(0) @binding(1) var<storage, read> partial_stats: array<vec2f>;
@group(0) @binding(2) var<uniform> sink_logits: array<vec4f, (Q_HEADS + 3u) / 4u>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4f>;

var<workgroup> slice_m: array<f32, SLICES>;
var<workgroup> slice_l: array<f32, SLICES>;
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
  let head = wid.y * Q_HEADS + wid.x;

  // 1. Join every SLICES-th split.
  var m = NEG_LARGE;
  var l = 0.0;
  var acc = vec4f(0.0);
  for (var round = 0u; round < ROUNDS; round++) {
    let split = round * SLICES + slice;
    if (split < SPLITS) {
      let split_stats = partial_stats[head * SPLITS + split];
      let split_acc = partial_out[(head * SPLITS + split) * COLUMNS + column];
      let m_new = max(m, split_stats.x);
      let alpha = exp2(m - m_new);
      let beta = exp2(split_stats.x - m_new);
      m = m_new;
      l = l * alpha + split_stats.y * beta;
      acc = acc * alpha + split_acc * beta;
    }
  }
  if (column == 0u) {
    slice_m[slice] = m;
    slice_l[slice] = l;
  }
  slice_acc[thread] = acc;
  workgroupBarrier();

  // 2. Join the slices and the sink logit, divide and store the row.
  if (slice == 0u) {
    let sink = sink_logits[wid.x / 4u][wid.x % 4u] * LOG2_E;
    m = sink;
    for (var s = 0u; s < SLICES; s++) {
      m = max(m, slice_m[s]);
    }
    l = 0.0;
    acc = vec4f(0.0);
    for (var s = 0u; s < SLICES; s++) {
      let beta = exp2(slice_m[s] - m);
      l += slice_l[s] * beta;
      acc += slice_acc[s * COLUMNS + column] * beta;
    }
    let attends = !(l <= 0.0); // a NaN goes on
    l += select(exp2(sink - m), 0.0, sink <= NEG_LARGE);
    store_out(head * COLUMNS + column, select(vec4f(0.0), acc / l, attends));
  }
}
