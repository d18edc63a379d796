// The least dispatch that depends on the one before it: one thread adds one.
//
// Dispatch (1). What a step costs beyond this is work.
@group(0) @binding(0) var<storage, read_write> sink: array<u32>;

@compute @workgroup_size(1)
fn main() {
  sink[1] = sink[1] + 1u;
}
