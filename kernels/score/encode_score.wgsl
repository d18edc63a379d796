// encode_score.wgsl: codes of a decode step and distances to all cached tokens, in one dispatch.
//
// token.wgsl plus hamming.wgsl. Every workgroup that scores encodes the query for itself, since
// that costs less than a dispatch that depends on another.
//
// Dispatch (SPLITS + 1, query heads, batch). The first SPLITS workgroups of a query head encode
// its query and score every SPLITS-th block of tokens. Meanwhile the last workgroup encodes the
// newest key and appends its code. The newest token, length - 1, is therefore in neither
// distances nor histograms. select_gather.wgsl adds it from the two codes in list_state.
//
// 1. Load the vector, the map and the codes of ROUNDS blocks.
// 2. Run the layers of the map.
// 3. Pack the signs of the outputs into a code, and the magnitudes of a query into its planes.
// 4. Store the code. The workgroup of the key ends here.
// 5. Score the blocks: distances, and a histogram of each block.
//
// All loads of step 1 are in flight before the first of them is used, and they are issued in the
// order of use. No address but that of the newest key depends on a length.
//
// With SHARES > 0 sequences may be of unequal lengths, which the host need not know. Their blocks
// are shared out to about SHARES workgroups of a query head: a sequence has as many as its length
// asks for. The dispatch is (query heads, SHARES + 2 * BATCH - 1): the last BATCH workgroups encode
// the newest keys, and some of the others have no part.
//
// Step 2 is bound by latency, so a layer has a single barrier. LANES threads multiply ROWS rows
// of the matrix. They add up these rows by shuffles, each of which halves the sums that a thread
// holds, and store the last KEPT sums in workgroup memory. After the barrier, every thread adds up
// those outputs that are inputs of its next rows. More ROWS mean more shuffles, but fewer sums to
// add up after the barrier.
//
// Subgroups must be consecutive threads, SUBGROUP_MIN or more. token.wgsl describes the layout of
// a map, hamming.wgsl that of a histogram.
const HEAD_DIM: u32 = 128u; // @param
const BATCH: u32 = 1u; // @param sequences
const GROUP: u32 = 4u; // @param query heads per KV head
const Q_HEADS: u32 = 32u; // @param
const CAPACITY: u32 = 4096u; // @param
const KV_DTYPE: u32 = 1u; // @param 0 f32, 1 f16, 2 bf16
const BITS: u32 = 32u; // @param
const PLANES: u32 = 0u; // @param magnitude planes of a query code
const SINK: u32 = 0u; // @param
const RECENT: u32 = 0u; // @param
const MAP_LAYERS: u32 = 3u; // @param
const MAP_HIDDEN: u32 = 128u; // @param
const MAP_DTYPE: u32 = 1u; // @param 0 f32, 1 f16
const SUBGROUP_MIN: u32 = 4u; // @param smallest subgroup of the device
const WORKGROUP: u32 = 256u; // @param
const ROWS: u32 = 4u; // @param rows of a matrix that shuffles add up: at most WIDTH
const SPLITS: u32 = 3u; // @param workgroups that score a list, with SHARES > 0 at most
const SHARES: u32 = 0u; // @param workgroups for the blocks of all sequences; 0 to have SPLITS each
const ROUNDS: u32 = 4u; // @param blocks in flight

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
// The map. A layer is its matrix [inputs, outputs], row-major, then its biases.
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
const NODES = array<u32, 5>(HEAD_DIM, OUT_1, OUT_2, OUT_3, 0u); // layer l: NODES[l] to NODES[l + 1]
const MATRIX_STARTS = array<u32, 3>(0u, START_2, START_3);
const BIAS_STARTS = array<u32, 3>(SIZE_1, START_2 + SIZE_2, START_3 + SIZE_3);

// How threads share a layer. LANES threads take ROWS rows, SIDE threads side by side in each row,
// and each thread multiplies one 16-byte column of its row.
const LANES = min(SUBGROUP_MIN, 32u);
const SIDE = LANES / ROWS;
const SHARED = min(SIDE, 32u / WIDTH); // threads of a row that exchange the inputs they made
const KEPT = WIDTH / ROWS; // sums that a thread holds after the shuffles
const SUMS = WORKGROUP * KEPT; // sums of all threads; SUMS / outputs slices of the rows made them
const MOST_SLICES = SUMS / 32u; // no layer has fewer outputs than 32
const LOADS_1 = (HEAD_DIM * OUT_1 / ROWS + SUMS - 1u) / SUMS; // loads of a matrix per thread
const LOADS_2 = (OUT_1 * OUT_2 / ROWS + SUMS - 1u) / SUMS;
const LOADS_3 = (OUT_2 * OUT_3 / ROWS + SUMS - 1u) / SUMS;
const LOADS = array<u32, 3>(LOADS_1, LOADS_2, LOADS_3);
const MOST_LOADS = max(LOADS_1, max(LOADS_2, LOADS_3));
const INPUTS = (MOST_LOADS + SHARED - 1u) / SHARED; // inputs of a layer that a thread makes
const HALF = LANES / 2u; // distance in lanes of each shuffle
const QUARTER = HALF >> MAP_DTYPE;
const EIGHTH = QUARTER / 2u;
const STRIDE = WORKGROUP + 32u / KEPT % 32u; // from one of a thread's sums to its next
const SUMS_SIZE = KEPT * STRIDE; // of one layer

// The score. A block is the tokens that the workgroup scores in a round, four per thread.
const WORDS = BITS / 32u; // of a code's signs, and of each plane
const QUERY_WORDS = (1u + PLANES) * WORDS;
const SQUARE_SUMS = max(1u, WORKGROUP / SUBGROUP_MIN * u32(PLANES > 0u)); // for the planes
const BINS = BITS * ((1u << max(PLANES, 1u)) - 1u) + 1u;
const BLOCK = 4u * WORKGROUP;
const BLOCKS = (CAPACITY + BLOCK - 1u) / BLOCK;
const PORTION_BOUNDS = vec3<u32>(SHARES, SPLITS, BLOCKS);
const MOST_PORTIONS = SHARES + BATCH - 1u;
const CODE_LOADS = ROUNDS * WORDS; // 16-byte loads of codes in flight per thread
const LIST_FOURS = CAPACITY / 4u; // fours of tokens of a list

// list_state holds the codes of all queries, those of the newest keys, then the histograms.
const NEWEST_CODES = BATCH * Q_HEADS * QUERY_WORDS;
const HISTOGRAMS = NEWEST_CODES + BATCH * Q_HEADS * WORDS;
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
@group(0) @binding(5) var<storage, read_write> codes: array<vec4<u32>>;
@group(0) @binding(6) var<storage, read_write> distances: array<u32>;
@group(0) @binding(7) var<storage, read_write> list_state: array<u32>;

var<workgroup> sums: array<f32, 2u * SUMS_SIZE>; // layers alternate between the two halves
var<workgroup> code: array<atomic<u32>, QUERY_WORDS>;
// Squares of the outputs, added up by subgroups.
var<workgroup> squares: array<f32, SQUARE_SUMS>;
var<workgroup> counts: array<atomic<u32>, ROUNDS * BINS>;
var<workgroup> own_portion: vec4<u32>; // a Portion

// @shared query_element
/// An element of the queries.
fn query_element(at: u32) -> f32 {
  return q[at];
}
// @end

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

// @shared magnitude
/// The magnitude of output `y` of a query as a whole number up to LEVELS. `squares` is the sum of
/// the squares of all its outputs.
fn magnitude(y: f32, squares: f32) -> u32 {
  let unit = LEVELS / (CLIPS[PLANES] * sqrt(squares / f32(BITS)));
  return u32(min(LEVELS, floor(abs(y) * select(0.0, unit, squares > 0.0) + 0.5)));
}
// @end

/// Sets bits of a code, thread t that of output t.
fn set_bits_of_outputs(word_base: u32, is_set: bool, thread: u32, lane: u32) {
  // A subgroup of 64 or more holds several words, one of less than 32 holds part of a word.
  let ballot = subgroupBallot(is_set);
  if (thread < BITS && lane % 32u == 0u) {
    atomicOr(&code[word_base + thread / 32u], ballot[lane / 32u] << (thread % 32u));
  }
}

/// The 16-byte column of a matrix that a thread multiplies, and the slice of the rows it takes.
fn column_and_slice(thread: u32, outs: u32) -> vec2<u32> {
  let at = thread / LANES * SIDE + thread % SIDE;
  return vec2<u32>(at % (outs / WIDTH), at / (outs / WIDTH));
}

/// The loads of a layer's matrix per thread.
fn loads_per_thread(ins: u32, outs: u32) -> u32 {
  return (ins * outs / ROWS + SUMS - 1u) / SUMS;
}

/// The row that load i of a thread lies in. Surplus loads get rows past the end of the matrix.
fn weight_row(i: u32, thread: u32, ins: u32, outs: u32) -> u32 {
  let first = column_and_slice(thread, outs).y * loads_per_thread(ins, outs);
  return (first + i) * ROWS + thread % LANES / SIDE;
}

/// The place of load i of a thread in its matrix. Surplus loads repeat the last row.
fn weight_place(i: u32, thread: u32, ins: u32, outs: u32) -> u32 {
  let row = min(weight_row(i, thread, ins, outs), ins - 1u);
  return row * (outs / WIDTH) + column_and_slice(thread, outs).x;
}

/// The index of input j that a thread makes for itself and its neighbours. After the last layer
/// there are no more rows (outs is 0): thread t makes output t.
fn input_index(j: u32, thread: u32, ins: u32, outs: u32) -> u32 {
  if (outs == 0u) {
    return min(thread, ins - 1u);
  }
  return min(weight_row(j * SHARED + thread % SHARED, thread, ins, outs), ins - 1u);
}

// @shared block_units
/// Blocks of a sequence, of which even an empty one has one.
fn units_of(sequence: u32) -> u32 {
  return max((lengths[sequence] + BLOCK - 1u) / BLOCK, 1u);
}
// @end

// @shared find_portion
/// The part of a sequence that a workgroup takes.
struct Portion {
  sequence: u32,
  split: u32, // place of the workgroup among those of the sequence
  splits: u32, // workgroups of the sequence; 0 if the workgroup has no part
  all: u32, // units of all sequences
}

/// The workgroups of a sequence with `units` units, where all sequences have `all`. `bounds` are
/// the workgroups among which these are shared out, the most workgroups of a sequence, and the most
/// units of a workgroup.
fn splits_of(units: u32, all: u32, bounds: vec3<u32>) -> u32 {
  let quota = min((all + bounds.x - 1u) / bounds.x, bounds.z);
  return min((units + quota - 1u) / quota, bounds.y);
}

/// The portion of a workgroup: portions are numbered through all sequences. Every subgroup finds it
/// for itself; a lane has a run of sequences.
fn find_portion(index: u32, thread: u32, lane: u32, lanes: u32) -> Portion {
  let run = (BATCH + lanes - 1u) / lanes;
  let run_begin = min(lane * run, BATCH);
  let run_end = min(run_begin + run, BATCH);
  var units = 0u;
  for (var b = run_begin; b < run_end; b++) {
    units += units_of(b);
  }
  let all = subgroupAdd(units);
  var portions = 0u;
  for (var b = run_begin; b < run_end; b++) {
    portions += splits_of(units_of(b), all, PORTION_BOUNDS);
  }
  let through = subgroupInclusiveAdd(portions);
  // The lane that has the portion looks for its sequence.
  var found = vec2<u32>(0u);
  if (through - portions <= index && index < through) {
    found = vec2<u32>(run_begin, index - (through - portions));
    var splits = splits_of(units_of(found.x), all, PORTION_BOUNDS);
    for (; found.y >= splits;) {
      found = vec2<u32>(found.x + 1u, found.y - splits);
      splits = splits_of(units_of(found.x), all, PORTION_BOUNDS);
    }
  }
  found = subgroupMax(found);
  let has_portion = index < subgroupMax(through);
  let splits = splits_of(units_of(found.x), all, PORTION_BOUNDS);
  if (thread == 0u) {
    own_portion = vec4<u32>(found, select(0u, splits, has_portion), all);
  }
  let own = workgroupUniformLoad(&own_portion);
  return Portion(own.x, own.y, own.z, own.w);
}
// @end

/// The place of load i of a thread in the codes of blocks first, first + splits, and so on. A block
/// takes WORDS loads per thread.
fn code_place(list: u32, first: u32, splits: u32, i: u32, thread: u32) -> u32 {
  let block = first + i / WORDS * splits;
  let four = min(block * WORKGROUP + thread, LIST_FOURS - 1u);
  return (list * LIST_FOURS + four) * WORDS + i % WORDS;
}

/// Adds up the sums of ROWS rows and stores them in a half of `sums`. A thread enters with sums of
/// WIDTH outputs, `low` and `high`. At each shuffle it keeps one half and gives the other away.
fn store_sums(half: u32, low: vec4f, high: vec4f, outs: u32, thread: u32) {
  var kept = low;
  if (MAP_DTYPE == 1u) {
    let upper = (thread & HALF) != 0u;
    kept = select(low, high, upper) + subgroupShuffleXor(select(high, low, upper), HALF);
  }
  if (KEPT < 4u) {
    let upper = (thread & QUARTER) != 0u;
    let other = subgroupShuffleXor(select(kept.zw, kept.xy, upper), QUARTER);
    kept = vec4f(select(kept.xy, kept.zw, upper) + other, 0.0, 0.0);
  }
  if (KEPT < 2u) {
    let upper = (thread & EIGHTH) != 0u;
    let other = subgroupShuffleXor(select(kept.y, kept.x, upper), EIGHTH);
    kept.x = select(kept.x, kept.y, upper) + other;
  }
  let at = column_and_slice(thread, outs);
  let place = half * SUMS_SIZE + at.y * (outs / KEPT) + at.x * ROWS + thread % LANES / SIDE;
  for (var k = 0u; k < KEPT; k++) { // @unroll
    sums[k * STRIDE + place] = kept[k];
  }
}

/// An output of the layer whose sums lie in a half of `sums`. `word` holds its bias.
fn layer_output(half: u32, output: u32, ins: u32, outs: u32, word: u32) -> f32 {
  let place = (half * KEPT + output % KEPT) * STRIDE + output / KEPT;
  var four = vec4f(0.0); // four chains of additions, to hide their latency
  for (var s = 0u; s < MOST_SLICES; s++) { // @unroll
    if (s * loads_per_thread(ins, outs) * ROWS < ins) {
      four[s % 4u] += sums[place + s * (outs / KEPT)];
    }
  }
  var bias = bitcast<f32>(word);
  if (MAP_DTYPE == 1u) {
    bias = unpack2x16float(word)[output % 2u];
  }
  return four.x + four.y + (four.z + four.w) + bias;
}

/// Appends the code of the newest key to the cache, and hands it to the select.
fn store_key_code(list: u32, newest: u32) {
  for (var w = 0u; w < WORDS; w++) {
    let at = (list * CAPACITY + newest) * WORDS + w;
    codes[at / 4u][at % 4u] = atomicLoad(&code[w]);
    list_state[NEWEST_CODES + list * WORDS + w] = atomicLoad(&code[w]);
  }
}

/// Stores the histograms of blocks first, first + splits, and so on. They start at zero, as all
/// workgroup memory does, and each count is reset here for the next blocks.
fn store_histograms(list: u32, first: u32, splits: u32, blocks: u32, thread: u32) {
  for (var i = thread; i < ROUNDS * BINS; i += WORKGROUP) {
    let block = first + i / BINS * splits;
    let count = atomicExchange(&counts[i], 0u);
    if (block < blocks) {
      list_state[HISTOGRAMS + (list * BLOCKS + block) * BINS + i % BINS] = count;
    }
  }
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
  @builtin(subgroup_invocation_id) lane: u32,
  @builtin(subgroup_size) subgroup_size: u32,
) {
  let lanes = min(subgroup_size, WORKGROUP); // a subgroup may be larger than the workgroup
  var portion = Portion(wid.z, wid.x, SPLITS, 0u);
  var own_head = wid.y;
  var is_key = wid.x == SPLITS;
  if (SHARES > 0u) {
    own_head = wid.x;
    is_key = wid.y >= MOST_PORTIONS;
    if (is_key) {
      portion.sequence = wid.y - MOST_PORTIONS;
    } else {
      portion = find_portion(wid.y, thread, lane, lanes);
      if (portion.splits == 0u) {
        return;
      }
    }
  }
  let split = portion.split;
  let splits = portion.splits;
  let length = lengths[portion.sequence]; // a workgroup that scores needs it in step 5 only
  let newest = length - 1u;
  let list = portion.sequence * Q_HEADS + own_head;

  // 1. Load the vector, the map and the codes. The two branches differ in the map's binding.
  let base = own_head * MAP_SIZE;
  var inputs: array<f32, INPUTS>;
  var biases: array<u32, MAP_LAYERS * INPUTS>; // of the outputs that are inputs of the next layer
  var loaded_map: array<vec4<u32>, MAP_LAYERS * MOST_LOADS>;
  var loaded_codes: array<vec4<u32>, CODE_LOADS>;
  if (is_key) {
    for (var l = 0u; l < MAP_LAYERS; l++) { // @unroll
      for (var i = 0u; i < MOST_LOADS; i++) { // @unroll
        let at = base + MATRIX_STARTS[l] + weight_place(i, thread, NODES[l], NODES[l + 1u]);
        if (i < LOADS[l]) {
          loaded_map[l * MOST_LOADS + i] = key_map[at];
        }
      }
      for (var j = 0u; j < INPUTS; j++) { // @unroll
        let word = input_index(j, thread, NODES[l + 1u], NODES[l + 2u]) * 4u / WIDTH;
        biases[l * INPUTS + j] = key_map[base + BIAS_STARTS[l] + word / 4u][word % 4u];
      }
    }
    // The key comes last: its address waits for the length, and later loads would wait with it.
    for (var j = 0u; j < INPUTS; j++) { // @unroll
      let d = input_index(j, thread, HEAD_DIM, OUT_1);
      let kv_head = list / GROUP;
      let row = head_start(kv_head) + row_offset(kv_head, newest);
      inputs[j] = key_element(row * KV_WIDTH + d);
    }
  } else {
    for (var j = 0u; j < INPUTS; j++) { // @unroll
      inputs[j] = query_element(list * HEAD_DIM + input_index(j, thread, HEAD_DIM, OUT_1));
    }
    for (var l = 0u; l < MAP_LAYERS; l++) { // @unroll
      for (var i = 0u; i < MOST_LOADS; i++) { // @unroll
        let at = base + MATRIX_STARTS[l] + weight_place(i, thread, NODES[l], NODES[l + 1u]);
        if (i < LOADS[l]) {
          loaded_map[l * MOST_LOADS + i] = query_map[at];
        }
      }
      for (var j = 0u; j < INPUTS; j++) { // @unroll
        let word = input_index(j, thread, NODES[l + 1u], NODES[l + 2u]) * 4u / WIDTH;
        biases[l * INPUTS + j] = query_map[base + BIAS_STARTS[l] + word / 4u][word % 4u];
      }
    }
    for (var i = 0u; i < CODE_LOADS; i++) { // @unroll
      if (i / WORDS * splits < BLOCKS) {
        loaded_codes[i] = codes[code_place(list, split, splits, i, thread)];
      }
    }
  }

  // 2. Run the layers of the map.
  for (var l = 0u; l < MAP_LAYERS; l++) { // @unroll
    if (l > 0u) {
      for (var j = 0u; j < INPUTS; j++) { // @unroll
        // max() keeps the places valid for l = 0, where compilers still check this branch.
        let output = input_index(j, thread, NODES[l], NODES[l + 1u]);
        let bias = biases[(max(l, 1u) - 1u) * INPUTS + j];
        let ins = NODES[max(l, 1u) - 1u];
        inputs[j] = silu(layer_output((l + 1u) % 2u, output, ins, NODES[l], bias));
      }
    }
    var low = vec4f(0.0); // outputs 0 .. 3 of the thread's column
    var high = vec4f(0.0); // outputs 4 .. 7, if the weights are f16
    for (var i = 0u; i < MOST_LOADS; i++) { // @unroll
      if (i < LOADS[l]) {
        let input = subgroupShuffle(inputs[i / SHARED], lane - thread % SHARED + i % SHARED);
        let x = select(0.0, input, weight_row(i, thread, NODES[l], NODES[l + 1u]) < NODES[l]);
        low += x * widen_map(loaded_map[l * MOST_LOADS + i], 0u);
        high += x * widen_map(loaded_map[l * MOST_LOADS + i], 1u);
      }
    }
    // This half of `sums` is free: its readers finished before the barrier of the last layer.
    store_sums(l % 2u, low, high, NODES[l + 1u], thread);
    workgroupBarrier();
  }

  // 3. Pack the signs of the outputs into a code.
  let ins = NODES[MAP_LAYERS - 1u];
  let bias = biases[MAP_LAYERS * INPUTS - 1u];
  if (PLANES == 0u) {
    let half = (MAP_LAYERS + 1u) % 2u;
    let is_set = thread < BITS && layer_output(half, thread, ins, BITS, bias) > 0.0;
    set_bits_of_outputs(0u, is_set, thread, lane);
  } else {
    let output = min(thread, BITS - 1u);
    let y = layer_output((MAP_LAYERS + 1u) % 2u, output, ins, BITS, bias);
    set_bits_of_outputs(0u, thread < BITS && y > 0.0, thread, lane);
    // tanh, as in training: outputs far from zero all weigh alike. Some drivers overflow past 15.
    let squashed = tanh(clamp(y, -15.0, 15.0));
    let of_subgroup = subgroupAdd(select(0.0, squashed * squashed, thread < BITS));
    if (lane == 0u) {
      squares[thread / lanes] = of_subgroup;
    }
    workgroupBarrier();
    var sum = 0.0;
    for (var s = 0u; s < SQUARE_SUMS; s++) { // @unroll
      sum += select(0.0, squares[s], s < WORKGROUP / lanes);
    }
    let level = magnitude(squashed, sum);
    for (var plane = 0u; plane < PLANES; plane++) { // @unroll
      let is_set = thread < BITS && ((level >> plane) & 1u) == 1u;
      set_bits_of_outputs((plane + 1u) * WORDS, is_set, thread, lane);
    }
  }
  workgroupBarrier();

  // 4. Store the code.
  if (is_key) {
    if (thread == 0u) { // one thread, since a store to part of a vector may write all of it
      store_key_code(list, newest);
    }
    return;
  }
  if (split == 0u && thread < QUERY_WORDS) {
    list_state[list * QUERY_WORDS + thread] = atomicLoad(&code[thread]);
  }

  // 5. Score the blocks. The codes of the next ROUNDS blocks are in flight meanwhile.
  var query: array<u32, QUERY_WORDS>;
  for (var w = 0u; w < QUERY_WORDS; w++) { // @unroll
    query[w] = atomicLoad(&code[w]);
  }
  let blocks = (length + BLOCK - 1u) / BLOCK;
  let recent_start = min(length - min(RECENT, length), newest);
  for (var begin = split; begin < blocks; begin += ROUNDS * splits) {
    if (begin != split) {
      workgroupBarrier(); // all counts have been reset
    }
    let next_begin = begin + ROUNDS * splits;
    var next_codes: array<vec4<u32>, CODE_LOADS>;
    for (var i = 0u; i < CODE_LOADS; i++) { // @unroll
      if (next_begin < blocks) {
        next_codes[i] = codes[code_place(list, next_begin, splits, i, thread)];
      }
    }
    for (var round = 0u; round < ROUNDS; round++) { // @unroll
      let block = begin + round * splits;
      let first = (block * WORKGROUP + thread) * 4u;
      var packed = 0u; // four distances of a byte each
      for (var t = 0u; t < 4u; t++) { // @unroll
        var distance = 0u;
        for (var w = 0u; w < WORDS; w++) { // @unroll
          let at = t * WORDS + w;
          let differing = loaded_codes[round * WORDS + at / 4u][at % 4u] ^ query[w];
          if (PLANES == 0u) {
            distance += countOneBits(differing);
          }
          for (var plane = 0u; plane < PLANES; plane++) { // @unroll
            distance += countOneBits(differing & query[(plane + 1u) * WORDS + w]) << plane;
          }
        }
        packed |= distance << (8u * t);
        if (first + t >= SINK && first + t < recent_start) {
          atomicAdd(&counts[round * BINS + distance], 1u);
        }
      }
      if (block < blocks && first < CAPACITY) {
        distances[(list * CAPACITY + first) / 4u] = packed;
      }
    }
    workgroupBarrier();
    store_histograms(list, begin, splits, blocks, thread);
    loaded_codes = next_codes;
  }
}
