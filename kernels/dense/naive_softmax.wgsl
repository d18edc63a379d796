// Second third of naive dense decode: softmax of each row of scores, in place.
//
// Dispatch (query heads, batch): a workgroup makes one row [0, length) of
// [batch, query heads, capacity] sum to 1, or less if the head has a sink logit, which adds to the
// denominator alone. Scores come in log2 units.
const Q_HEADS: u32 = 32u; // @param
const CAPACITY: u32 = 1024u; // @param tokens a cache row block holds
const WORKGROUP: u32 = 256u; // @param

const LOWEST = -1e30;
const LOG2_E = 1.4426950408889634;

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read> sink_logits: array<f32>;
@group(0) @binding(2) var<storage, read_write> scores: array<f32>;

var<workgroup> peaks: array<f32, WORKGROUP>;
var<workgroup> weights: array<f32, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let length = lengths[wid.y];
  let row = (wid.y * Q_HEADS + wid.x) * CAPACITY;

  var peak = LOWEST;
  for (var token = thread; token < length; token += WORKGROUP) {
    peak = max(peak, scores[row + token]);
  }
  peaks[thread] = peak;
  workgroupBarrier();
  for (var i = WORKGROUP / 2u; i > 0u; i /= 2u) {
    if (thread < i) {
      peaks[thread] = max(peaks[thread], peaks[thread + i]);
    }
    workgroupBarrier();
  }
  let sink = sink_logits[wid.x] * LOG2_E;
  let highest = max(peaks[0], sink);

  var weight = 0.0;
  for (var token = thread; token < length; token += WORKGROUP) {
    weight += exp2(scores[row + token] - highest);
  }
  weights[thread] = weight;
  workgroupBarrier();
  for (var i = WORKGROUP / 2u; i > 0u; i /= 2u) {
    if (thread < i) {
      weights[thread] += weights[thread + i];
    }
    workgroupBarrier();
  }
  let denominator = weights[0] + select(exp2(sink - highest), 0.0, sink <= LOWEST);
  for (var token = thread; token < length; token += WORKGROUP) {
    scores[row + token] = exp2(scores[row + token] - highest) / denominator;
  }
}
