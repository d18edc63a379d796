// encode_score_group.wgsl: encode and score in one dispatch, for codes that query heads share.
//
// encode_score.wgsl for HATA's shared codes, with a map of one layer. A distance is the sum over
// the list's queries, and blocks leave ranks in place of histograms.
//
// Dispatch (SPLITS + 1, code heads, batch). The first SPLITS workgroups of a code head encode its
// queries, each for itself, and score every SPLITS-th block of tokens. Meanwhile the last workgroup
// encodes the newest key and appends its code. The newest token, length - 1, is therefore in
// neither distances nor ranks. select_gather_group.wgsl adds it from the codes in list_state.
//
// 1. Load the vectors, the map and AHEAD loads of codes.
// 2. Multiply. The map goes through workgroup memory in STAGES turns.
// 3. Add up the slices, and pack the signs of the outputs into codes.
// 4. Store the codes. The workgroup of the key ends here.
// 5. Score the blocks: distances, and a histogram of each block.
// 6. Turn the histograms into ranks.
// 7. Store the ranks, and add their totals to those of the other workgroups.
//
// All loads of step 1 are in flight before the first of them is used.
//
// In step 2 a thread multiplies one word of weights (two outputs if f16, else one) of every
// SLICES-th input, and does so for all queries, four of them as a vec4f.
//
// Step 5 has no barrier, since each block has a histogram of its own in workgroup memory, with two
// counts to a word. A histogram counts the middle tokens, those outside of sink and recent window.
//
// Rank d of a block is the number of its middle tokens at distance d or less. rank_totals is the
// sum of the ranks of all blocks: the select finds its threshold there without reading any block.
// The workgroup that joins the partials of the list resets rank_totals to zero.
//
// Subgroups must be consecutive threads, SUBGROUP_MIN or more.
const HEAD_DIM: u32 = 128u; // @param
const BATCH: u32 = 1u; // @param sequences
const GROUP: u32 = 4u; // @param query heads per KV head
const QUERIES_PER_LIST: u32 = 4u; // @param query heads that share a code
const CODE_HEADS: u32 = 8u; // @param
const CAPACITY: u32 = 4096u; // @param
const KV_DTYPE: u32 = 1u; // @param 0 f32, 1 f16, 2 bf16
const BITS: u32 = 128u; // @param
const DISTANCE_BYTES: u32 = 2u; // @param 1 or 2
const SINK: u32 = 0u; // @param
const RECENT: u32 = 0u; // @param
const MAP_DTYPE: u32 = 1u; // @param 0 f32, 1 f16
const BLOCK: u32 = 1024u; // @param tokens per row of ranks
const SUBGROUP_MIN: u32 = 4u; // @param smallest subgroup of the device
const WORKGROUP: u32 = 256u; // @param
const SPLITS: u32 = 3u; // @param workgroups that score a list
const AHEAD: u32 = 4u; // @param loads of codes in flight per thread
const STAGES: u32 = 4u; // @param turns in which the map goes through workgroup memory
const SLICES: u32 = 4u; // @param of the inputs

const KV_HEADS = CODE_HEADS * QUERIES_PER_LIST / GROUP;
// @shared cache_strides
// Rows of K and V. Strides are in 16-byte loads, or all 0 for [B, KV_HEADS, CAPACITY, HEAD_DIM].
const OUTER_STRIDE: u32 = 0u; // @param from a sequence, or a page, to the next
const HEAD_STRIDE: u32 = 0u; // @param from a KV head to the next
const TOKEN_STRIDE: u32 = 0u; // @param from a token to the next
const TABLE_BITS: u32 = 0u; // @param log2 of the tokens of a page; 0 without a page table
const KV_WIDTH = 4u + 4u * u32(KV_DTYPE != 0u); // values of a load
const KV_LOADS = HEAD_DIM / KV_WIDTH; // loads of a row
// @end
// The map: a matrix [inputs, outputs], row-major, then the biases.
const WIDTH = 4u + 4u * MAP_DTYPE; // weights of a 16-byte load
const PER_WORD = 1u + MAP_DTYPE; // weights of a word
const COLUMNS = BITS / PER_WORD; // words of an input's weights
const MATRIX_LOADS = HEAD_DIM * BITS / WIDTH;
const MAP_SIZE = MATRIX_LOADS + BITS / WIDTH; // 16-byte loads, with those of the biases
const STAGE_INPUTS = HEAD_DIM / STAGES;
const STAGE_SIZE = MATRIX_LOADS / STAGES;
const STAGE_LOADS = (STAGE_SIZE + WORKGROUP - 1u) / WORKGROUP; // per thread
const MAP_LOADS = STAGES * STAGE_LOADS; // per thread
const THREAD_INPUTS = (STAGE_INPUTS + SLICES - 1u) / SLICES; // inputs of a stage per thread
const EVEN = SLICES * COLUMNS == WORKGROUP && STAGE_INPUTS % SLICES == 0u; // no thread idles
const QUADS = (QUERIES_PER_LIST + 3u) / 4u; // fours of queries
const SUMS = QUADS * PER_WORD; // of a thread
const INPUT_TURNS = (QUADS * HEAD_DIM + WORKGROUP - 1u) / WORKGROUP;

// The score. A step is one 16-byte load of codes per thread, and LOADS steps make a block.
const WORDS = BITS / 32u; // of a code
const QUERY_WORDS = QUERIES_PER_LIST * WORDS;
const PER_LOAD = 4u / WORDS; // tokens of a load
const LOADS = BLOCK / PER_LOAD / WORKGROUP;
const ROW_LOADS = CAPACITY / PER_LOAD; // loads of a list
const BLOCKS = (CAPACITY + BLOCK - 1u) / BLOCK;
const ROUNDS = (BLOCKS + SPLITS - 1u) / SPLITS; // most blocks of a workgroup
const FIELD = 8u * DISTANCE_BYTES; // bits of a packed distance
const LOAD_BITS = FIELD * PER_LOAD; // of the packed distances of a load
const SHARERS = max(32u / LOAD_BITS, 1u); // threads whose distances share a word

// The ranks of a block. SUBGROUP_MIN threads make them, each those of SEGMENT_WORDS words.
const BINS = BITS * QUERIES_PER_LIST + 1u;
const RANK_WORDS = (BINS + 1u) / 2u; // two ranks to a word
const SEGMENT_WORDS = (RANK_WORDS + SUBGROUP_MIN - 1u) / SUBGROUP_MIN;
const TEAMS = WORKGROUP / SUBGROUP_MIN; // blocks whose ranks are made at a time
const LISTS = BATCH * CODE_HEADS;

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read> q: array<f32>;
@group(0) @binding(2) var<storage, read> keys: array<u32>;
@group(0) @binding(3) var<storage, read> query_map: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read> key_map: array<vec4<u32>>;
@group(0) @binding(5) var<storage, read_write> codes: array<vec4<u32>>;
@group(0) @binding(6) var<storage, read_write> distances: array<u32>;
@group(0) @binding(7) var<storage, read_write> list_state: ListState;

// @shared query_element
/// An element of the queries.
fn query_element(at: u32) -> f32 {
  return q[at];
}
// @end

/// What the score leaves of each list, see layout.ts.
struct ListState {
  query_codes: array<u32, LISTS * QUERY_WORDS>,
  newest_codes: array<u32, LISTS * WORDS>,
  rank_totals: array<atomic<u32>, LISTS * BINS>, // zero before the step
  block_ranks: array<u32, LISTS * BLOCKS * RANK_WORDS>,
}

var<workgroup> inputs: array<vec4f, QUADS * HEAD_DIM>; // element d of four queries at d
var<workgroup> staged: array<vec4<u32>, max(STAGE_SIZE, SLICES * BITS)>; // weights, later sums
var<workgroup> code: array<atomic<u32>, 4u * QUADS * WORDS>;
var<workgroup> counts: array<atomic<u32>, ROUNDS * RANK_WORDS>; // two to a word, later ranks

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

/// Element d of four queries. Past the list's last query, that one repeats.
fn query_input(first_head: u32, quad: u32, d: u32) -> vec4f {
  var four = vec4f();
  for (var i = 0u; i < 4u; i++) { // @unroll
    let head = first_head + min(4u * quad + i, QUERIES_PER_LIST - 1u);
    four[i] = query_element(head * HEAD_DIM + d);
  }
  return four;
}

/// The place of load i of a thread in the map.
fn stage_place(i: u32, thread: u32) -> u32 {
  let at = min(i % STAGE_LOADS * WORKGROUP + thread, STAGE_SIZE - 1u);
  return i / STAGE_LOADS * STAGE_SIZE + at;
}

/// The place of a thread's load in the codes of the list. It depends on no length.
fn step_place(split: u32, step: u32, thread: u32) -> u32 {
  let block = step / LOADS * SPLITS + split;
  return min((block * LOADS + step % LOADS) * WORKGROUP + thread, ROW_LOADS - 1u);
}

/// Appends the code of the newest key to the cache, and hands it to the select.
fn store_shared_key_code(list: u32, newest: u32) {
  for (var w = 0u; w < WORDS; w++) {
    let at = (list * CAPACITY + newest) * WORDS + w;
    codes[at / 4u][at % 4u] = atomicLoad(&code[w]);
    list_state.newest_codes[list * WORDS + w] = atomicLoad(&code[w]);
  }
}

/// Turns the histograms in `counts` into ranks: running sums, two to a word.
fn counts_to_ranks(thread: u32) {
  let lane = thread % SUBGROUP_MIN;
  let segment = min(lane * SEGMENT_WORDS, RANK_WORDS); // its first word
  for (var turn = 0u; turn < (ROUNDS + TEAMS - 1u) / TEAMS; turn++) { // @unroll
    let row = turn * TEAMS + thread / SUBGROUP_MIN;
    let words = select(0u, RANK_WORDS - segment, row < ROUNDS);
    let first = min(row, ROUNDS - 1u) * RANK_WORDS + segment;
    var own = 0u;
    for (var w = 0u; w < SEGMENT_WORDS; w++) { // @unroll
      let word = atomicLoad(&counts[min(first + w, ROUNDS * RANK_WORDS - 1u)]);
      own += select(0u, (word & 0xffffu) + (word >> 16u), w < words);
    }
    var upto = own; // tokens in the segments up to this one
    for (var s = 0u; s < firstTrailingBit(SUBGROUP_MIN); s++) { // @unroll
      let other = subgroupShuffleUp(upto, 1u << s);
      upto += select(0u, other, lane >= (1u << s));
    }
    var rank = upto - own;
    for (var w = 0u; w < SEGMENT_WORDS; w++) { // @unroll
      if (w < words) {
        let word = atomicLoad(&counts[first + w]);
        let low = rank + (word & 0xffffu);
        rank = low + (word >> 16u);
        atomicStore(&counts[first + w], low | (rank << 16u));
      }
    }
  }
}

/// Stores the ranks of a workgroup's blocks, and adds their sums to the totals of the list.
fn store_ranks(list: u32, split: u32, rounds: u32, thread: u32) {
  for (var i = thread; i < rounds * RANK_WORDS; i += WORKGROUP) {
    let block = list * BLOCKS + i / RANK_WORDS * SPLITS + split;
    list_state.block_ranks[block * RANK_WORDS + i % RANK_WORDS] = atomicLoad(&counts[i]);
  }
  for (var bin = thread; bin < BINS; bin += WORKGROUP) {
    var total = 0u;
    for (var round = 0u; round < ROUNDS; round++) { // @unroll
      let word = atomicLoad(&counts[round * RANK_WORDS + bin / 2u]);
      total += (word >> (16u * (bin % 2u))) & 0xffffu;
    }
    if (total > 0u) {
      atomicAdd(&list_state.rank_totals[list * BINS + bin], total);
    }
  }
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let list = wid.z * CODE_HEADS + wid.y;
  let is_key = wid.x == SPLITS;
  let length = lengths[wid.z];
  let newest = length - 1u;

  // 1. Load the vectors, the map and codes. The two branches differ in the map's binding.
  let base = wid.y * MAP_SIZE;
  let bias_place = base + MATRIX_LOADS + min(thread, BITS - 1u) / WIDTH;
  var loaded_inputs: array<vec4f, INPUT_TURNS>;
  var loaded_map: array<vec4<u32>, MAP_LOADS>;
  var loaded_biases: vec4<u32>;
  if (is_key) {
    for (var i = 0u; i < MAP_LOADS; i++) { // @unroll
      loaded_map[i] = key_map[base + stage_place(i, thread)];
    }
    loaded_biases = key_map[bias_place];
    // The key comes after the map: its address waits for the length, and the map would wait too.
    for (var i = 0u; i < INPUT_TURNS; i++) { // @unroll
      let d = (i * WORKGROUP + thread) % HEAD_DIM;
      let head = list * QUERIES_PER_LIST / GROUP;
      let row = head_start(head) + row_offset(head, newest);
      loaded_inputs[i] = vec4f(key_element(row * KV_WIDTH + d));
    }
  } else {
    for (var i = 0u; i < INPUT_TURNS; i++) { // @unroll
      let at = min(i * WORKGROUP + thread, QUADS * HEAD_DIM - 1u);
      loaded_inputs[i] = query_input(list * QUERIES_PER_LIST, at / HEAD_DIM, at % HEAD_DIM);
    }
    for (var i = 0u; i < MAP_LOADS; i++) { // @unroll
      loaded_map[i] = query_map[base + stage_place(i, thread)];
    }
    loaded_biases = query_map[bias_place];
  }
  var loaded_codes: array<vec4<u32>, AHEAD>;
  for (var i = 0u; i < AHEAD; i++) { // @unroll
    loaded_codes[i] = codes[list * ROW_LOADS + step_place(wid.x, i, thread)];
  }

  // 2. Multiply. Thread t owns word t % COLUMNS of the weights of its slice's inputs.
  for (var i = 0u; i < INPUT_TURNS; i++) { // @unroll
    if (i * WORKGROUP + thread < QUADS * HEAD_DIM) {
      inputs[i * WORKGROUP + thread] = loaded_inputs[i];
    }
  }
  let column = thread % COLUMNS;
  let slice = thread / COLUMNS;
  var sums = array<vec4f, SUMS>();
  for (var stage = 0u; stage < STAGES; stage++) { // @unroll
    if (stage > 0u) {
      workgroupBarrier();
    }
    for (var i = 0u; i < STAGE_LOADS; i++) { // @unroll
      if (i * WORKGROUP + thread < STAGE_SIZE) {
        staged[i * WORKGROUP + thread] = loaded_map[stage * STAGE_LOADS + i];
      }
    }
    workgroupBarrier();
    for (var i = 0u; i < THREAD_INPUTS; i++) { // @unroll
      let input = i * SLICES + slice;
      if (EVEN || (slice < SLICES && input < STAGE_INPUTS)) {
        let word = staged[(input * COLUMNS + column) / 4u][column % 4u];
        let as_f32 = vec2f(bitcast<f32>(word), 0.0);
        let weights = select(unpack2x16float(word), as_f32, MAP_DTYPE == 0u);
        for (var s = 0u; s < SUMS; s++) { // @unroll
          let x = inputs[s / PER_WORD * HEAD_DIM + stage * STAGE_INPUTS + input];
          sums[s] += weights[s % PER_WORD] * x;
        }
      }
    }
  }

  // 3. Add up the slices, for four queries at a time. Thread t makes bit t of their codes.
  var bias = bitcast<vec4f>(loaded_biases)[thread % 4u];
  if (MAP_DTYPE == 1u) {
    bias = unpack2x16float(loaded_biases[thread % WIDTH / 2u])[thread % 2u];
  }
  for (var quad = 0u; quad < QUADS; quad++) { // @unroll
    workgroupBarrier();
    for (var i = 0u; i < PER_WORD; i++) { // @unroll
      if (slice < SLICES) {
        let at = slice * BITS + column * PER_WORD + i;
        staged[at] = bitcast<vec4<u32>>(sums[quad * PER_WORD + i]);
      }
    }
    workgroupBarrier();
    var y = vec4f(bias);
    for (var s = 0u; s < SLICES; s++) { // @unroll
      y += bitcast<vec4f>(staged[s * BITS + min(thread, BITS - 1u)]);
    }
    for (var i = 0u; i < 4u; i++) { // @unroll
      // A subgroup of 64 or more holds several words, one of less than 32 holds part of a word.
      let ballot = subgroupBallot(y[i] > 0.0);
      if (lane % 32u == 0u && thread < BITS) {
        let word = (4u * quad + i) * WORDS + thread / 32u;
        atomicOr(&code[word], ballot[lane / 32u] << (thread % 32u));
      }
    }
  }
  workgroupBarrier();

  // 4. Store the codes.
  if (is_key) {
    if (thread == 0u) { // one thread, since a store to part of a vector may write all of it
      store_shared_key_code(list, newest);
    }
    return;
  }
  if (wid.x == 0u && thread < QUERY_WORDS) {
    list_state.query_codes[list * QUERY_WORDS + thread] = atomicLoad(&code[thread]);
  }

  // 5. Score the blocks.
  var query: array<u32, QUERY_WORDS>;
  for (var i = 0u; i < QUERY_WORDS; i++) { // @unroll
    query[i] = atomicLoad(&code[i]);
  }
  let recent_start = min(length - min(RECENT, length), newest);
  let blocks = (length + BLOCK - 1u) / BLOCK;
  let rounds = (max(blocks, wid.x) - wid.x + SPLITS - 1u) / SPLITS; // blocks of this workgroup
  let steps = rounds * LOADS;
  for (var start = 0u; start < steps; start += AHEAD) {
    for (var i = 0u; i < AHEAD; i++) { // @unroll
      let step = start + i;
      if (step < steps) {
        let tokens = loaded_codes[i];
        // Loads past the last step repeat it: they hit the cache, and no branch delays the rest.
        let next = step_place(wid.x, min(step + AHEAD, steps - 1u), thread);
        loaded_codes[i] = codes[list * ROW_LOADS + next];
        let block = step / LOADS * SPLITS + wid.x;
        let first = ((block * LOADS + step % LOADS) * WORKGROUP + thread) * PER_LOAD;
        var packed = vec2<u32>();
        for (var t = 0u; t < PER_LOAD; t++) { // @unroll
          var distance = 0u;
          for (var w = 0u; w < QUERY_WORDS; w++) { // @unroll
            distance += countOneBits(tokens[t * WORDS + w % WORDS] ^ query[w]);
          }
          packed[t * FIELD / 32u] |= distance << (t * FIELD % 32u);
          if (first + t >= SINK && first + t < recent_start) {
            let word = step / LOADS * RANK_WORDS + distance / 2u;
            atomicAdd(&counts[word], 1u << (16u * (distance % 2u)));
          }
        }
        packed.x <<= thread % SHARERS * LOAD_BITS % 32u;
        for (var s = 0u; s < firstTrailingBit(SHARERS); s++) { // @unroll
          packed.x |= subgroupShuffleXor(packed.x, 1u << s);
        }
        if (thread % SHARERS == 0u && first < CAPACITY) {
          let at = (list * CAPACITY + first) * DISTANCE_BYTES / 4u;
          distances[at] = packed.x;
          if (LOAD_BITS > 32u) {
            distances[at + 1u] = packed.y;
          }
        }
      }
    }
  }
  workgroupBarrier();

  // 6. Turn the histograms into ranks.
  counts_to_ranks(thread);
  workgroupBarrier();

  // 7. Store the ranks.
  store_ranks(list, wid.x, rounds, thread);
}
