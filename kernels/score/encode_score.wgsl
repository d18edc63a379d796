// Encode and score in one dispatch: the codes of a decode step, and the distances to all tokens.
//
// Dispatch (SPLITS + 1, query heads, batch): each of the first SPLITS workgroups encodes the list's
// query for itself, which costs less than a dispatch, and scores every SPLITS-th block. The last one
// encodes the newest key meanwhile, and appends its code; so the newest token, length - 1, is in
// neither distances nor histograms: who selects adds it (select_gather.wgsl). For that, list_state
// holds the codes of all queries, then those of the newest keys, then the histograms.
// The vector, the whole map and the codes of ROUNDS blocks are in flight before the first is used, in
// the order of use; none of their places depends on a length, but the newest key's. For the map's
// layout see token.wgsl, for the histograms hamming.wgsl. A block is the 4 * WORKGROUP tokens that
// the workgroup takes at a time.
// A layer is latency more than work, so it has one barrier: LANES threads of a subgroup multiply ROWS
// rows and halve their sums at each shuffle, every thread leaves KEPT of them in workgroup memory, and
// every thread makes the inputs of its next rows of those. More ROWS take more shuffles and leave fewer
// sums to add up. Subgroups are consecutive threads, of at least SUBGROUP_MIN.
const HEAD_DIM: u32 = 128u; // @param
const BATCH: u32 = 1u; // @param sequences
const GROUP: u32 = 4u; // @param query heads per KV head
const Q_HEADS: u32 = 32u; // @param
const CAPACITY: u32 = 4096u; // @param
const KV_DTYPE: u32 = 1u; // @param 0 f32, 1 f16, 2 bf16
const BITS: u32 = 32u; // @param
const SINK: u32 = 0u; // @param
const RECENT: u32 = 0u; // @param
const MAP_LAYERS: u32 = 3u; // @param
const MAP_HIDDEN: u32 = 128u; // @param
const MAP_DTYPE: u32 = 1u; // @param 0 f32, 1 f16
const SUBGROUP_MIN: u32 = 4u; // @param smallest subgroup of the device
const WORKGROUP: u32 = 256u; // @param
const ROWS: u32 = 4u; // @param of a matrix, that a subgroup adds up by shuffles: at most WIDTH
const SPLITS: u32 = 3u; // @param workgroups that score a list
const ROUNDS: u32 = 4u; // @param blocks in flight

const WIDTH = 4u + 4u * MAP_DTYPE; // weights of a 16-byte load
const OUT_1 = MAP_HIDDEN * u32(MAP_LAYERS > 1u) + BITS * u32(MAP_LAYERS == 1u);
const OUT_2 = MAP_HIDDEN * u32(MAP_LAYERS > 2u) + BITS * u32(MAP_LAYERS == 2u);
const OUT_3 = BITS * u32(MAP_LAYERS > 2u);
const SIZE_1 = HEAD_DIM * OUT_1 / WIDTH; // 16-byte loads of a matrix
const SIZE_2 = OUT_1 * OUT_2 / WIDTH;
const SIZE_3 = OUT_2 * OUT_3 / WIDTH;
const START_2 = SIZE_1 + OUT_1 / WIDTH;
const START_3 = START_2 + SIZE_2 + OUT_2 / WIDTH;
const MAP_SIZE = START_3 + SIZE_3 + OUT_3 / WIDTH;
const NODES = array<u32, 5>(HEAD_DIM, OUT_1, OUT_2, OUT_3, 0u); // inputs of each layer, outputs of the last
const STARTS = array<u32, 3>(0u, START_2, START_3); // of the matrices
const BIAS_STARTS = array<u32, 3>(SIZE_1, START_2 + SIZE_2, START_3 + SIZE_3);
const LANES = min(SUBGROUP_MIN, 32u); // threads that share ROWS rows
const SIDE = LANES / ROWS; // of them, threads side by side in a row
const SHARED = min(SIDE, 32u / WIDTH); // of these, threads that hand each other inputs
const KEPT = WIDTH / ROWS; // sums that a thread is left with
const SUMS = WORKGROUP * KEPT; // a slice of a layer's rows leaves as many as it has outputs
const SLICES = SUMS / 32u; // of a layer with the fewest outputs
const LOADS_1 = (HEAD_DIM * OUT_1 / ROWS + SUMS - 1u) / SUMS; // of a matrix, per thread
const LOADS_2 = (OUT_1 * OUT_2 / ROWS + SUMS - 1u) / SUMS;
const LOADS_3 = (OUT_2 * OUT_3 / ROWS + SUMS - 1u) / SUMS;
const COUNTS = array<u32, 3>(LOADS_1, LOADS_2, LOADS_3);
const LOADS = max(LOADS_1, max(LOADS_2, LOADS_3));
const MAP_LOADS = MAP_LAYERS * LOADS;
const INPUTS = (LOADS + SHARED - 1u) / SHARED; // of a layer, that a thread makes
const BIASES = MAP_LAYERS * INPUTS;
const HALF = LANES / 2u; // lanes apart at each step of a sum
const QUARTER = HALF >> MAP_DTYPE;
const EIGHTH = QUARTER / 2u;
const STRIDE = WORKGROUP + 32u / KEPT % 32u; // between the sums of a thread
const WORDS = BITS / 32u;
const BINS = BITS + 1u;
const BLOCK = 4u * WORKGROUP; // tokens
const BLOCKS = (CAPACITY + BLOCK - 1u) / BLOCK;
const CODE_LOADS = ROUNDS * WORDS;
const FOUR = 4u;
const NEWEST_CODES = BATCH * Q_HEADS * WORDS; // where these begin in list_state, after the query's
const HISTOGRAMS = 2u * NEWEST_CODES;

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read> q: array<f32>;
@group(0) @binding(2) var<storage, read> keys: array<u32>;
@group(0) @binding(3) var<storage, read> query_map: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read> key_map: array<vec4<u32>>;
@group(0) @binding(5) var<storage, read_write> codes: array<vec4<u32>>;
@group(0) @binding(6) var<storage, read_write> distances: array<u32>;
@group(0) @binding(7) var<storage, read_write> list_state: array<u32>;

var<workgroup> sums: array<f32, 2u * KEPT * STRIDE>; // layers take turns with the halves
var<workgroup> code: array<atomic<u32>, WORDS>;
var<workgroup> counts: array<atomic<u32>, ROUNDS * BINS>;

// @shared widen_map
/// Weights 4 * quad .. 4 * quad + 3 of a 16-byte load of a map.
fn widen_map(raw: vec4<u32>, quad: u32) -> vec4f {
  if (MAP_DTYPE == 0u) {
    return bitcast<vec4f>(raw);
  }
  let pair = select(raw.xy, raw.zw, quad == 1u);
  return vec4f(unpack2x16float(pair.x), unpack2x16float(pair.y));
}
// @end

/// Which of a layer's 16-byte columns a thread holds, and in which slice of the rows.
fn column_slice(thread: u32, outs: u32) -> vec2<u32> {
  let at = thread / LANES * SIDE + thread % SIDE;
  return vec2<u32>(at % (outs / WIDTH), at / (outs / WIDTH));
}

/// Loads per thread of a layer's matrix.
fn loads_of(ins: u32, outs: u32) -> u32 {
  return (ins * outs / ROWS + SUMS - 1u) / SUMS;
}

/// The row of load i; slices without one are past the matrix.
fn row_of(i: u32, thread: u32, ins: u32, outs: u32) -> u32 {
  return (column_slice(thread, outs).y * loads_of(ins, outs) + i) * ROWS + thread % LANES / SIDE;
}

/// Where load i lies in its matrix; past its end the last row repeats.
fn load_place(i: u32, thread: u32, ins: u32, outs: u32) -> u32 {
  return min(row_of(i, thread, ins, outs), ins - 1u) * (outs / WIDTH) + column_slice(thread, outs).x;
}

/// Input j that a thread makes for its own and its neighbours' loads; behind the last layer, its output.
fn input_of(j: u32, thread: u32, ins: u32, outs: u32) -> u32 {
  if (outs == 0u) { return min(thread, ins - 1u); }
  return min(row_of(j * SHARED + thread % SHARED, thread, ins, outs), ins - 1u);
}

/// Where load i of a thread lies in the codes of blocks first, first + SPLITS, ...; WORDS loads of one.
fn code_place(list: u32, first: u32, i: u32, thread: u32) -> u32 {
  let four = min((first + i / WORDS * SPLITS) * WORKGROUP + thread, CAPACITY / 4u - 1u);
  return (list * (CAPACITY / 4u) + four) * WORDS + i % WORDS;
}

/// Element `at` of the keys.
fn key_element(at: u32) -> f32 {
  if (KV_DTYPE == 0u) { return bitcast<f32>(keys[at]); }
  let pair = keys[at / 2u];
  if (KV_DTYPE == 1u) { return unpack2x16float(pair)[at % 2u]; }
  return bitcast<f32>((pair >> (16u * (at % 2u))) << 16u);
}

/// Leaves a thread's sums, `low` and `high`, in a half of `sums`, added up over the ROWS rows: at each
/// step it keeps a half of them, and gives away the other.
fn leave(half: u32, low: vec4f, high: vec4f, outs: u32, thread: u32) {
  var four = low;
  if (MAP_DTYPE == 1u) {
    let upper = (thread & HALF) != 0u;
    four = select(low, high, upper) + subgroupShuffleXor(select(high, low, upper), HALF);
  }
  if (KEPT < 4u) {
    let upper = (thread & QUARTER) != 0u;
    let other = subgroupShuffleXor(select(four.zw, four.xy, upper), QUARTER);
    four = vec4f(select(four.xy, four.zw, upper) + other, 0.0, 0.0);
  }
  if (KEPT < 2u) {
    let upper = (thread & EIGHTH) != 0u;
    let other = subgroupShuffleXor(select(four.y, four.x, upper), EIGHTH);
    four.x = select(four.x, four.y, upper) + other;
  }
  let at = column_slice(thread, outs);
  let place = half * KEPT * STRIDE + at.y * (outs / KEPT) + at.x * ROWS + thread % LANES / SIDE;
  for (var k = 0u; k < KEPT; k++) { // @unroll
    sums[k * STRIDE + place] = four[k];
  }
}

/// An output of the layer that left its sums in a half; `word` holds its bias.
fn output_of(half: u32, output: u32, ins: u32, outs: u32, word: u32) -> f32 {
  let place = (half * KEPT + output % KEPT) * STRIDE + output / KEPT;
  var four = vec4f(0.0);
  for (var s = 0u; s < SLICES; s++) { // @unroll
    if (s * loads_of(ins, outs) * ROWS < ins) { four[s % 4u] += sums[place + s * (outs / KEPT)]; }
  }
  var bias = bitcast<f32>(word);
  if (MAP_DTYPE == 1u) { bias = unpack2x16float(word)[output % 2u]; }
  return four.x + four.y + (four.z + four.w) + bias;
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) thread: u32,
  @builtin(subgroup_invocation_id) lane: u32) {
  let length = lengths[wid.z]; // a scoring workgroup first looks at it behind the layers
  let newest = length - 1u;
  let list = wid.z * Q_HEADS + wid.y;
  let is_key = wid.x == SPLITS;
  let base = wid.y * MAP_SIZE;
  var inputs: array<f32, INPUTS>;
  var biases: array<u32, BIASES>;
  var loads: array<vec4<u32>, MAP_LOADS>;
  var found_codes: array<vec4<u32>, CODE_LOADS>;
  if (is_key) {
    for (var l = 0u; l < MAP_LAYERS; l++) { // @unroll
      for (var i = 0u; i < LOADS; i++) { // @unroll
        let at = base + STARTS[l] + load_place(i, thread, NODES[l], NODES[l + 1u]);
        if (i < COUNTS[l]) { loads[l * LOADS + i] = key_map[at]; }
      }
      for (var j = 0u; j < INPUTS; j++) { // @unroll
        let word = input_of(j, thread, NODES[l + 1u], NODES[l + 2u]) * 4u / WIDTH;
        biases[l * INPUTS + j] = key_map[base + BIAS_STARTS[l] + word / 4u][word % 4u];
      }
    }
    // Last: its place waits for the length, and what comes after it would too.
    for (var j = 0u; j < INPUTS; j++) { // @unroll
      let d = input_of(j, thread, HEAD_DIM, OUT_1);
      inputs[j] = key_element((list / GROUP * CAPACITY + newest) * HEAD_DIM + d);
    }
  } else {
    for (var j = 0u; j < INPUTS; j++) { // @unroll
      inputs[j] = q[list * HEAD_DIM + input_of(j, thread, HEAD_DIM, OUT_1)];
    }
    for (var l = 0u; l < MAP_LAYERS; l++) { // @unroll
      for (var i = 0u; i < LOADS; i++) { // @unroll
        let at = base + STARTS[l] + load_place(i, thread, NODES[l], NODES[l + 1u]);
        if (i < COUNTS[l]) { loads[l * LOADS + i] = query_map[at]; }
      }
      for (var j = 0u; j < INPUTS; j++) { // @unroll
        let word = input_of(j, thread, NODES[l + 1u], NODES[l + 2u]) * 4u / WIDTH;
        biases[l * INPUTS + j] = query_map[base + BIAS_STARTS[l] + word / 4u][word % 4u];
      }
    }
    for (var i = 0u; i < CODE_LOADS; i++) { // @unroll
      if (i / WORDS * SPLITS < BLOCKS) { found_codes[i] = codes[code_place(list, wid.x, i, thread)]; }
    }
  }
  for (var l = 0u; l < MAP_LAYERS; l++) { // @unroll
    for (var j = 0u; j < INPUTS; j++) { // @unroll
      if (l > 0u) {
        let output = input_of(j, thread, NODES[l], NODES[l + 1u]);
        let word = biases[(max(l, 1u) - 1u) * INPUTS + j];
        let y = output_of((l + 1u) % 2u, output, NODES[max(l, 1u) - 1u], NODES[l], word);
        inputs[j] = y / (1.0 + exp(-y));
      }
    }
    var low = vec4f(0.0);
    var high = vec4f(0.0);
    for (var i = 0u; i < LOADS; i++) { // @unroll
      if (i < COUNTS[l]) {
        let input = subgroupShuffle(inputs[i / SHARED], lane - thread % SHARED + i % SHARED);
        let x = select(0.0, input, row_of(i, thread, NODES[l], NODES[l + 1u]) < NODES[l]);
        low += x * widen_map(loads[l * LOADS + i], 0u);
        high += x * widen_map(loads[l * LOADS + i], 1u);
      }
    }
    // Nobody still reads this half: all came to the last barrier after they had.
    leave(l % 2u, low, high, NODES[l + 1u], thread);
    workgroupBarrier();
  }
  let is_set = thread < BITS &&
    output_of((MAP_LAYERS + 1u) % 2u, thread, NODES[MAP_LAYERS - 1u], BITS, biases[BIASES - 1u]) > 0.0;
  // A subgroup of 64 or more holds several words, one of less than 32 a part of one.
  let ballot = subgroupBallot(is_set);
  let part = ballot[lane / 32u] << (thread % 32u);
  if (thread < BITS && lane % 32u == 0u) { atomicOr(&code[thread / 32u], part); }
  workgroupBarrier();
  if (is_key) {
    if (thread == 0u) { // alone: to store a part of a vector may store all of it
      for (var w = 0u; w < WORDS; w++) {
        let at = (list * CAPACITY + newest) * WORDS + w;
        codes[at / 4u][at % 4u] = atomicLoad(&code[w]);
        list_state[NEWEST_CODES + list * WORDS + w] = atomicLoad(&code[w]);
      }
    }
    return;
  }
  if (wid.x == 0u && thread < WORDS) {
    list_state[list * WORDS + thread] = atomicLoad(&code[thread]);
  }

  var query: array<u32, WORDS>;
  for (var w = 0u; w < WORDS; w++) { // @unroll
    query[w] = atomicLoad(&code[w]);
  }
  let blocks = (length + BLOCK - 1u) / BLOCK;
  let recent_start = min(length - min(RECENT, length), newest);
  for (var begin = wid.x; begin < blocks; begin += ROUNDS * SPLITS) {
    if (begin != wid.x) { workgroupBarrier(); }
    var coming: array<vec4<u32>, CODE_LOADS>; // in flight while these are counted
    for (var i = 0u; i < CODE_LOADS; i++) { // @unroll
      if (begin + ROUNDS * SPLITS < blocks) { coming[i] = codes[code_place(list, begin + ROUNDS * SPLITS, i, thread)]; }
    }
    for (var round = 0u; round < ROUNDS; round++) { // @unroll
      let block = begin + round * SPLITS;
      let first = (block * WORKGROUP + thread) * 4u;
      var packed = 0u;
      for (var t = 0u; t < FOUR; t++) { // @unroll
        var distance = 0u;
        for (var w = 0u; w < WORDS; w++) { // @unroll
          let word = found_codes[round * WORDS + (t * WORDS + w) / 4u][(t * WORDS + w) % 4u];
          distance += countOneBits(word ^ query[w]);
        }
        packed |= distance << (8u * t);
        if (first + t >= SINK && first + t < recent_start) {
          atomicAdd(&counts[round * BINS + distance], 1u);
        }
      }
      if (block < blocks && first < CAPACITY) { distances[(list * CAPACITY + first) / 4u] = packed; }
    }
    workgroupBarrier();
    // Workgroup memory starts at zero; who writes a count leaves it at zero for the blocks to come.
    for (var i = thread; i < ROUNDS * BINS; i += WORKGROUP) {
      let block = begin + i / BINS * SPLITS;
      let count = atomicExchange(&counts[i], 0u);
      if (block < blocks) { list_state[HISTOGRAMS + (list * BLOCKS + block) * BINS + i % BINS] = count; }
    }
    found_codes = coming;
  }
}
