// Encode and score in one dispatch: the codes of a decode step, and the distances to all tokens.
//
// Dispatch (SPLITS + 1, code heads, batch): each of the first SPLITS workgroups encodes the list's
// queries for itself, which costs less than a dispatch, and scores its share of the blocks. The last
// one encodes the newest key meanwhile and appends its code; so the newest token, length - 1, is in
// neither distances nor histograms: who selects adds it (see select_gather.wgsl).
// Codes of ROUNDS blocks and the whole map are in flight before the first is used. For the map's
// layout and the sums over it see token.wgsl; for the histograms see hamming.wgsl. A block is the
// 4 * WORKGROUP tokens that the workgroup takes at a time.
const HEAD_DIM: u32 = 128u; // @param
const GROUP: u32 = 4u; // @param query heads per KV head
const CODE_HEADS: u32 = 32u; // @param
const QUERIES_PER_LIST: u32 = 1u; // @param query heads that share a map and a list
const CAPACITY: u32 = 4096u; // @param
const KV_DTYPE: u32 = 1u; // @param 0 f32, 1 f16, 2 bf16
const BITS: u32 = 32u; // @param
const DISTANCE_BYTES: u32 = 1u; // @param 1 or 2
const SINK: u32 = 0u; // @param
const RECENT: u32 = 0u; // @param
const MAP_LAYERS: u32 = 3u; // @param
const MAP_HIDDEN: u32 = 128u; // @param
const MAP_DTYPE: u32 = 1u; // @param 0 f32, 1 f16
const WORKGROUP: u32 = 256u; // @param
const SPLITS: u32 = 3u; // @param workgroups that score a list
const ROUNDS: u32 = 4u; // @param blocks in flight

const WIDTH = 4u + 4u * MAP_DTYPE; // weights of a 16-byte load
const IN_1 = HEAD_DIM;
const OUT_1 = MAP_HIDDEN * u32(MAP_LAYERS > 1u) + BITS * u32(MAP_LAYERS == 1u);
const IN_2 = MAP_HIDDEN * u32(MAP_LAYERS > 1u);
const OUT_2 = MAP_HIDDEN * u32(MAP_LAYERS > 2u) + BITS * u32(MAP_LAYERS == 2u);
const IN_3 = MAP_HIDDEN * u32(MAP_LAYERS > 2u);
const OUT_3 = BITS * u32(MAP_LAYERS > 2u);
const SIZE_1 = IN_1 * OUT_1 / WIDTH; // 16-byte loads of a matrix
const SIZE_2 = IN_2 * OUT_2 / WIDTH;
const SIZE_3 = IN_3 * OUT_3 / WIDTH;
const START_2 = SIZE_1 + OUT_1 / WIDTH;
const START_3 = START_2 + SIZE_2 + OUT_2 / WIDTH;
const MAP_SIZE = START_3 + SIZE_3 + OUT_3 / WIDTH;
const LOADS_1 = (SIZE_1 + WORKGROUP - 1u) / WORKGROUP;
const LOADS_2 = (SIZE_2 + WORKGROUP - 1u) / WORKGROUP;
const LOADS_3 = (SIZE_3 + WORKGROUP - 1u) / WORKGROUP;
const LOADS = LOADS_1 + LOADS_2 + LOADS_3;
const STRIDE = WORKGROUP + 32u / WIDTH; // between the sums of a load's outputs
const MOST_PARTS = WORKGROUP / 32u; // of a layer with the fewest outputs
const WORDS = BITS / 32u;
const QUERY_WORDS = QUERIES_PER_LIST * WORDS;
const BINS = BITS * QUERIES_PER_LIST + 1u;
const BLOCK = 4u * WORKGROUP; // tokens
const BLOCKS = (CAPACITY + BLOCK - 1u) / BLOCK;
const CODE_LOADS = ROUNDS * WORDS;
const FOUR = 4u;

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read> q: array<f32>;
@group(0) @binding(2) var<storage, read> keys: array<u32>;
@group(0) @binding(3) var<storage, read> query_map: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read> key_map: array<vec4<u32>>;
@group(0) @binding(5) var<storage, read_write> query_codes: array<u32>;
@group(0) @binding(6) var<storage, read_write> codes: array<vec4<u32>>;
@group(0) @binding(7) var<storage, read_write> distances: array<u32>;
@group(0) @binding(8) var<storage, read_write> block_histograms: array<u32>;

var<workgroup> activations: array<f32, max(HEAD_DIM, MAP_HIDDEN)>;
var<workgroup> sums: array<f32, STRIDE * WIDTH>;
var<workgroup> parts: array<f32, WORKGROUP>;
var<workgroup> code: array<atomic<u32>, QUERY_WORDS>;
var<workgroup> histograms: array<atomic<u32>, ROUNDS * BINS>;

/// Where load i of a thread lies in its map: inside the matrix it belongs to, repeated at its end.
fn load_place(i: u32, thread: u32) -> u32 {
  if (i < LOADS_1) {
    return min(i * WORKGROUP + thread, SIZE_1 - 1u);
  }
  if (i < LOADS_1 + LOADS_2) {
    return START_2 + min((i - LOADS_1) * WORKGROUP + thread, max(SIZE_2, 1u) - 1u);
  }
  return START_3 + min((i - LOADS_1 - LOADS_2) * WORKGROUP + thread, max(SIZE_3, 1u) - 1u);
}

/// Weight j of a load.
fn weight(raw: vec4<u32>, j: u32) -> f32 {
  if (MAP_DTYPE == 0u) {
    return bitcast<f32>(raw[j]);
  }
  return unpack2x16float(raw[j / 2u])[j % 2u];
}

/// Weights 4*quad .. 4*quad+3 of a load.
fn widen(raw: vec4<u32>, quad: u32) -> vec4f {
  if (MAP_DTYPE == 0u) {
    return bitcast<vec4f>(raw);
  }
  let pair = select(raw.xy, raw.zw, quad == 1u);
  return vec4f(unpack2x16float(pair.x), unpack2x16float(pair.y));
}

/// Adds up the slices of a layer of OUTS outputs; thread j < outs gets output j. First every thread
/// adds WIDTH slices of one output, then the first `outs` threads add what is left.
fn join_slices(thread: u32, outs: u32, low: vec4f, high: vec4f, bias: f32) -> f32 {
  store_four(0u, thread, low);
  if (MAP_DTYPE == 1u) {
    store_four(4u, thread, high);
  }
  workgroupBarrier();
  let column = thread % outs;
  let first = thread / outs * WIDTH;
  var part = 0.0;
  // @unroll
  for (var i = 0u; i < WIDTH; i++) {
    part += sums[column % WIDTH * STRIDE + (first + i) * (outs / WIDTH) + column / WIDTH];
  }
  parts[thread] = part;
  workgroupBarrier();
  var total = bias;
  if (thread < outs) {
    // @unroll
    for (var i = 0u; i < MOST_PARTS; i++) {
      if (i * outs < WORKGROUP) {
        total += parts[min(i * outs, WORKGROUP - outs) + thread];
      }
    }
  }
  return total;
}

/// Sums of outputs `first`..`first + 3` of a thread's load; STRIDE spreads them over the banks.
fn store_four(first: u32, thread: u32, four: vec4f) {
  sums[first * STRIDE + thread] = four.x;
  sums[(first + 1u) * STRIDE + thread] = four.y;
  sums[(first + 2u) * STRIDE + thread] = four.z;
  sums[(first + 3u) * STRIDE + thread] = four.w;
}

fn silu(x: f32) -> f32 {
  return x / (1.0 + exp(-x));
}

/// Runs the map on `activations`; thread j < BITS sets bit j of the code at `at` if output j > 0.
fn encode(loads: array<vec4<u32>, LOADS>, biases: vec3f, at: u32, thread: u32) {
  var low = vec4f(0.0);
  var high = vec4f(0.0);
  // @unroll
  for (var i = 0u; i < LOADS_1; i++) {
    let at = i * WORKGROUP + thread;
    let x = select(0.0, activations[min(at / (OUT_1 / WIDTH), IN_1 - 1u)], at < SIZE_1);
    low += x * widen(loads[i], 0u);
    high += x * widen(loads[i], 1u);
  }
  var y = join_slices(thread, OUT_1, low, high, biases.x);
  if (MAP_LAYERS > 1u) {
    if (thread < OUT_1) {
      activations[thread] = silu(y);
    }
    workgroupBarrier();
    low = vec4f(0.0);
    high = vec4f(0.0);
    // @unroll
    for (var i = 0u; i < LOADS_2; i++) {
      let at = i * WORKGROUP + thread;
      let x = select(0.0, activations[min(at / max(OUT_2 / WIDTH, 1u), IN_2 - 1u)], at < SIZE_2);
      low += x * widen(loads[LOADS_1 + i], 0u);
      high += x * widen(loads[LOADS_1 + i], 1u);
    }
    y = join_slices(thread, OUT_2, low, high, biases.y);
  }
  if (MAP_LAYERS > 2u) {
    if (thread < OUT_2) {
      activations[thread] = silu(y);
    }
    workgroupBarrier();
    low = vec4f(0.0);
    high = vec4f(0.0);
    // @unroll
    for (var i = 0u; i < LOADS_3; i++) {
      let at = i * WORKGROUP + thread;
      let x = select(0.0, activations[min(at / max(OUT_3 / WIDTH, 1u), IN_3 - 1u)], at < SIZE_3);
      low += x * widen(loads[LOADS_1 + LOADS_2 + i], 0u);
      high += x * widen(loads[LOADS_1 + LOADS_2 + i], 1u);
    }
    y = join_slices(thread, OUT_3, low, high, biases.z);
  }

  if (thread < BITS && y > 0.0) {
    atomicOr(&code[at + thread / 32u], 1u << (thread % 32u));
  }
  workgroupBarrier();
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let length = lengths[wid.z];
  let newest = length - 1u;
  let list = wid.z * CODE_HEADS + wid.y;
  let share = ((length + BLOCK - 1u) / BLOCK + SPLITS - 1u) / SPLITS;
  let end = min((wid.x + 1u) * share, (length + BLOCK - 1u) / BLOCK);
  if (wid.x < SPLITS && wid.x * share >= end) {
    return;
  }

  var found_codes: array<vec4<u32>, CODE_LOADS>;
  // @unroll
  for (var i = 0u; i < CODE_LOADS; i++) {
    let block = min(min(wid.x, SPLITS - 1u) * share + i / WORDS, BLOCKS - 1u);
    let four = min(block * WORKGROUP + thread, CAPACITY / 4u - 1u);
    found_codes[i] = codes[(list * (CAPACITY / 4u) + four) * WORDS + i % WORDS];
  }
  let base = wid.y * MAP_SIZE;
  let bias_1 = base + SIZE_1 + min(thread, OUT_1 - 1u) / WIDTH;
  let bias_2 = base + START_2 + SIZE_2 + min(thread, max(OUT_2, 1u) - 1u) / WIDTH;
  let bias_3 = base + START_3 + SIZE_3 + min(thread, max(OUT_3, 1u) - 1u) / WIDTH;
  var loads: array<vec4<u32>, LOADS>;
  var biases: vec3f;
  if (thread < QUERY_WORDS) {
    atomicStore(&code[thread], 0u);
  }

  if (wid.x == SPLITS) {
    // @unroll
    for (var i = 0u; i < LOADS; i++) {
      loads[i] = key_map[base + load_place(i, thread)];
    }
    biases = vec3f(
      weight(key_map[bias_1], thread % WIDTH),
      weight(key_map[bias_2], thread % WIDTH),
      weight(key_map[bias_3], thread % WIDTH),
    );
    let kv_head = list * QUERIES_PER_LIST / GROUP;
    for (var d = thread; d < HEAD_DIM; d += WORKGROUP) {
      let at = (kv_head * CAPACITY + newest) * HEAD_DIM + d;
      if (KV_DTYPE == 0u) {
        activations[d] = bitcast<f32>(keys[at]);
      } else if (KV_DTYPE == 1u) {
        activations[d] = unpack2x16float(keys[at / 2u])[at % 2u];
      } else {
        activations[d] = bitcast<f32>((keys[at / 2u] >> (16u * (at % 2u))) << 16u);
      }
    }
    workgroupBarrier();
    encode(loads, biases, 0u, thread);
    if (thread < WORDS) {
      let at = (list * CAPACITY + newest) * WORDS + thread;
      codes[at / 4u][at % 4u] = atomicLoad(&code[thread]);
    }
    return;
  }

  // @unroll
  for (var i = 0u; i < LOADS; i++) {
    loads[i] = query_map[base + load_place(i, thread)];
  }
  biases = vec3f(
    weight(query_map[bias_1], thread % WIDTH),
    weight(query_map[bias_2], thread % WIDTH),
    weight(query_map[bias_3], thread % WIDTH),
  );
  for (var query = 0u; query < QUERIES_PER_LIST; query++) {
    for (var d = thread; d < HEAD_DIM; d += WORKGROUP) {
      activations[d] = q[(list * QUERIES_PER_LIST + query) * HEAD_DIM + d];
    }
    workgroupBarrier();
    encode(loads, biases, query * WORDS, thread);
  }
  if (wid.x == 0u && thread < QUERY_WORDS) {
    query_codes[list * QUERY_WORDS + thread] = atomicLoad(&code[thread]);
  }

  let sink_end = min(SINK, length);
  let recent_start = min(max(sink_end, length - min(RECENT, length)), newest);
  for (var start = wid.x * share; start < end; start += ROUNDS) {
    if (start != wid.x * share) {
      // @unroll
      for (var i = 0u; i < CODE_LOADS; i++) {
        let four = min(min(start + i / WORDS, BLOCKS - 1u) * WORKGROUP + thread, CAPACITY / 4u - 1u);
        found_codes[i] = codes[(list * (CAPACITY / 4u) + four) * WORDS + i % WORDS];
      }
    }
    for (var i = thread; i < ROUNDS * BINS; i += WORKGROUP) {
      atomicStore(&histograms[i], 0u);
    }
    workgroupBarrier();
    // @unroll
    for (var round = 0u; round < ROUNDS; round++) {
      let first = ((start + round) * WORKGROUP + thread) * 4u;
      var found = vec4<u32>();
      // @unroll
      for (var i = 0u; i < QUERY_WORDS; i++) {
        // Word w of the four tokens: strided by WORDS through the WORDS loads.
        let w = i % WORDS;
        let at = round * WORDS;
        let four = vec4<u32>(
          found_codes[at + w / 4u][w % 4u],
          found_codes[at + (WORDS + w) / 4u][(WORDS + w) % 4u],
          found_codes[at + (2u * WORDS + w) / 4u][(2u * WORDS + w) % 4u],
          found_codes[at + (3u * WORDS + w) / 4u][(3u * WORDS + w) % 4u],
        );
        found += countOneBits(four ^ vec4<u32>(atomicLoad(&code[i])));
      }
      if (start + round < end && first < CAPACITY) {
        if (DISTANCE_BYTES == 1u) {
          distances[(list * CAPACITY + first) / 4u] = found.x | (found.y << 8u) | (found.z << 16u) | (found.w << 24u);
        } else {
          distances[(list * CAPACITY + first) / 2u] = found.x | (found.y << 16u);
          distances[(list * CAPACITY + first) / 2u + 1u] = found.z | (found.w << 16u);
        }
        // @unroll
        for (var t = 0u; t < FOUR; t++) {
          if (first + t >= sink_end && first + t < recent_start) {
            atomicAdd(&histograms[round * BINS + found[t]], 1u);
          }
        }
      }
    }
    workgroupBarrier();
    for (var i = thread; i < min(ROUNDS, end - start) * BINS; i += WORKGROUP) {
      block_histograms[(list * BLOCKS + start) * BINS + i] = atomicLoad(&histograms[i]);
    }
    workgroupBarrier();
  }
}
