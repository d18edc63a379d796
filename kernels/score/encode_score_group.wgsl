// Encode and score in one dispatch, for a code that the query heads of a group share (HATA).
//
// Dispatch (SPLITS + 1, code heads, batch): each of the first SPLITS workgroups encodes the list's
// queries for itself, which costs less than a dispatch, and scores every SPLITS-th block. The last
// one encodes the newest key meanwhile and appends its code; so the newest token, length - 1, is in
// neither distances nor ranks: who selects adds it (see select_gather_group.wgsl).
// The map has one layer. It is read once, in 16-byte loads that are all in flight with AHEAD loads
// of codes, and goes through workgroup memory in STAGES turns: there a thread owns a word of weights
// (two outputs of f16, or one) of every SLICES-th input, for four queries as one vec4f.
// A distance is the sum over the list's queries. Scoring meets no barrier: each block has a
// histogram of its middle tokens (neither sink nor recent) in workgroup memory, two counts to a word.
// At the end each becomes a row of ranks, entry d being the tokens at distance d or less; the rows'
// sums over all blocks are added up in rank_totals, where the cut is found without a look at blocks.
// Whoever attends the list leaves these totals at zero.
// Subgroups are consecutive threads, of at least SUBGROUP_MIN.
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

const WIDTH = 4u + 4u * MAP_DTYPE; // weights of a 16-byte load
const PER_WORD = 1u + MAP_DTYPE; // weights of a word
const COLUMNS = BITS / PER_WORD; // words of an input's weights
const MAP_LOADS = HEAD_DIM * BITS / WIDTH; // of the weights
const MAP_SIZE = MAP_LOADS + BITS / WIDTH; // with the biases
const STAGE_INPUTS = HEAD_DIM / STAGES;
const STAGE_SIZE = MAP_LOADS / STAGES;
const STAGE_LOADS = (STAGE_SIZE + WORKGROUP - 1u) / WORKGROUP; // per thread
const THREAD_LOADS = STAGES * STAGE_LOADS;
const THREAD_INPUTS = (STAGE_INPUTS + SLICES - 1u) / SLICES; // of a stage
const EVEN = SLICES * COLUMNS == WORKGROUP && STAGE_INPUTS % SLICES == 0u; // no thread idles
const QUADS = (QUERIES_PER_LIST + 3u) / 4u; // of queries
const SUMS = QUADS * PER_WORD;
const INPUT_TURNS = (QUADS * HEAD_DIM + WORKGROUP - 1u) / WORKGROUP;

const WORDS = BITS / 32u;
const QUERY_WORDS = QUERIES_PER_LIST * WORDS;
const PER_LOAD = 4u / WORDS; // tokens
const LOADS = BLOCK / PER_LOAD / WORKGROUP; // of a block per thread
const ROW_LOADS = CAPACITY / PER_LOAD;
const BLOCKS = (CAPACITY + BLOCK - 1u) / BLOCK;
const ROUNDS = (BLOCKS + SPLITS - 1u) / SPLITS; // most blocks of a workgroup
const FIELD = 8u * DISTANCE_BYTES; // bits of a packed distance
const LOAD_BITS = FIELD * PER_LOAD;
const MEETING = max(32u / LOAD_BITS, 1u); // threads whose distances share a word
const MEETING_STEPS = u32(MEETING > 1u) + u32(MEETING > 2u);
const BINS = BITS * QUERIES_PER_LIST + 1u;
const RANK_WORDS = (BINS + 1u) / 2u; // of a row
const SEGMENTS = WORKGROUP / SUBGROUP_MIN; // threads that make a row's ranks together
const SEGMENT_WORDS = (RANK_WORDS + SUBGROUP_MIN - 1u) / SUBGROUP_MIN; // per thread
const SEGMENT_STEPS = 2u + u32(SUBGROUP_MIN > 4u) + u32(SUBGROUP_MIN > 8u) + u32(SUBGROUP_MIN > 16u) + u32(SUBGROUP_MIN > 32u) + u32(SUBGROUP_MIN > 64u);
const TURNS = (ROUNDS + SEGMENTS - 1u) / SEGMENTS;
const FOUR = 4u;
const LISTS = BATCH * CODE_HEADS;

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read> q: array<f32>;
@group(0) @binding(2) var<storage, read> keys: array<u32>;
@group(0) @binding(3) var<storage, read> query_map: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read> key_map: array<vec4<u32>>;
@group(0) @binding(5) var<storage, read_write> codes: array<vec4<u32>>;
@group(0) @binding(6) var<storage, read_write> distances: array<u32>;
@group(0) @binding(7) var<storage, read_write> list_state: ListState;

/// What the score leaves of each list, see layout.ts.
struct ListState {
  query_codes: array<u32, LISTS * QUERY_WORDS>,
  newest_codes: array<u32, LISTS * WORDS>,
  rank_totals: array<atomic<u32>, LISTS * BINS>, // zero before the step
  block_ranks: array<u32, LISTS * BLOCKS * RANK_WORDS>,
}

var<workgroup> inputs: array<vec4f, QUADS * HEAD_DIM>; // of four queries each
var<workgroup> staged: array<vec4<u32>, max(STAGE_SIZE, SLICES * BITS)>; // weights, then sums
var<workgroup> code: array<atomic<u32>, 4u * QUADS * WORDS>;
var<workgroup> counts: array<atomic<u32>, ROUNDS * RANK_WORDS>;

/// Element d of four queries, the last one repeated.
fn query_input(first_head: u32, quad: u32, d: u32) -> vec4f {
  var of_four = vec4f();
  for (var i = 0u; i < FOUR; i++) { // @unroll
    of_four[i] = q[(first_head + min(4u * quad + i, QUERIES_PER_LIST - 1u)) * HEAD_DIM + d];
  }
  return of_four;
}

/// Element `at` of the keys.
fn key_input(at: u32) -> f32 {
  if (KV_DTYPE == 0u) { return bitcast<f32>(keys[at]); }
  let word = keys[at / 2u];
  if (KV_DTYPE == 1u) { return unpack2x16float(word)[at % 2u]; }
  return bitcast<f32>((word >> (16u * (at % 2u))) << 16u);
}

/// Where load `step` of a thread lies in the list's codes, whatever the length.
fn code_place(split: u32, step: u32, thread: u32) -> u32 {
  let block = step / LOADS * SPLITS + split;
  return min((block * LOADS + step % LOADS) * WORKGROUP + thread, ROW_LOADS - 1u);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) thread: u32,
  @builtin(subgroup_invocation_id) lane: u32) {
  let list = wid.z * CODE_HEADS + wid.y;
  let is_key = wid.x == SPLITS;
  let length = lengths[wid.z];
  let newest = length - 1u;

  // Everything that needs no length is in flight before anything is used.
  let base = wid.y * MAP_SIZE;
  let bias_place = base + MAP_LOADS + min(thread, BITS - 1u) / WIDTH;
  var found_inputs: array<vec4f, INPUT_TURNS>;
  var map: array<vec4<u32>, THREAD_LOADS>;
  var biases: vec4<u32>;
  if (is_key) {
    for (var i = 0u; i < THREAD_LOADS; i++) { // @unroll
      map[i] = key_map[base + i / STAGE_LOADS * STAGE_SIZE + min(i % STAGE_LOADS * WORKGROUP + thread, STAGE_SIZE - 1u)];
    }
    biases = key_map[bias_place];
    for (var i = 0u; i < INPUT_TURNS; i++) { // @unroll
      let d = (i * WORKGROUP + thread) % HEAD_DIM;
      let head = list * QUERIES_PER_LIST / GROUP;
      found_inputs[i] = vec4f(key_input((head * CAPACITY + newest) * HEAD_DIM + d));
    }
  } else {
    for (var i = 0u; i < INPUT_TURNS; i++) { // @unroll
      let at = min(i * WORKGROUP + thread, QUADS * HEAD_DIM - 1u);
      found_inputs[i] = query_input(list * QUERIES_PER_LIST, at / HEAD_DIM, at % HEAD_DIM);
    }
    for (var i = 0u; i < THREAD_LOADS; i++) { // @unroll
      map[i] = query_map[base + i / STAGE_LOADS * STAGE_SIZE + min(i % STAGE_LOADS * WORKGROUP + thread, STAGE_SIZE - 1u)];
    }
    biases = query_map[bias_place];
  }
  var found_codes: array<vec4<u32>, AHEAD>;
  for (var i = 0u; i < AHEAD; i++) { // @unroll
    found_codes[i] = codes[list * ROW_LOADS + code_place(wid.x, i, thread)];
  }

  for (var i = 0u; i < INPUT_TURNS; i++) { // @unroll
    if (i * WORKGROUP + thread < QUADS * HEAD_DIM) {
      inputs[i * WORKGROUP + thread] = found_inputs[i];
    }
  }
  let column = thread % COLUMNS;
  let slice = thread / COLUMNS;
  var sums = array<vec4f, SUMS>();
  for (var stage = 0u; stage < STAGES; stage++) { // @unroll
    if (stage > 0u) { workgroupBarrier(); }
    for (var i = 0u; i < STAGE_LOADS; i++) { // @unroll
      if (i * WORKGROUP + thread < STAGE_SIZE) {
        staged[i * WORKGROUP + thread] = map[stage * STAGE_LOADS + i];
      }
    }
    workgroupBarrier();
    for (var i = 0u; i < THREAD_INPUTS; i++) { // @unroll
      let input = i * SLICES + slice;
      if (EVEN || (slice < SLICES && input < STAGE_INPUTS)) {
        let word = staged[(input * COLUMNS + column) / 4u][column % 4u];
        let weights = select(unpack2x16float(word), vec2f(bitcast<f32>(word), 0.0), MAP_DTYPE == 0u);
        for (var s = 0u; s < SUMS; s++) { // @unroll
          sums[s] += weights[s % PER_WORD] * inputs[s / PER_WORD * HEAD_DIM + stage * STAGE_INPUTS + input];
        }
      }
    }
  }
  // Add up the slices, four queries at a time.
  var bias = bitcast<vec4f>(biases)[thread % 4u];
  if (MAP_DTYPE == 1u) {
    bias = unpack2x16float(biases[thread % WIDTH / 2u])[thread % 2u];
  }
  for (var quad = 0u; quad < QUADS; quad++) { // @unroll
    workgroupBarrier();
    for (var i = 0u; i < PER_WORD; i++) { // @unroll
      if (slice < SLICES) {
        staged[slice * BITS + column * PER_WORD + i] = bitcast<vec4<u32>>(sums[quad * PER_WORD + i]);
      }
    }
    workgroupBarrier();
    var y = vec4f(bias);
    for (var s = 0u; s < SLICES; s++) { // @unroll
      y += bitcast<vec4f>(staged[s * BITS + min(thread, BITS - 1u)]);
    }
    for (var i = 0u; i < FOUR; i++) { // @unroll
      let ones = subgroupBallot(y[i] > 0.0);
      if (lane % 32u == 0u && thread < BITS) {
        atomicOr(&code[(4u * quad + i) * WORDS + thread / 32u], ones[lane / 32u] << (thread % 32u));
      }
    }
  }
  workgroupBarrier();
  if (is_key) {
    if (thread == 0u) { // alone: to store a part of a vector may store all of it
      for (var w = 0u; w < WORDS; w++) {
        let at = (list * CAPACITY + newest) * WORDS + w;
        codes[at / 4u][at % 4u] = atomicLoad(&code[w]);
        list_state.newest_codes[list * WORDS + w] = atomicLoad(&code[w]);
      }
    }
    return;
  }
  if (wid.x == 0u && thread < QUERY_WORDS) {
    list_state.query_codes[list * QUERY_WORDS + thread] = atomicLoad(&code[thread]);
  }

  var query: array<u32, QUERY_WORDS>;
  for (var i = 0u; i < QUERY_WORDS; i++) { // @unroll
    query[i] = atomicLoad(&code[i]);
  }
  let recent_start = min(length - min(RECENT, length), newest);
  let blocks = (length + BLOCK - 1u) / BLOCK;
  let rounds = (max(blocks, wid.x) - wid.x + SPLITS - 1u) / SPLITS;
  let steps = rounds * LOADS;
  for (var start = 0u; start < steps; start += AHEAD) {
    for (var i = 0u; i < AHEAD; i++) { // @unroll
      let step = start + i;
      if (step < steps) {
        let four = found_codes[i];
        // Past the last step it is loaded once more: that is cached, and no branch holds it up.
        found_codes[i] = codes[list * ROW_LOADS + code_place(wid.x, min(step + AHEAD, steps - 1u), thread)];
        let block = step / LOADS * SPLITS + wid.x;
        let first = ((block * LOADS + step % LOADS) * WORKGROUP + thread) * PER_LOAD;
        var packed = vec2<u32>();
        for (var t = 0u; t < PER_LOAD; t++) { // @unroll
          var found = 0u;
          for (var w = 0u; w < QUERY_WORDS; w++) { // @unroll
            found += countOneBits(four[t * WORDS + w % WORDS] ^ query[w]);
          }
          packed[t * FIELD / 32u] |= found << (t * FIELD % 32u);
          if (first + t >= SINK && first + t < recent_start) {
            atomicAdd(&counts[step / LOADS * RANK_WORDS + found / 2u], 1u << (16u * (found % 2u)));
          }
        }
        packed.x <<= thread % MEETING * LOAD_BITS % 32u;
        for (var s = 0u; s < MEETING_STEPS; s++) { // @unroll
          packed.x |= subgroupShuffleXor(packed.x, 1u << s);
        }
        if (thread % MEETING == 0u && first < CAPACITY) {
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

  // Ranks: SUBGROUP_MIN threads make a row, each of neighbouring words.
  let segment_lane = thread % SUBGROUP_MIN;
  for (var turn = 0u; turn < TURNS; turn++) { // @unroll
    let row = turn * SEGMENTS + thread / SUBGROUP_MIN;
    let words = select(0u, RANK_WORDS - min(segment_lane * SEGMENT_WORDS, RANK_WORDS), row < ROUNDS);
    let first = min(row, ROUNDS - 1u) * RANK_WORDS + min(segment_lane * SEGMENT_WORDS, RANK_WORDS);
    var own = 0u;
    for (var w = 0u; w < SEGMENT_WORDS; w++) { // @unroll
      let word = atomicLoad(&counts[min(first + w, ROUNDS * RANK_WORDS - 1u)]);
      own += select(0u, (word & 0xffffu) + (word >> 16u), w < words);
    }
    var upto = own;
    for (var s = 0u; s < SEGMENT_STEPS; s++) { // @unroll
      let other = subgroupShuffleUp(upto, 1u << s);
      upto += select(0u, other, segment_lane >= (1u << s));
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
  workgroupBarrier();
  for (var i = thread; i < rounds * RANK_WORDS; i += WORKGROUP) {
    let block = i / RANK_WORDS * SPLITS + wid.x;
    list_state.block_ranks[(list * BLOCKS + block) * RANK_WORDS + i % RANK_WORDS] = atomicLoad(&counts[i]);
  }
  for (var bin = thread; bin < BINS; bin += WORKGROUP) {
    var total = 0u;
    for (var round = 0u; round < ROUNDS; round++) { // @unroll
      total += (atomicLoad(&counts[round * RANK_WORDS + bin / 2u]) >> (16u * (bin % 2u))) & 0xffffu;
    }
    if (total > 0u) {
      atomicAdd(&list_state.rank_totals[list * BINS + bin], total);
    }
  }
}
