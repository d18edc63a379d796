// token.wgsl: codes of a decode step, of all queries and of the newest key of each code head.
//
// Dispatch (QUERIES * query heads + KEYS * code heads, batch). A workgroup runs the map of one head
// on one vector.
//
// 1. Load the map and the vector.
// 2. Run the layers: one to three matrices with bias, and SiLU between them.
// 3. Set bit j of the code if output j is above zero. A query code has PLANES planes more: bit j of
//    these is the magnitude of output j, from the lowest bit up.
// 4. Store the code.
//
// A map lies as [head][layer], a layer as its matrix [inputs, outputs], row-major, and its biases.
// The words of a code hold its bits from the lowest up. The newest key is row length - 1 of the
// cache, and its code goes to token length - 1.
//
// A map is read once, in 16-byte loads that are all in flight before the first of them is used.
// Load i of thread t is load i * WORKGROUP + t of a matrix. A thread therefore multiplies the same
// WIDTH outputs in each of its loads, but only every so many inputs. Threads with the same inputs
// form a slice, and the sums of the slices are added up in workgroup memory.
const HEAD_DIM: u32 = 128u; // @param
const BATCH: u32 = 1u; // @param sequences
const GROUP: u32 = 4u; // @param query heads per KV head
const Q_HEADS: u32 = 32u; // @param
const CODE_HEADS: u32 = 32u; // @param maps of queries, and of keys
const QUERIES_PER_CODE: u32 = 1u; // @param query heads that share a map
const CAPACITY: u32 = 4096u; // @param
const KV_DTYPE: u32 = 1u; // @param 0 f32, 1 f16, 2 bf16
const BITS: u32 = 32u; // @param
const PLANES: u32 = 0u; // @param magnitude planes of a query code
const MAP_LAYERS: u32 = 3u; // @param
const MAP_HIDDEN: u32 = 128u; // @param
const MAP_DTYPE: u32 = 1u; // @param 0 f32, 1 f16
const QUERIES: u32 = 1u; // @param 1 to encode the queries
const KEYS: u32 = 1u; // @param 1 to encode the newest keys
const WORKGROUP: u32 = 256u; // @param

const KV_HEADS = Q_HEADS / GROUP;
// @shared cache_strides
// Rows of K and V. Strides are in 16-byte loads, or all 0 for [B, KV_HEADS, CAPACITY, HEAD_DIM].
const OUTER_STRIDE: u32 = 0u; // @param from a sequence, or a page, to the next
const HEAD_STRIDE: u32 = 0u; // @param from a KV head to the next
const TOKEN_STRIDE: u32 = 0u; // @param from a token to the next
const TABLE_BITS: u32 = 0u; // @param log2 of the tokens of a page; 0 without a page table
const KV_WIDTH = 4u + 4u * u32(KV_DTYPE != 0u); // values of a load
const KV_LOADS = HEAD_DIM / KV_WIDTH; // loads of a row
// @end
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
const LOADS_1 = (SIZE_1 + WORKGROUP - 1u) / WORKGROUP; // of a matrix per thread
const LOADS_2 = (SIZE_2 + WORKGROUP - 1u) / WORKGROUP;
const LOADS_3 = (SIZE_3 + WORKGROUP - 1u) / WORKGROUP;
const LOADS = LOADS_1 + LOADS_2 + LOADS_3;
const STRIDE = WORKGROUP + 32u / WIDTH; // from a sum of a thread to its next, in other banks
const MOST_PARTS = WORKGROUP / 32u; // partial sums of an output: no layer has fewer than 32
const WORDS = BITS / 32u; // of a code's signs, and of each plane
const QUERY_WORDS = (1u + PLANES) * WORDS;
// @shared magnitude_levels
const LEVELS = f32((1u << PLANES) - 1u); // the largest magnitude
// The largest magnitude begins at this many root mean squares, by the number of planes.
const CLIPS = array<f32, 4>(1.0, 1.3, 1.8, 2.3);
// @end

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read> q: array<f32>;
@group(0) @binding(2) var<storage, read> keys: array<u32>;
@group(0) @binding(3) var<storage, read> query_map: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read> key_map: array<vec4<u32>>;
@group(0) @binding(5) var<storage, read_write> query_codes: array<u32>;
@group(0) @binding(6) var<storage, read_write> codes: array<u32>;

var<workgroup> activations: array<f32, max(HEAD_DIM, MAP_HIDDEN)>;
var<workgroup> sums: array<f32, STRIDE * WIDTH>;
var<workgroup> parts: array<f32, WORKGROUP>;
var<workgroup> code: array<atomic<u32>, QUERY_WORDS>;

// @shared cache_rows
/// Where the rows of a KV head begin in keys and values, in 16-byte loads: in the whole cache, or
/// in each page of a paged one. KV heads are counted over all sequences.
fn head_start(kv_head: u32) -> u32 {
  if (OUTER_STRIDE == 0u) {
    return kv_head * CAPACITY * KV_LOADS;
  }
  let outer = select(kv_head / KV_HEADS * OUTER_STRIDE, 0u, TABLE_BITS != 0u);
  return outer + kv_head % KV_HEADS * HEAD_STRIDE;
}

/// How far from there a token's row begins. A page table stands behind the lengths.
fn row_offset(kv_head: u32, token: u32) -> u32 {
  if (OUTER_STRIDE == 0u) {
    return token * KV_LOADS;
  }
  if (TABLE_BITS == 0u) {
    return token * TOKEN_STRIDE;
  }
  let pages = (CAPACITY + (1u << TABLE_BITS) - 1u) >> TABLE_BITS; // of a sequence
  let page = lengths[BATCH + kv_head / KV_HEADS * pages + (token >> TABLE_BITS)];
  return page * OUTER_STRIDE + token % (1u << TABLE_BITS) * TOKEN_STRIDE;
}
// @end

// @shared query_element
/// An element of the queries.
fn query_element(at: u32) -> f32 {
  return q[at];
}
// @end

// @shared key_element
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
// @end

// @shared silu
fn silu(x: f32) -> f32 {
  return x / (1.0 + exp(-x));
}
// @end

/// The place of load i of a thread in the map. Surplus loads repeat the last load of their matrix.
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

// @shared magnitude
/// The magnitude of output `y` of a query as a whole number up to LEVELS. `squares` is the sum of
/// the squares of all its outputs.
fn magnitude(y: f32, squares: f32) -> u32 {
  let unit = LEVELS / (CLIPS[PLANES] * sqrt(squares / f32(BITS)));
  return u32(min(LEVELS, floor(abs(y) * select(0.0, unit, squares > 0.0) + 0.5)));
}
// @end

/// Stores a thread's sums of outputs `first` .. `first + 3` of its column.
fn store_four(first: u32, thread: u32, four: vec4f) {
  sums[first * STRIDE + thread] = four.x;
  sums[(first + 1u) * STRIDE + thread] = four.y;
  sums[(first + 2u) * STRIDE + thread] = four.z;
  sums[(first + 3u) * STRIDE + thread] = four.w;
}

/// Adds up the slices of a layer with `outs` outputs. Thread j < outs gets output j. First every
/// thread adds up WIDTH slices of an output, then the first `outs` threads add up these parts.
fn join_slices(thread: u32, outs: u32, low: vec4f, high: vec4f, bias: f32) -> f32 {
  store_four(0u, thread, low);
  if (MAP_DTYPE == 1u) {
    store_four(4u, thread, high);
  }
  workgroupBarrier();
  let output = thread % outs;
  let first = thread / outs * WIDTH;
  var part = 0.0;
  for (var i = 0u; i < WIDTH; i++) { // @unroll
    part += sums[output % WIDTH * STRIDE + (first + i) * (outs / WIDTH) + output / WIDTH];
  }
  parts[thread] = part;
  workgroupBarrier();
  var y = bias;
  if (thread < outs) {
    for (var i = 0u; i < MOST_PARTS; i++) { // @unroll
      if (i * outs < WORKGROUP) {
        y += parts[min(i * outs, WORKGROUP - outs) + thread];
      }
    }
  }
  return y;
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let is_query = wid.x < QUERIES * Q_HEADS;
  let newest = lengths[wid.y] - 1u;
  var map = wid.x - QUERIES * Q_HEADS;
  if (is_query) {
    map = wid.x / QUERIES_PER_CODE;
  }

  // 1. Load the map and the vector. The two branches differ in the bindings.
  let base = map * MAP_SIZE;
  var loaded_map: array<vec4<u32>, LOADS>;
  var biases: vec3f; // of output `thread` of each layer
  let bias_1 = base + SIZE_1 + min(thread, OUT_1 - 1u) / WIDTH;
  let bias_2 = base + START_2 + SIZE_2 + min(thread, max(OUT_2, 1u) - 1u) / WIDTH;
  let bias_3 = base + START_3 + SIZE_3 + min(thread, max(OUT_3, 1u) - 1u) / WIDTH;
  if (is_query) {
    for (var i = 0u; i < LOADS; i++) { // @unroll
      loaded_map[i] = query_map[base + load_place(i, thread)];
    }
    biases = vec3f(
      weight(query_map[bias_1], thread % WIDTH),
      weight(query_map[bias_2], thread % WIDTH),
      weight(query_map[bias_3], thread % WIDTH),
    );
    for (var d = thread; d < HEAD_DIM; d += WORKGROUP) {
      activations[d] = query_element((wid.y * Q_HEADS + wid.x) * HEAD_DIM + d);
    }
  } else {
    for (var i = 0u; i < LOADS; i++) { // @unroll
      loaded_map[i] = key_map[base + load_place(i, thread)];
    }
    biases = vec3f(
      weight(key_map[bias_1], thread % WIDTH),
      weight(key_map[bias_2], thread % WIDTH),
      weight(key_map[bias_3], thread % WIDTH),
    );
    let kv_head = (wid.y * CODE_HEADS + map) * QUERIES_PER_CODE / GROUP;
    let row = head_start(kv_head) + row_offset(kv_head, newest);
    for (var d = thread; d < HEAD_DIM; d += WORKGROUP) {
      activations[d] = key_element(row * KV_WIDTH + d);
    }
  }
  if (thread < QUERY_WORDS) {
    atomicStore(&code[thread], 0u);
  }
  workgroupBarrier();

  // 2. Run the layers: `low` sums up outputs 0 .. 3 of the thread's column, `high` 4 .. 7.
  var low = vec4f(0.0);
  var high = vec4f(0.0);
  for (var i = 0u; i < LOADS_1; i++) { // @unroll
    let at = i * WORKGROUP + thread;
    let x = select(0.0, activations[min(at / (OUT_1 / WIDTH), IN_1 - 1u)], at < SIZE_1);
    low += x * widen_map(loaded_map[i], 0u);
    high += x * widen_map(loaded_map[i], 1u);
  }
  var y = join_slices(thread, OUT_1, low, high, biases.x);

  if (MAP_LAYERS > 1u) {
    if (thread < OUT_1) {
      activations[thread] = silu(y);
    }
    workgroupBarrier();
    low = vec4f(0.0);
    high = vec4f(0.0);
    for (var i = 0u; i < LOADS_2; i++) { // @unroll
      let at = i * WORKGROUP + thread;
      let input = min(at / max(OUT_2 / WIDTH, 1u), IN_2 - 1u);
      let x = select(0.0, activations[input], at < SIZE_2);
      low += x * widen_map(loaded_map[LOADS_1 + i], 0u);
      high += x * widen_map(loaded_map[LOADS_1 + i], 1u);
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
    for (var i = 0u; i < LOADS_3; i++) { // @unroll
      let at = i * WORKGROUP + thread;
      let input = min(at / max(OUT_3 / WIDTH, 1u), IN_3 - 1u);
      let x = select(0.0, activations[input], at < SIZE_3);
      low += x * widen_map(loaded_map[LOADS_1 + LOADS_2 + i], 0u);
      high += x * widen_map(loaded_map[LOADS_1 + LOADS_2 + i], 1u);
    }
    y = join_slices(thread, OUT_3, low, high, biases.z);
  }

  // 3. Set the bits of the code.
  if (thread < BITS && y > 0.0) {
    atomicOr(&code[thread / 32u], 1u << (thread % 32u));
  }
  if (PLANES > 0u) {
    // tanh, as in training: outputs far from zero all weigh alike. Some drivers overflow past 15.
    let squashed = tanh(clamp(y, -15.0, 15.0));
    workgroupBarrier(); // all threads have read `parts`
    parts[thread] = squashed * squashed;
    workgroupBarrier();
    var squares = 0.0;
    for (var j = 0u; j < BITS; j++) { // @unroll
      squares += parts[j];
    }
    let level = magnitude(squashed, squares);
    for (var plane = 0u; plane < PLANES; plane++) { // @unroll
      if (thread < BITS && ((level >> plane) & 1u) == 1u) {
        atomicOr(&code[(plane + 1u) * WORDS + thread / 32u], 1u << (thread % 32u));
      }
    }
  }
  workgroupBarrier();

  // 4. Store the code.
  if (is_query && thread < QUERY_WORDS) {
    query_codes[(wid.y * Q_HEADS + wid.x) * QUERY_WORDS + thread] = atomicLoad(&code[thread]);
  }
  if (!is_query && thread < WORDS) {
    let at = ((wid.y * CODE_HEADS + map) * CAPACITY + newest) * WORDS + thread;
    codes[at] = atomicLoad(&code[thread]);
  }
}
