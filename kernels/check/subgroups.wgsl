// subgroups.wgsl: tests what the subgroup kernels assume. A subgroup is consecutive threads,
// numbered in their order, and is no smaller than the device says.
//
// Dispatch (workgroups). Each thread stores the size of its subgroup, its own number there, the
// first thread of the subgroup, and the neighbour that a shuffle finds.
const WORKGROUP: u32 = 256u; // @param

@group(0) @binding(0) var<storage, read_write> found: array<vec4<u32>>;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
  @builtin(subgroup_invocation_id) lane: u32,
  @builtin(subgroup_size) size: u32,
) {
  let first = subgroupBroadcastFirst(thread);
  let neighbour = subgroupShuffleXor(thread, 1u);
  found[wid.x * WORKGROUP + thread] = vec4<u32>(size, lane, first, neighbour);
}
