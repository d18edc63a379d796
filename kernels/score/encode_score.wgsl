// Encode and score in one dispatch: the codes of a decode step, and the distances to all tokens.
//
// Dispatch (SPLITS + 1, query heads, batch): each of the first SPLITS workgroups encodes the list's
// query for itself, which costs less than a dispatch, and scores every SPLITS-th block. The last
// one encodes the newest key meanwhile, appends its code and leaves it in newest_codes too; so the
// newest token, length - 1, is in neither distances nor histograms: who selects adds it (see
// select_gather.wgsl).
// The vector, the whole map and the codes of ROUNDS blocks are in flight before the first is used, in
// the order of use; none of their places depends on a length, but the newest key's. For the map's
// layout and the sums over it see token.wgsl; for the histograms see hamming.wgsl. A block is the
// 4 * WORKGROUP tokens that the workgroup takes at a time.
const HEAD_DIM: u32 = 128u; // @param
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
const WORKGROUP: u32 = 256u; // @param
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
const LOADS = (max(max(SIZE_1, SIZE_2), SIZE_3) + WORKGROUP - 1u) / WORKGROUP; // of the largest matrix per thread
const STRIDE = WORKGROUP + 32u / WIDTH; // between the sums of a load's outputs
const MOST_PARTS = WORKGROUP / 32u; // of a layer with the fewest outputs
const WORDS = BITS / 32u;
const BINS = BITS + 1u;
const BLOCK = 4u * WORKGROUP; // tokens
const BLOCKS = (CAPACITY + BLOCK - 1u) / BLOCK;
const CODE_LOADS = ROUNDS * WORDS;
const INPUTS = (HEAD_DIM + WORKGROUP - 1u) / WORKGROUP; // elements of the vector per thread
const FOUR = 4u;

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read> q: array<f32>;
@group(0) @binding(2) var<storage, read> keys: array<u32>;
@group(0) @binding(3) var<storage, read> query_map: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read> key_map: array<vec4<u32>>;
@group(0) @binding(5) var<storage, read_write> query_codes: array<u32>;
@group(0) @binding(6) var<storage, read_write> codes: array<vec4<u32>>;
@group(0) @binding(7) var<storage, read_write> newest_codes: array<u32>;
@group(0) @binding(8) var<storage, read_write> distances: array<u32>;
@group(0) @binding(9) var<storage, read_write> block_histograms: array<u32>;

var<workgroup> activations: array<f32, max(HEAD_DIM, MAP_HIDDEN)>;
var<workgroup> sums: array<f32, STRIDE * WIDTH>;
var<workgroup> parts: array<f32, WORKGROUP>;
var<workgroup> code: array<atomic<u32>, WORDS>;
var<workgroup> counts: array<atomic<u32>, ROUNDS * BINS>;

/// Weights 4*quad .. 4*quad+3 of a load.
fn widen(raw: vec4<u32>, quad: u32) -> vec4f {
  if (MAP_DTYPE == 0u) {
    return bitcast<vec4f>(raw);
  }
  let pair = select(raw.xy, raw.zw, quad == 1u);
  return vec4f(unpack2x16float(pair.x), unpack2x16float(pair.y));
}

/// Where load i of a thread lies in a matrix that starts at `start`; past its end the last repeats.
fn load_place(i: u32, thread: u32, start: u32, size: u32) -> u32 {
  return start + min(i * WORKGROUP + thread, max(size, 1u) - 1u);
}

/// Where the bias of output `thread` lies among biases that start at `start`.
fn bias_place(thread: u32, start: u32, outs: u32) -> u32 {
  return start + min(thread, max(outs, 1u) - 1u) / WIDTH;
}

/// Where load i of a thread lies in the codes of blocks first, first + SPLITS, ...; WORDS loads of one.
fn code_place(list: u32, first: u32, i: u32, thread: u32) -> u32 {
  let four = min((first + i / WORDS * SPLITS) * WORKGROUP + thread, CAPACITY / 4u - 1u);
  return (list * (CAPACITY / 4u) + four) * WORDS + i % WORDS;
}

/// Element `at` of the keys.
fn key_element(at: u32) -> f32 {
  if (KV_DTYPE == 0u) {
    return bitcast<f32>(keys[at]);
  }
  let pair = keys[at / 2u];
  if (KV_DTYPE == 1u) {
    return unpack2x16float(pair)[at % 2u];
  }
  return bitcast<f32>((pair >> (16u * (at % 2u))) << 16u);
}

/// Runs a layer on `activations`; thread j < outs gets output j. Slices of the sums are added up in
/// two turns: first every thread adds WIDTH slices of one output, then the first `outs` add the rest.
fn layer(loads: array<vec4<u32>, LOADS>, ins: u32, outs: u32, biases: vec4<u32>, thread: u32) -> f32 {
  let size = ins * outs / WIDTH;
  var low = vec4f(0.0);
  var high = vec4f(0.0);
  for (var i = 0u; i < LOADS; i++) { // @unroll
    if (i * WORKGROUP < size) {
      let at = i * WORKGROUP + thread;
      let x = select(0.0, activations[min(at / (outs / WIDTH), ins - 1u)], at < size);
      low += x * widen(loads[i], 0u);
      high += x * widen(loads[i], 1u);
    }
  }
  // STRIDE spreads the outputs of a load over the banks.
  for (var i = 0u; i < FOUR; i++) { // @unroll
    sums[i * STRIDE + thread] = low[i];
    if (MAP_DTYPE == 1u) {
      sums[(4u + i) % WIDTH * STRIDE + thread] = high[i];
    }
  }
  workgroupBarrier();
  let column = thread % outs;
  let first = thread / outs * WIDTH;
  var part = 0.0;
  for (var i = 0u; i < WIDTH; i++) { // @unroll
    part += sums[column % WIDTH * STRIDE + (first + i) * (outs / WIDTH) + column / WIDTH];
  }
  parts[thread] = part;
  workgroupBarrier();
  var total = widen(biases, thread % WIDTH / 4u)[thread % 4u];
  if (thread < outs) {
    for (var i = 0u; i < MOST_PARTS; i++) { // @unroll
      if (i * outs < WORKGROUP) {
        total += parts[min(i * outs, WORKGROUP - outs) + thread];
      }
    }
  }
  return total;
}

/// Leaves the SiLU of a layer's outputs in `activations`.
fn activate(y: f32, outs: u32, thread: u32) {
  if (thread < outs) {
    activations[thread] = y / (1.0 + exp(-y));
  }
  workgroupBarrier();
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let length = lengths[wid.z]; // a scoring workgroup first looks at it behind the layers
  let newest = length - 1u;
  let list = wid.z * Q_HEADS + wid.y;
  let is_key = wid.x == SPLITS;

  let map_1 = wid.y * MAP_SIZE;
  let map_2 = map_1 + START_2;
  let map_3 = map_1 + START_3;
  var vector: array<f32, INPUTS>;
  var loads_1: array<vec4<u32>, LOADS>;
  var loads_2: array<vec4<u32>, LOADS>;
  var loads_3: array<vec4<u32>, LOADS>;
  var biases: array<vec4<u32>, 3>;
  var found_codes: array<vec4<u32>, CODE_LOADS>;
  if (is_key) {
    for (var i = 0u; i < LOADS; i++) { // @unroll
      if (i * WORKGROUP < SIZE_1) { loads_1[i] = key_map[load_place(i, thread, map_1, SIZE_1)]; }
    }
    biases[0] = key_map[bias_place(thread, map_1 + SIZE_1, OUT_1)];
    for (var i = 0u; i < LOADS; i++) { // @unroll
      if (i * WORKGROUP < SIZE_2) { loads_2[i] = key_map[load_place(i, thread, map_2, SIZE_2)]; }
    }
    biases[1] = key_map[bias_place(thread, map_2 + SIZE_2, OUT_2)];
    for (var i = 0u; i < LOADS; i++) { // @unroll
      if (i * WORKGROUP < SIZE_3) { loads_3[i] = key_map[load_place(i, thread, map_3, SIZE_3)]; }
    }
    biases[2] = key_map[bias_place(thread, map_3 + SIZE_3, OUT_3)];
    // Last: its place waits for the length, and what comes after it would too.
    for (var i = 0u; i < INPUTS; i++) { // @unroll
      let d = min(i * WORKGROUP + thread, HEAD_DIM - 1u);
      vector[i] = key_element((list / GROUP * CAPACITY + newest) * HEAD_DIM + d);
    }
  } else {
    for (var i = 0u; i < INPUTS; i++) { // @unroll
      vector[i] = q[list * HEAD_DIM + min(i * WORKGROUP + thread, HEAD_DIM - 1u)];
    }
    for (var i = 0u; i < LOADS; i++) { // @unroll
      if (i * WORKGROUP < SIZE_1) { loads_1[i] = query_map[load_place(i, thread, map_1, SIZE_1)]; }
    }
    biases[0] = query_map[bias_place(thread, map_1 + SIZE_1, OUT_1)];
    for (var i = 0u; i < LOADS; i++) { // @unroll
      if (i * WORKGROUP < SIZE_2) { loads_2[i] = query_map[load_place(i, thread, map_2, SIZE_2)]; }
    }
    biases[1] = query_map[bias_place(thread, map_2 + SIZE_2, OUT_2)];
    for (var i = 0u; i < LOADS; i++) { // @unroll
      if (i * WORKGROUP < SIZE_3) { loads_3[i] = query_map[load_place(i, thread, map_3, SIZE_3)]; }
    }
    biases[2] = query_map[bias_place(thread, map_3 + SIZE_3, OUT_3)];
    for (var i = 0u; i < CODE_LOADS; i++) { // @unroll
      if (i / WORDS * SPLITS < BLOCKS) { found_codes[i] = codes[code_place(list, wid.x, i, thread)]; }
    }
  }

  for (var i = 0u; i < INPUTS; i++) { // @unroll
    if (i * WORKGROUP + thread < HEAD_DIM) {
      activations[i * WORKGROUP + thread] = vector[i];
    }
  }
  workgroupBarrier();
  var y = layer(loads_1, HEAD_DIM, OUT_1, biases[0], thread);
  if (MAP_LAYERS > 1u) {
    activate(y, OUT_1, thread);
    y = layer(loads_2, OUT_1, OUT_2, biases[1], thread);
  }
  if (MAP_LAYERS > 2u) {
    activate(y, OUT_2, thread);
    y = layer(loads_3, OUT_2, OUT_3, biases[2], thread);
  }
  if (thread < BITS && y > 0.0) {
    atomicOr(&code[thread / 32u], 1u << (thread % 32u));
  }
  workgroupBarrier();
  if (is_key) {
    if (thread < WORDS) {
      let at = (list * CAPACITY + newest) * WORDS + thread;
      codes[at / 4u][at % 4u] = atomicLoad(&code[thread]);
      newest_codes[list * WORDS + thread] = atomicLoad(&code[thread]);
    }
    return;
  }
  if (wid.x == 0u && thread < WORDS) {
    query_codes[list * WORDS + thread] = atomicLoad(&code[thread]);
  }

  let blocks = (length + BLOCK - 1u) / BLOCK;
  let recent_start = min(length - min(RECENT, length), newest);
  for (var begin = wid.x; begin < blocks; begin += ROUNDS * SPLITS) {
    if (begin != wid.x) {
      for (var i = 0u; i < CODE_LOADS; i++) { // @unroll
        found_codes[i] = codes[code_place(list, begin, i, thread)];
      }
    }
    for (var i = thread; i < ROUNDS * BINS; i += WORKGROUP) {
      atomicStore(&counts[i], 0u);
    }
    workgroupBarrier();
    for (var round = 0u; round < ROUNDS; round++) { // @unroll
      let block = begin + round * SPLITS;
      let first = (block * WORKGROUP + thread) * 4u;
      var found = vec4<u32>();
      for (var w = 0u; w < WORDS; w++) { // @unroll
        // Word w of the four tokens: strided by WORDS through the WORDS loads.
        let at = round * WORDS;
        let four = vec4<u32>(
          found_codes[at + w / 4u][w % 4u],
          found_codes[at + (WORDS + w) / 4u][(WORDS + w) % 4u],
          found_codes[at + (2u * WORDS + w) / 4u][(2u * WORDS + w) % 4u],
          found_codes[at + (3u * WORDS + w) / 4u][(3u * WORDS + w) % 4u],
        );
        found += countOneBits(four ^ vec4<u32>(atomicLoad(&code[w])));
      }
      if (block < blocks && first < CAPACITY) {
        distances[(list * CAPACITY + first) / 4u] = found.x | (found.y << 8u) | (found.z << 16u) | (found.w << 24u);
        for (var t = 0u; t < FOUR; t++) { // @unroll
          if (first + t >= SINK && first + t < recent_start) {
            atomicAdd(&counts[round * BINS + found[t]], 1u);
          }
        }
      }
    }
    workgroupBarrier();
    for (var i = thread; i < ROUNDS * BINS; i += WORKGROUP) {
      let block = begin + i / BINS * SPLITS;
      if (block < blocks) {
        block_histograms[(list * BLOCKS + block) * BINS + i % BINS] = atomicLoad(&counts[i]);
      }
    }
    workgroupBarrier();
  }
}
