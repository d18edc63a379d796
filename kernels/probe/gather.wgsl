// gather.wgsl: how fast the device reads whole rows from anywhere in a large buffer.
// stream.wgsl with rows at random places.
//
// Dispatch (workgroups). LANES threads share a row of LANES 16-byte loads. A workgroup reads
// WORKGROUP / LANES * TOKENS rows, all in flight at once. Row numbers are hashes, so that no load
// waits for an index.
//
// 1. Load the rows.
// 2. Combine the loads. The result is stored for one value in 2^32 only, so that compilers cannot
//    drop the loads and almost nothing is written.
const WORKGROUP: u32 = 256u; // @param
const LANES: u32 = 16u; // @param 16-byte loads in a row
const TOKENS: u32 = 8u; // @param rows per thread
const ROWS: u32 = 4096u; // @param rows in the buffer

const ROW_GROUPS = WORKGROUP / LANES;

@group(0) @binding(0) var<storage, read> data: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> seed: array<u32>;
@group(0) @binding(2) var<storage, read_write> sink: array<u32>;

// @shared hash
/// A hash of 32 bits in which every bit of `x` changes about half of the bits.
fn hash(x: u32) -> u32 {
  var h = (x ^ (x >> 16u)) * 0x7feb352du;
  h = (h ^ (h >> 15u)) * 0x846ca68bu;
  return h ^ (h >> 16u);
}
// @end

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let lane = thread % LANES;
  let group = thread / LANES;

  // 1. Load the rows.
  var loads: array<vec4<u32>, TOKENS>;
  for (var t = 0u; t < TOKENS; t++) { // @unroll
    let row = hash(((wid.x * TOKENS + t) * ROW_GROUPS + group) ^ seed[0]) % ROWS;
    loads[t] = data[row * LANES + lane];
  }

  // 2. Combine the loads.
  var sum = vec4<u32>(0u);
  for (var t = 0u; t < TOKENS; t++) { // @unroll
    sum = sum * 31u + loads[t];
  }
  let word = sum.x ^ sum.y ^ sum.z ^ sum.w;
  if (word == 0x9e3779b9u) {
    sink[0] = word;
  }
}
