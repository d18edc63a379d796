// Joins the partials of a split attention into the output.
//
// Dispatch (query heads, batch): a workgroup makes one row of the output. WORKGROUP threads stand
// as SLICES rows of head dim / 4 columns; each slice adds up every SLICES-th split, then the slices
// are joined in workgroup memory. Logits are in log2 units. Nothing attended gives o = 0.
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

var<workgroup> peaks: array<f32, SLICES>;
var<workgroup> weights: array<f32, SLICES>;
var<workgroup> sums: array<vec4f, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let column = thread % COLUMNS;
  let slice = thread / COLUMNS;
  let head = wid.y * Q_HEADS + wid.x;

  var peak = NEG_LARGE;
  var weight = 0.0;
  var sum = vec4f(0.0);
  for (var round = 0u; round < ROUNDS; round++) {
    let split = round * SLICES + slice;
    if (split < SPLITS) {
      let stats = partial_stats[head * SPLITS + split];
      let part = partial_out[(head * SPLITS + split) * COLUMNS + column];
      let higher = max(peak, stats.x);
      let fade = exp2(peak - higher);
      let scale = exp2(stats.x - higher);
      peak = higher;
      weight = weight * fade + stats.y * scale;
      sum = sum * fade + part * scale;
    }
  }
  if (column == 0u) {
    peaks[slice] = peak;
    weights[slice] = weight;
  }
  sums[thread] = sum;
  workgroupBarrier();

  if (slice == 0u) {
    let sink = sink_logits[wid.x / 4u][wid.x % 4u] * LOG2_E;
    var highest = sink;
    for (var s = 0u; s < SLICES; s++) {
      highest = max(highest, peaks[s]);
    }
    var denominator = exp2(sink - highest);
    var attended = 0.0;
    var numerator = vec4f(0.0);
    for (var s = 0u; s < SLICES; s++) {
      let scale = exp2(peaks[s] - highest);
      attended += weights[s] * scale;
      numerator += sums[s * COLUMNS + column] * scale;
    }
    denominator = select(denominator, 0.0, sink <= NEG_LARGE) + attended;
    out[head * COLUMNS + column] = select(vec4f(0.0), numerator / denominator, attended > 0.0 || attended != attended);
  }
}
