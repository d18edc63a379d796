// decay.wgsl: the decay of attention by forget gates: appends the newest gate, and finds the tokens
// that are too far decayed to matter (adaptive computation pruning of the Forgetting Transformer).
//
// Dispatch (query heads, batch). The decay from token j to the newest one is the sum of the log gates
// of all later tokens, which the attention adds to the logit. A sum over 2^17 tokens in f32 leaves no
// precision to near ones. So tokens are in blocks of DECAY_BLOCK, and the decay is a sum of three
// parts, all of one sign, which lose none:
//   from j to the end of its block, or to the newest token: decays
//   over each later block: x of block_decays
// whose sums over the later blocks are y of block_decays. The block of the newest token changes with
// each step, from one half of decay_state to the other, so that a step may be repeated.
//
// A block is pruned if the decay from its last token is below
//   -(2 U + ln length) + LN_EPS, U = |q| * the largest |k| of all tokens / sqrt(HEAD_DIM).
// A logit without decay is in -U .. U. So a pruned weight is at most eps / length of the newest
// token's, and all of them together are at most eps of the sum. Decays fall with the distance: the
// blocks that are left are the last ones. The threshold moves with q and the length, so that a
// pruned block may come back.
//
// 1. Load what the length leads to.
// 2. Add the newest gate to the decays of its block.
// 3. Compute the threshold.
// 4. Sum the decays of the later blocks for each block, and find the first block to attend.
const HEAD_DIM: u32 = 128u; // @param
const GROUP: u32 = 4u; // @param query heads per KV head
const Q_HEADS: u32 = 32u; // @param
const CAPACITY: u32 = 1024u; // @param tokens a cache row block holds
const KV_DTYPE: u32 = 1u; // @param 0 f32, 1 f16, 2 bf16
const DECAY_BLOCK: u32 = 128u; // @param tokens per block
const WORKGROUP: u32 = 256u; // @param
const AHEAD: u32 = 4u; // @param blocks of a thread that are loaded early

const WIDTH = 4u + 4u * u32(KV_DTYPE != 0u); // values of a 16-byte load
const QUADS = WIDTH / 4u; // vec4f of a load
const HEAD_QUADS = HEAD_DIM / 4u;
const BLOCKS = (CAPACITY + DECAY_BLOCK - 1u) / DECAY_BLOCK;
const STATE = DECAY_BLOCK + 2u; // the block's decay, its tokens' decays, the largest |k|
const STATE_LOADS = (DECAY_BLOCK + 1u + WORKGROUP - 1u) / WORKGROUP; // of the decays, per thread
const ROW = 16u; // threads whose sums are added up together
const ROWS = WORKGROUP / ROW;
const LN_EPS = -10.0;
const SAFETY = 1.00001; // of U, for the rounding of norms

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read> q: array<vec4f>;
@group(0) @binding(2) var<storage, read> keys: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> log_gates: array<f32>;
@group(0) @binding(4) var<storage, read_write> decay_state: array<f32>;
@group(0) @binding(5) var<storage, read_write> decays: array<f32>;
@group(0) @binding(6) var<storage, read_write> block_decays: array<vec2f>;

var<workgroup> squares: array<vec2f, HEAD_QUADS>; // of q and of the newest key
var<workgroup> newest_decay: f32; // of the newest token's block
var<workgroup> sums: array<f32, WORKGROUP>;
var<workgroup> row_sums: array<f32, ROWS>;
var<workgroup> first_block: atomic<u32>;

// @shared widen
/// Values 4 * quad .. 4 * quad + 3 of a 16-byte load of keys or values.
fn widen(raw: vec4<u32>, quad: u32) -> vec4f {
  if (KV_DTYPE == 0u) {
    return bitcast<vec4f>(raw);
  }
  let pair = select(raw.xy, raw.zw, quad == 1u);
  if (KV_DTYPE == 1u) {
    return vec4f(unpack2x16float(pair.x), unpack2x16float(pair.y));
  }
  let low = pair << vec2<u32>(16u);
  let high = pair & vec2<u32>(0xffff0000u);
  return bitcast<vec4f>(vec4<u32>(low.x, high.x, low.y, high.y));
}
// @end

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let head = wid.y * Q_HEADS + wid.x;
  let length = lengths[wid.y];
  if (length == 0u) {
    return;
  }
  let newest = length - 1u;
  let block = newest / DECAY_BLOCK;
  let place = newest % DECAY_BLOCK; // of the newest token in its block
  let before = (2u * head + newest % 2u) * STATE;
  let after = (2u * head + length % 2u) * STATE;
  let blocks = head * (BLOCKS + 1u) + 1u; // behind the head's first token to attend

  // 1. Load what the length leads to, all in flight together.
  let gate = log_gates[head];
  var state: array<f32, STATE_LOADS>;
  for (var i = 0u; i < STATE_LOADS; i++) { // @unroll
    state[i] = decay_state[before + min(i * WORKGROUP + thread, place)];
  }
  let older_norm = select(decay_state[before + STATE - 1u], 0.0, newest == 0u);
  let quad = min(thread, HEAD_QUADS - 1u);
  let of_q = q[head * HEAD_QUADS + quad];
  let key = (head / GROUP * CAPACITY + newest) * HEAD_QUADS + quad;
  let of_key = widen(keys[key / QUADS], quad % QUADS);
  let share = block / WORKGROUP + 1u;
  let begin = min(thread * share, block + 1u);
  let end = min(begin + share, block + 1u);
  var loaded: array<f32, AHEAD>;
  for (var i = 0u; i < AHEAD; i++) { // @unroll
    loaded[i] = block_decays[blocks + min(begin + i, block)].x;
  }

  // 2. Add the newest gate. Entry 0 is the block's decay, entry 1 + i that from its token i.
  for (var i = 0u; i < STATE_LOADS; i++) { // @unroll
    let entry = i * WORKGROUP + thread;
    let is_new = entry == place + 1u || place == 0u;
    let decay = select(state[i], 0.0, is_new) + select(gate, 0.0, entry == place + 1u);
    if (entry < place + 2u) {
      decay_state[after + entry] = decay;
    }
    if (entry == 0u) {
      newest_decay = decay;
    } else if (entry < place + 2u) {
      decays[head * CAPACITY + block * DECAY_BLOCK + entry - 1u] = decay;
    }
  }

  // 3. Compute the threshold.
  if (thread < HEAD_QUADS) {
    squares[thread] = vec2f(dot(of_q, of_q), dot(of_key, of_key));
  }
  if (thread == 0u) {
    atomicStore(&first_block, block);
  }
  workgroupBarrier();
  var squared = vec2f(0.0);
  for (var i = 0u; i < HEAD_QUADS; i++) { // @unroll
    squared += squares[i];
  }
  let key_norm = max(sqrt(squared.y), older_norm);
  if (thread == 0u) {
    decay_state[after + STATE - 1u] = key_norm;
  }
  let bound = sqrt(squared.x) * key_norm / sqrt(f32(HEAD_DIM)) * SAFETY;
  let threshold = LN_EPS - (2.0 * bound + log(f32(length)));

  // 4. Sum the decays of the later blocks. A thread has some consecutive blocks.
  var own = 0.0;
  for (var i = 0u; i < AHEAD; i++) { // @unroll
    let decay = select(loaded[i], newest_decay, begin + i == block);
    own += select(0.0, decay, begin + i < end);
  }
  for (var b = begin + AHEAD; b < end; b++) {
    own += select(block_decays[blocks + b].x, newest_decay, b == block);
  }
  sums[thread] = own;
  workgroupBarrier();
  var later = 0.0;
  let row = thread / ROW;
  for (var i = 0u; i < ROW; i++) { // @unroll
    later += select(0.0, sums[row * ROW + i], i > thread % ROW);
  }
  if (thread % ROW == 0u) {
    row_sums[row] = later + own;
  }
  workgroupBarrier();
  for (var r = 0u; r < ROWS; r++) { // @unroll
    later += select(0.0, row_sums[r], r > row);
  }
  for (var i = 0u; i < end - begin; i++) {
    let b = end - 1u - i;
    let decay = select(block_decays[blocks + b].x, newest_decay, b == block);
    block_decays[blocks + b] = vec2f(decay, later);
    // Not below it: a NaN prunes nothing.
    if (!(later < threshold)) {
      atomicMin(&first_block, b);
    }
    later += decay;
  }
  workgroupBarrier();
  if (thread == 0u) {
    block_decays[blocks - 1u] = vec2f(f32(atomicLoad(&first_block) * DECAY_BLOCK), threshold);
  }
}
