// matrix.wgsl: the rate at which matrix units multiply f16 with f32 sums. Its operands stay in
// registers.
//
// Dispatch (workgroups). Each subgroup of 32 adds ROUNDS * UNROLLED products of 16 x 16 x 16 to
// each of CHAINS matrices, which do not depend on each other. The first thread of every 32nd
// workgroup stores the sum of its chains, so that it can be checked: sums are whole numbers that
// f32 holds exactly.
//
// 1. Fill the factors, with ones and with a number that compilers cannot know.
// 2. Run the chains.
// 3. Add up an element of each and store.
const WORKGROUP: u32 = 128u; // @param
const ROUNDS: u32 = 64u; // @param
const UNROLLED: u32 = 8u; // @param products of each chain per round
const CHAINS: u32 = 8u; // @param matrices of a subgroup

const SUBGROUPS = WORKGROUP / 32u;
const SLOTS = 64u; // a matrix of f32

alias Left = subgroup_matrix_left<f16, 16, 16>;
alias Right = subgroup_matrix_right<f16, 16, 16>;
alias Sums = subgroup_matrix_result<f32, 16, 16>;

@group(0) @binding(0) var<storage, read_write> sink: array<u32>;

var<workgroup> slots: array<array<vec4<u32>, SLOTS>, SUBGROUPS>;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
  @builtin(subgroup_id) subgroup: u32,
) {
  // 1. Fill the factors.
  slots[thread / 32u][thread % 32u] = vec4<u32>(pack2x16float(vec2f(1.0 + f32(wid.x / 32u % 4u))));
  workgroupBarrier();
  let left = subgroupMatrixLoad<Left, row_major>(&slots[subgroup], 0u, 2u);
  workgroupBarrier();
  slots[thread / 32u][thread % 32u] = vec4<u32>(pack2x16float(vec2f(1.0)));
  workgroupBarrier();
  let right = subgroupMatrixLoad<Right, row_major>(&slots[subgroup], 0u, 2u);
  workgroupBarrier();

  // 2. Run the chains.
  var chains: array<Sums, CHAINS>;
  for (var round = 0u; round < ROUNDS; round++) {
    for (var i = 0u; i < UNROLLED; i++) { // @unroll
      for (var chain = 0u; chain < CHAINS; chain++) { // @unroll
        chains[chain] = subgroupMatrixMultiplyAccumulate(left, right, chains[chain]);
      }
    }
  }

  // 3. Add up an element of each and store.
  var sum = 0.0;
  for (var chain = 0u; chain < CHAINS; chain++) { // @unroll
    subgroupMatrixStore<row_major>(&slots[subgroup], 0u, chains[chain], 4u);
    workgroupBarrier();
    sum += f32(1u + chain) * bitcast<f32>(slots[thread / 32u][thread % 32u].x);
    workgroupBarrier();
  }
  let word = u32(sum);
  if (word == 0x9e3779b9u || (thread == 0u && wid.x % 32u == 0u)) {
    sink[wid.x / 32u] = word;
  }
}
