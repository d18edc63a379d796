// gpt-fast's dense decode, 4 of 4: the sums of all splits added up into the output.
//
// Dispatch (query heads, batch): a workgroup makes one row of the output. Its threads stand as SLICES
// rows of head dim / 4 columns; each slice adds up every SLICES-th split, then the slices are added.
// The weights are normalised already, so that nothing needs rescaling.
const HEAD_DIM: u32 = 128u; // @param
const Q_HEADS: u32 = 32u; // @param
const SPLITS: u32 = 8u; // @param
const SLICES: u32 = 8u; // @param

const COLUMNS = HEAD_DIM / 4u;
const WORKGROUP = COLUMNS * SLICES;

@group(0) @binding(0) var<storage, read> split_sums: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> out: array<vec4f>;

var<workgroup> sums: array<vec4f, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let column = thread % COLUMNS;
  let slice = thread / COLUMNS;
  let head = wid.y * Q_HEADS + wid.x;

  var sum = vec4f(0.0);
  for (var split = slice; split < SPLITS; split += SLICES) {
    sum += split_sums[(head * SPLITS + split) * COLUMNS + column];
  }
  sums[thread] = sum;
  workgroupBarrier();
  if (slice == 0u) {
    var row = vec4f(0.0);
    for (var s = 0u; s < SLICES; s++) { // @unroll
      row += sums[s * COLUMNS + column];
    }
    out[head * COLUMNS + column] = row;
  }
}
