// popcount.wgsl: the rate of popcounts, and fixed work by which the bench watches the clock.
//
// Dispatch (workgroups). Each thread does ROUNDS * UNROLLED popcounts of four words and touches no
// memory but its result. One thread in 4096 stores it, so that it can be checked.
const WORKGROUP: u32 = 256u; // @param
const ROUNDS: u32 = 16u; // @param
const UNROLLED: u32 = 16u; // @param popcounts of four words per round

@group(0) @binding(0) var<storage, read_write> sink: array<u32>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  var word = vec4<u32>(id.x, id.x * 3u, id.x * 5u, id.x * 7u);
  for (var round = 0u; round < ROUNDS; round++) {
    for (var i = 0u; i < UNROLLED; i++) { // @unroll
      word = word + countOneBits(word ^ vec4<u32>(0x9e3779b9u * (i + 1u)));
    }
  }
  let sum = word.x ^ word.y ^ word.z ^ word.w;
  if (sum == 0x9e3779b9u || id.x % 4096u == 0u) {
    sink[id.x / 4096u] = sum;
  }
}
