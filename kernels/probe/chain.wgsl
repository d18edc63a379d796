// chain.wgsl: the smallest dispatch that depends on the one before it.
//
// Dispatch (1). One thread adds one. A decode step costs at least this much per dispatch.
@group(0) @binding(0) var<storage, read_write> sink: array<u32>;

@compute @workgroup_size(1)
fn main() {
  sink[1] = sink[1] + 1u;
}
