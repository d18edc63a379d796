// stream.wgsl: how fast the device reads memory in 16-byte loads.
//
// Dispatch (workgroups). A workgroup reads LOADS * WORKGROUP consecutive vec4s, all in flight at
// once.
//
// 1. Load the vec4s.
// 2. Combine the loads. The result is stored for one value in 2^32 only, so that compilers cannot
//    drop the loads and almost nothing is written.
const WORKGROUP: u32 = 256u; // @param
const LOADS: u32 = 8u; // @param 16-byte loads per thread

@group(0) @binding(0) var<storage, read> data: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> sink: array<u32>;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  // 1. Load the vec4s.
  var loads: array<vec4<u32>, LOADS>;
  for (var i = 0u; i < LOADS; i++) { // @unroll
    loads[i] = data[(wid.x * LOADS + i) * WORKGROUP + thread];
  }

  // 2. Combine the loads.
  var sum = vec4<u32>(0u);
  for (var i = 0u; i < LOADS; i++) { // @unroll
    sum = sum * 31u + loads[i];
  }
  let word = sum.x ^ sum.y ^ sum.z ^ sum.w;
  if (word == 0x9e3779b9u) {
    sink[0] = word;
  }
}
