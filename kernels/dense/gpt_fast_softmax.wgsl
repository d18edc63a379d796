// gpt_fast_softmax.wgsl: gpt-fast's dense decode, 2 of 4: softmax of each row of logits, in place.
//
// Dispatch (query heads, slices of a row, batch). Rows are [batch, query heads, capacity], in log2
// units. A workgroup turns a slice of 4 * LOADS * WORKGROUP logits into probabilities p. A row sums
// to 1, or to less if the head has a sink logit, which adds to l alone. Masked slots get 0.
//
// 1. Load the slice.
// 2. Join (m, l) of all blocks of the row.
// 3. Compute and store p.
const Q_HEADS: u32 = 32u; // @param
const CAPACITY: u32 = 1024u; // @param slots of the cache per head
const BLOCKS: u32 = 8u; // @param blocks of a row, each with its (m, l)
const WORKGROUP: u32 = 256u; // @param
const LOADS: u32 = 1u; // @param 16-byte loads of scores per thread

const ROW_QUADS = CAPACITY / 4u;
// @shared softmax
const NEG_LARGE = -1e30; // in place of minus infinity, for which WGSL promises nothing
const LOG2_E = 1.4426950408889634; // logits are in log2 units
// @end

@group(0) @binding(0) var<storage, read> block_stats: array<vec2f>;
@group(0) @binding(1) var<uniform> sink_logits: array<vec4f, (Q_HEADS + 3u) / 4u>;
@group(0) @binding(2) var<storage, read_write> scores: array<vec4f>;

var<workgroup> joined: array<vec2f, WORKGROUP>; // (m, l)

/// Joins (m, l) of two parts of a row.
fn join_stats(a: vec2f, b: vec2f) -> vec2f {
  let m = max(a.x, b.x);
  return vec2f(m, a.y * exp2(a.x - m) + b.y * exp2(b.x - m));
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let row = wid.z * Q_HEADS + wid.x;
  let first = wid.y * LOADS * WORKGROUP + thread;

  // 1. Load the slice. It is in flight while step 2 joins the blocks.
  var slice: array<vec4f, LOADS>;
  for (var load = 0u; load < LOADS; load++) { // @unroll
    slice[load] = scores[row * ROW_QUADS + min(first + load * WORKGROUP, ROW_QUADS - 1u)];
  }

  // 2. Join (m, l) of all blocks of the row.
  var stats = vec2f(NEG_LARGE, 0.0);
  for (var block = thread; block < BLOCKS; block += WORKGROUP) {
    stats = join_stats(stats, block_stats[row * BLOCKS + block]);
  }
  joined[thread] = stats;
  workgroupBarrier();
  for (var i = WORKGROUP / 2u; i > 0u; i /= 2u) {
    if (thread < i) {
      joined[thread] = join_stats(joined[thread], joined[thread + i]);
    }
    workgroupBarrier();
  }
  let sink = sink_logits[wid.x / 4u][wid.x % 4u] * LOG2_E;
  let m = max(joined[0].x, sink);
  let l_tokens = joined[0].y * exp2(joined[0].x - m);
  let l = l_tokens + select(exp2(sink - m), 0.0, sink <= NEG_LARGE);

  // 3. Compute and store p.
  for (var load = 0u; load < LOADS; load++) { // @unroll
    let at = first + load * WORKGROUP;
    if (at < ROW_QUADS) {
      scores[row * ROW_QUADS + at] = exp2(slice[load] - m) / l;
    }
  }
}
