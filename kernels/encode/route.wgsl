// route.wgsl: the router of a mixture of sparse attention (MoSA): each head keeps the tokens that
// its router scores highest, and decides whether the newest token is one of them.
//
// Dispatch (query heads, batch). The score of a token is r = sigmoid(layer input . router row). A
// head holds up to k tokens in slots, in no certain order; k is a MOSA_SPARSITY-th of the tokens,
// two at least, and grows at another token for each head. This is the streaming rule, which knows
// the past alone; models are trained with a choice over all tokens.
//   - While there are fewer than k tokens, the newest one enters.
//   - Otherwise it takes the slot of the lowest r if its own r is above that: of equals the older
//     stays. Of slots with the lowest r the newest token leaves.
//   - A slot of a token that is not older than the newest one is left over from steps that were
//     taken back. It is the first to be taken, so that a step may be repeated.
// Heads have K and V of their own. The first DENSE_HEADS of them take every token, in its place.
//
// 1. Load the layer input and the router row.
// 2. Find the slot to take: the lowest of each thread's slots.
// 3. Multiply the layer input with the router row, and join the threads' sums and slots.
// 4. Write the newest token to its slot.
const HEAD_DIM: u32 = 128u; // @param
const Q_HEADS: u32 = 32u; // @param
const CAPACITY: u32 = 1024u; // @param tokens a cache row block holds
const KV_DTYPE: u32 = 1u; // @param 0 f32, 1 f16, 2 bf16
const MOSA_SPARSITY: u32 = 32u; // @param tokens per token that a head keeps
const DENSE_HEADS: u32 = 0u; // @param heads that keep every token
const WORKGROUP: u32 = 256u; // @param
const AHEAD: u32 = 4u; // @param slots in flight per thread

const WIDTH = 4u + 4u * u32(KV_DTYPE != 0u); // values of a 16-byte load
const ROW_LOADS = HEAD_DIM / WIDTH; // loads of a row of K or V
const MODEL_LOADS = Q_HEADS * HEAD_DIM / 8u; // loads of a router row
const ROUTER_LOADS = (MODEL_LOADS + WORKGROUP - 1u) / WORKGROUP; // of a thread
const ROW = 16u; // threads that are joined together
const ROWS = WORKGROUP / ROW;
// @shared slot_sizes
const SPARSE_HEADS = Q_HEADS - DENSE_HEADS;
const SLOTS = max(2u, (CAPACITY + MOSA_SPARSITY - 1u) / MOSA_SPARSITY); // of a sparse head
const SEQUENCE_ROWS = DENSE_HEADS * CAPACITY + SPARSE_HEADS * SLOTS; // of K or V of a sequence

/// The first row of a head's K and V. Dense heads come first.
fn first_row(sequence: u32, head: u32) -> u32 {
  let dense = min(head, DENSE_HEADS);
  return sequence * SEQUENCE_ROWS + dense * CAPACITY + (head - dense) * SLOTS;
}
// @end

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read> hidden: array<vec4f>;
@group(0) @binding(2) var<storage, read> router: array<vec4<u32>>; // f16
@group(0) @binding(3) var<storage, read> token_rows: array<vec4<u32>>; // K, then V of each head
@group(0) @binding(4) var<storage, read_write> slot_keys: array<vec4<u32>>;
@group(0) @binding(5) var<storage, read_write> slot_values: array<vec4<u32>>;
@group(0) @binding(6) var<storage, read_write> slot_tokens: array<vec2<u32>>; // r, token
@group(0) @binding(7) var<storage, read_write> routes: array<vec2f>; // r, tokens to attend

var<workgroup> sums: array<f32, WORKGROUP>;
var<workgroup> row_sums: array<f32, ROWS>;
var<workgroup> slots: array<vec3<u32>, WORKGROUP>;
var<workgroup> row_slots: array<vec3<u32>, ROWS>;

/// The one of two slots (rank, token, place) that is to be taken first. The rank is 0 for a token
/// of a step that was taken back, and else one more than the bits of r, whose order is that of r.
fn first_of(a: vec3<u32>, b: vec3<u32>) -> vec3<u32> {
  return select(a, b, b.x < a.x || (b.x == a.x && b.y > a.y));
}

/// Slots of head `head` of a sequence of `length` tokens.
fn slots_of(length: u32, head: u32) -> u32 {
  return min(length, max(2u, (length + head % MOSA_SPARSITY) / MOSA_SPARSITY));
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let head = wid.y * Q_HEADS + wid.x;
  let length = lengths[wid.y];
  if (length == 0u) {
    if (thread == 0u) {
      routes[head] = vec2f(0.0);
    }
    return;
  }
  let newest = length - 1u;
  let is_dense = wid.x < DENSE_HEADS;
  let filled = select(slots_of(newest, wid.x), 0u, is_dense);

  // 1. Load the layer input and the router row.
  var weights: array<vec4<u32>, ROUTER_LOADS>;
  var inputs: array<vec4f, ROUTER_LOADS * 2u>;
  for (var i = 0u; i < ROUTER_LOADS; i++) { // @unroll
    let load = min(i * WORKGROUP + thread, MODEL_LOADS - 1u);
    weights[i] = router[wid.x * MODEL_LOADS + load];
    inputs[i * 2u] = hidden[(wid.y * MODEL_LOADS + load) * 2u];
    inputs[i * 2u + 1u] = hidden[(wid.y * MODEL_LOADS + load) * 2u + 1u];
  }

  // 2. Find the slot to take. Slots past the last one repeat it.
  let first_slot = (wid.y * SPARSE_HEADS + wid.x - DENSE_HEADS) * SLOTS;
  let none = vec3<u32>(0xffffffffu, 0u, 0u);
  var own = none;
  for (var begin = 0u; begin < filled; begin += WORKGROUP * AHEAD) {
    var held: array<vec2<u32>, AHEAD>;
    for (var i = 0u; i < AHEAD; i++) { // @unroll
      held[i] = slot_tokens[first_slot + min(begin + i * WORKGROUP + thread, filled - 1u)];
    }
    for (var i = 0u; i < AHEAD; i++) { // @unroll
      let rank = select(held[i].x + 1u, 0u, held[i].y >= newest);
      let place = min(begin + i * WORKGROUP + thread, filled - 1u);
      own = first_of(own, vec3<u32>(rank, held[i].y, place));
    }
  }

  // 3. Multiply the layer input with the router row, and join the threads' sums and slots.
  var sum = 0.0;
  for (var i = 0u; i < ROUTER_LOADS; i++) { // @unroll
    let low = vec4f(unpack2x16float(weights[i].x), unpack2x16float(weights[i].y));
    let high = vec4f(unpack2x16float(weights[i].z), unpack2x16float(weights[i].w));
    let product = dot(inputs[i * 2u], low) + dot(inputs[i * 2u + 1u], high);
    sum += select(0.0, product, i * WORKGROUP + thread < MODEL_LOADS);
  }
  sums[thread] = sum;
  slots[thread] = own;
  workgroupBarrier();
  if (thread % ROW == 0u) {
    for (var i = 0u; i < ROW - 1u; i++) { // @unroll
      sum += sums[thread + i + 1u];
      own = first_of(own, slots[thread + i + 1u]);
    }
    row_sums[thread / ROW] = sum;
    row_slots[thread / ROW] = own;
  }
  workgroupBarrier();
  sum = 0.0;
  own = none;
  for (var i = 0u; i < ROWS; i++) { // @unroll
    sum += row_sums[i];
    own = first_of(own, row_slots[i]);
  }
  let r = 1.0 / (1.0 + exp(-sum));

  // 4. Write the newest token to its slot.
  let kept = select(slots_of(length, wid.x), length, is_dense);
  let grows = kept > filled;
  let enters = is_dense || grows || own.x == 0u || r > bitcast<f32>(own.x - 1u);
  if (thread == 0u) {
    routes[head] = select(vec2f(0.0), vec2f(select(r, 1.0, is_dense), f32(kept)), enters);
  }
  if (!enters) {
    return;
  }
  let slot = select(select(own.z, filled, grows), newest, is_dense);
  let row = first_row(wid.y, wid.x) + slot;
  for (var load = thread; load < ROW_LOADS; load += WORKGROUP) {
    slot_keys[row * ROW_LOADS + load] = token_rows[2u * head * ROW_LOADS + load];
    slot_values[row * ROW_LOADS + load] = token_rows[(2u * head + 1u) * ROW_LOADS + load];
  }
  if (thread == 0u && !is_dense) {
    slot_tokens[first_slot + slot] = vec2<u32>(bitcast<u32>(r), newest);
  }
}
