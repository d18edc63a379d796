// gpt-fast's dense decode, 2 of 4: softmax of each row of scores, in place.
//
// Dispatch (query heads, slices of the row, batch): rows are [batch, query heads, capacity] in log2
// units. Each workgroup joins the statistics of all blocks of its row, then turns a slice of
// 4 * LOADS * WORKGROUP scores into weights. A row's weights sum to 1, or to less if the head has a
// sink logit, which adds to the denominator alone; masked slots get 0.
const Q_HEADS: u32 = 32u; // @param
const CAPACITY: u32 = 1024u; // @param slots of the cache per head
const BLOCKS: u32 = 8u; // @param statistics of a row
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

var<workgroup> joined: array<vec2f, WORKGROUP>;

/// Joins (maximum, sum of exponentials relative to it) of two parts of a row.
fn join(a: vec2f, b: vec2f) -> vec2f {
  let peak = max(a.x, b.x);
  return vec2f(peak, a.y * exp2(a.x - peak) + b.y * exp2(b.x - peak));
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let row = wid.z * Q_HEADS + wid.x;
  let first = wid.y * LOADS * WORKGROUP + thread;

  // The slice is on its way while the statistics are joined.
  var slice: array<vec4f, LOADS>;
  for (var load = 0u; load < LOADS; load++) { // @unroll
    slice[load] = scores[row * ROW_QUADS + min(first + load * WORKGROUP, ROW_QUADS - 1u)];
  }

  var own = vec2f(NEG_LARGE, 0.0);
  for (var block = thread; block < BLOCKS; block += WORKGROUP) {
    own = join(own, block_stats[row * BLOCKS + block]);
  }
  joined[thread] = own;
  workgroupBarrier();
  for (var i = WORKGROUP / 2u; i > 0u; i /= 2u) {
    if (thread < i) {
      joined[thread] = join(joined[thread], joined[thread + i]);
    }
    workgroupBarrier();
  }
  let sink = sink_logits[wid.x / 4u][wid.x % 4u] * LOG2_E;
  let highest = max(joined[0].x, sink);
  let attended = joined[0].y * exp2(joined[0].x - highest);
  let denominator = attended + select(exp2(sink - highest), 0.0, sink <= NEG_LARGE);

  for (var load = 0u; load < LOADS; load++) { // @unroll
    let at = first + load * WORKGROUP;
    if (at < ROW_QUADS) {
      scores[row * ROW_QUADS + at] = exp2(slice[load] - highest) / denominator;
    }
  }
}
