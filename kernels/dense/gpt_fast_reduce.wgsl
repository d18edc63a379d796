// gpt_fast_reduce.wgsl: gpt-fast's dense decode, 4 of 4: adds up the sums of the splits.
//
// Dispatch (query heads, batch). A workgroup computes one row of the output. Its threads form
// SLICES rows of head dim / 4 columns. The p of all splits share one m and one l, so no sum needs
// rescaling.
//
// 1. Each slice adds up every SLICES-th split.
// 2. The first slice adds up the slices and stores the row.
const HEAD_DIM: u32 = 128u; // @param
const Q_HEADS: u32 = 32u; // @param
const SPLITS: u32 = 8u; // @param
const SLICES: u32 = 8u; // @param

const COLUMNS = HEAD_DIM / 4u;
const WORKGROUP = COLUMNS * SLICES;

@group(0) @binding(0) var<storage, read> split_sums: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> out: array<vec4f>;

var<workgroup> sums: array<vec4f, WORKGROUP>;

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

  // 1. Add up every SLICES-th split.
  var sum = vec4f(0.0);
  for (var split = slice; split < SPLITS; split += SLICES) {
    sum += split_sums[(head * SPLITS + split) * COLUMNS + column];
  }
  sums[thread] = sum;
  workgroupBarrier();

  // 2. Add up the slices and store the row.
  if (slice == 0u) {
    var row = vec4f(0.0);
    for (var s = 0u; s < SLICES; s++) { // @unroll
      row += sums[s * COLUMNS + column];
    }
    store_out(head * COLUMNS + column, row);
  }
}
