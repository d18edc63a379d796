// fma.wgsl: the rate of f32 fused multiply-adds. It touches no memory but its result.
//
// Dispatch (workgroups). Each thread does ROUNDS * UNROLLED multiply-adds on each of CHAINS vec4f,
// which do not depend on each other. One thread in 4096 stores the sum of its chains, so that it
// can be checked: sums are whole numbers that f32 holds exactly.
//
// 1. Run the chains.
// 2. Add them up and store.
const WORKGROUP: u32 = 256u; // @param
const ROUNDS: u32 = 16u; // @param
const UNROLLED: u32 = 16u; // @param multiply-adds of each chain per round
const CHAINS: u32 = 4u; // @param vec4f of a thread

@group(0) @binding(0) var<storage, read_write> sink: array<u32>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let factor = vec4f(1.0 - 2.0 * f32(id.x % 2u)); // compilers cannot know it
  let addend = vec4f(1.0, 2.0, 3.0, 4.0) + f32(id.x / 4096u % 4u);

  // 1. Run the chains.
  var chains: array<vec4f, CHAINS>;
  for (var chain = 0u; chain < CHAINS; chain++) { // @unroll
    chains[chain] = vec4f(f32(chain));
  }
  for (var round = 0u; round < ROUNDS; round++) {
    for (var i = 0u; i < UNROLLED; i++) { // @unroll
      for (var chain = 0u; chain < CHAINS; chain++) { // @unroll
        chains[chain] = fma(chains[chain], factor, addend);
      }
    }
  }

  // 2. Add them up and store.
  var sum = vec4f(0.0);
  for (var chain = 0u; chain < CHAINS; chain++) { // @unroll
    sum += chains[chain];
  }
  let word = u32(abs(sum.x + sum.y + sum.z + sum.w));
  if (word == 0x9e3779b9u || id.x % 4096u == 0u) {
    sink[id.x / 4096u] = word;
  }
}
