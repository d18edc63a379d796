// decayed.wgsl: decode attention with forget gates, which add a decay to each logit (the Forgetting
// Transformer), over the tokens that are not too far decayed to matter (adaptive computation
// pruning). dense/split_subgroup.wgsl, plus the newest gate, the decays, and the end where all is
// pruned.
//
// Dispatch (SPLITS, lists, batch). A list is HEADS query heads of one KV head: all of its group, or
// a part of the group where registers run short. A workgroup reads its share of K and V once for
// the whole list, and stores one unnormalised partial (acc, m, l) per query head.
//
// The decay from token j to the newest one is the sum of the log gates of all later tokens. A sum
// over 2^17 tokens in f32 leaves no precision to near ones. So tokens are in blocks of DECAY_BLOCK,
// and the decay is a sum of parts of one sign, which lose none:
//   from j to the end of its block, or to the newest token: decays
//   over each later block: block_decays
// The block of the newest token changes with each step, from one half of decay_state to the other,
// so that a step may be repeated. The first workgroups of a list append the newest gate. Nobody
// uses what they write: all add the gate to the old half themselves.
//
// A block is pruned if the decay from its last token is below
//   -(2 U + ln length) + LN_EPS, U = |q| * the largest |k| of all tokens / sqrt(HEAD_DIM).
// A logit without decay is in -U .. U. So a pruned weight is at most eps / length of the newest
// token's, and all of them together are at most eps of the sum. Decays fall with the distance: the
// blocks that are left are the last ones. The threshold moves with q and the length, so that a
// pruned block may come back. A list ends where its last query head does; the others lose nothing
// by more tokens.
//
// LANES threads share a row in 16-byte loads: a row group. ROWS row groups work side by side, each
// with TOKENS rows in flight and a running softmax of its own. Of the tile's TOKENS * HEADS decays
// each lane loads its own ones, and adds them to its parts of the dots.
// Subgroup shuffles sum the dots. So LANES is a power of two that divides the subgroup size, and a
// subgroup is consecutive threads. Logits are in log2 units.
//
// HAND_OVER selects how the partials of a list are joined:
//   0  merge/join_splits.wgsl joins them in a dispatch of its own. WGSL guarantees that this works.
//   1  The last workgroup to arrive joins them, from plain memory. No workgroup waits, and no other
//      dispatch costs time. But storageBarrier() has to order memory for the whole device: naga's
//      SPIR-V does so, WGSL does not promise it.
//   2  The same from atomics. Devices keep them coherent, though WGSL does not order them.
//
// 1. Load the newest tile, the queries and the newest key.
// 2. Compute the thresholds, and append the newest gate.
// 3. Sum the decays of a chunk of blocks, a block per thread, and find where it is pruned. Subgroup
//    shuffles add up the blocks of a row group.
// 4. Load the next tile, towards the first token.
// 5. Compute the logits of the current tile.
// 6. Update the running softmax with them. Repeat 4 to 6 for all tiles of the split in the chunk,
//    and 3 to 6 for all chunks until one is pruned.
// 7. Join the row groups and store the partials.
// 8. In the last workgroup to arrive, join the splits and store the output.
const HEAD_DIM: u32 = 128u; // @param
const BATCH: u32 = 1u; // @param sequences
const GROUP: u32 = 4u; // @param query heads per KV head
const KV_HEADS: u32 = 8u; // @param
const HEADS: u32 = 4u; // @param query heads of a list
const CAPACITY: u32 = 1024u; // @param tokens a cache row block holds
const KV_DTYPE: u32 = 1u; // @param 0 f32, 1 f16, 2 bf16
const DECAY_BLOCK: u32 = 128u; // @param tokens per block of decays
const PRUNE: u32 = 1u; // @param 0 to attend all tokens
const WORKGROUP: u32 = 128u; // @param
const LANES: u32 = 16u; // @param threads per row
const TOKENS: u32 = 2u; // @param rows in flight per thread
const PREFETCH: u32 = 1u; // @param 1 to load a tile ahead
const JOINED: u32 = 4u; // @param heads whose row groups are joined at a time
const SPLITS: u32 = 8u; // @param
const HAND_OVER: u32 = 1u; // @param 0 dispatch, 1 barrier, 2 atomics

// @shared cache_strides
// Rows of K and V. Strides are in 16-byte loads, or all 0 for [B, KV_HEADS, CAPACITY, HEAD_DIM].
const OUTER_STRIDE: u32 = 0u; // @param from a sequence, or a page, to the next
const HEAD_STRIDE: u32 = 0u; // @param from a KV head to the next
const TOKEN_STRIDE: u32 = 0u; // @param from a token to the next
const TABLE_BITS: u32 = 0u; // @param log2 of the tokens of a page; 0 without a page table
const KV_WIDTH = 4u + 4u * u32(KV_DTYPE != 0u); // values of a load
const KV_LOADS = HEAD_DIM / KV_WIDTH; // loads of a row
// @end
// @shared row_layout
const WIDTH = 4u + 4u * u32(KV_DTYPE != 0u); // values of a 16-byte load
const QUADS = WIDTH / 4u; // vec4f of a load
const ROW_LOADS = HEAD_DIM / WIDTH; // loads of a row
const CHUNKS = (ROW_LOADS + LANES - 1u) / LANES; // loads of a row per thread
const PARTS = CHUNKS * QUADS; // vec4f of a row per thread
const ROWS = WORKGROUP / LANES; // rows that the workgroup reads side by side
const LOADS = TOKENS * CHUNKS; // loads in flight per thread
const HEAD_QUADS = HEAD_DIM / 4u;
// @end
const TILE = ROWS * TOKENS;
const LOGITS = TOKENS * HEADS;
const DECAYS = (LOGITS + LANES - 1u) / LANES; // decays that a lane loads
const BLOCKS = (CAPACITY + DECAY_BLOCK - 1u) / DECAY_BLOCK;
const BLOCK_TILES = DECAY_BLOCK / TILE; // tiles of a block
const STATE = DECAY_BLOCK + 2u; // the block's decay, its tokens' decays, the largest |k|
const STATE_LOADS = (DECAY_BLOCK + 1u + WORKGROUP - 1u) / WORKGROUP; // of the decays, per thread
const LN_EPS = -10.0;
const SAFETY = 1.00001; // of U, for the rounding of norms
const JOIN_TURNS = (HEADS + JOINED - 1u) / JOINED;
const OUT_QUADS = HEADS * HEAD_QUADS; // vec4f of the list's output
const SLICES = max(WORKGROUP / OUT_QUADS, 1u); // slices of the splits, joined side by side
const SLICE_THREADS = WORKGROUP / SLICES;
const SLICE_SPLITS = (SPLITS + SLICES - 1u) / SLICES;
const SPLITS_IN_FLIGHT = min(SLICE_SPLITS, 16u); // splits that a thread loads at a time
const Q_HEADS = KV_HEADS * GROUP;
const KV_LISTS = (GROUP + HEADS - 1u) / HEADS; // lists of a KV head
const LISTS = BATCH * KV_HEADS * KV_LISTS;
const LIST_HEADS = HEADS; // query heads of a list
// @shared hand_over_sizes
const PARTIAL_QUADS = HEAD_QUADS + 1u; // acc, then (m, l, 0, 0)
const LINE_QUADS = 8u; // of a cache line: no two lists share one, see HandOver
const LIST_LINES = (LIST_HEADS * SPLITS * PARTIAL_QUADS + LINE_QUADS - 1u) / LINE_QUADS;
const LIST_QUADS = LIST_LINES * LINE_QUADS;
const ALL_QUADS = LISTS * LIST_QUADS;
const ATOMIC_WORDS = max(64u - LISTS % 64u, 4u * ALL_QUADS * u32(HAND_OVER == 2u));
const PLAIN_QUADS = max(1u, ALL_QUADS * u32(HAND_OVER != 2u));
// @end
// @shared softmax
const NEG_LARGE = -1e30; // in place of minus infinity, for which WGSL promises nothing
const LOG2_E = 1.4426950408889634; // logits are in log2 units
// @end
// @shared logit_scale
const SCALE = LOG2_E / sqrt(f32(HEAD_DIM)); // from a dot to a logit
// @end

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read> q: array<vec4f>;
@group(0) @binding(2) var<storage, read> keys: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> values: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read_write> decay_state: array<f32>;
@group(0) @binding(5) var<storage, read_write> decays: array<f32>;
@group(0) @binding(6) var<storage, read_write> block_decays: array<f32>;
@group(0) @binding(7) var<uniform> log_gates: array<vec4f, (BATCH * Q_HEADS + 3u) / 4u>;
@group(0) @binding(8) var<uniform> sink_logits: array<vec4f, (Q_HEADS + 3u) / 4u>;
@group(0) @binding(9) var<storage, read_write> hand_over: HandOver;
@group(0) @binding(10) var<storage, read_write> out: array<vec4f>;

// @shared hand_over
/// Partials that the workgroups of a list hand over. One of the two arrays is used.
///
/// A barrier does not drop what a processor has cached. So nobody reads a line of partials before
/// all of its list have arrived, and each list begins a line of its own.
struct HandOver {
  arrivals: array<atomic<u32>, LISTS>, // zero between steps
  words: array<atomic<u32>, ATOMIC_WORDS>,
  partials: array<vec4f, PLAIN_QUADS>,
}
// @end

var<workgroup> scratch: array<vec4f, max(JOINED * ROWS * HEAD_QUADS, WORKGROUP)>;
var<workgroup> stats: array<vec2f, max(HEADS * ROWS, WORKGROUP)>; // (m, l)
var<workgroup> is_last: u32;
var<workgroup> block_sums: array<f32, HEADS * WORKGROUP>; // of a chunk, then of later blocks
var<workgroup> row_sums: array<f32, HEADS * ROWS>;
var<workgroup> later: array<f32, HEADS>; // the decay over all blocks after the chunk
var<workgroup> thresholds: array<f32, HEADS>;
var<workgroup> kept: atomic<u32>; // blocks of the chunk
var<workgroup> chunk_kept: u32; // the same, to be loaded uniformly

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

// @shared store_out
/// Stores a quad of the output.
fn store_out(at: u32, quad: vec4f) {
  out[at] = quad;
}
// @end

// @shared store_partial
/// Stores a quad of a partial for the workgroup that joins the splits.
fn store_partial(at: u32, quad: vec4f) {
  if (HAND_OVER == 2u) {
    let words = bitcast<vec4<u32>>(quad);
    atomicStore(&hand_over.words[at * 4u], words.x);
    atomicStore(&hand_over.words[at * 4u + 1u], words.y);
    atomicStore(&hand_over.words[at * 4u + 2u], words.z);
    atomicStore(&hand_over.words[at * 4u + 3u], words.w);
  } else {
    hand_over.partials[at] = quad;
  }
}

/// Loads a quad of a partial that was handed over by atomics. Plain partials are read where they
/// are needed: compilers issue such loads together only if no branch stands between them.
fn atomic_partial(at: u32) -> vec4f {
  let x = atomicLoad(&hand_over.words[at * 4u]);
  let y = atomicLoad(&hand_over.words[at * 4u + 1u]);
  let z = atomicLoad(&hand_over.words[at * 4u + 2u]);
  let w = atomicLoad(&hand_over.words[at * 4u + 3u]);
  return bitcast<vec4f>(vec4<u32>(x, y, z, w));
}
// @end

// @shared atomic_stats
/// Loads m and l of a partial that was handed over by atomics.
fn atomic_stats(at: u32) -> vec2f {
  let m = atomicLoad(&hand_over.words[at * 4u]);
  let l = atomicLoad(&hand_over.words[at * 4u + 1u]);
  return bitcast<vec2f>(vec2<u32>(m, l));
}
// @end

// @shared row_quad
/// Where a lane's chunk `chunk` lies in a row, in loads from place `lane`. Lanes that are left over
/// at the end of a row repeat its last load. They make of it what the lane makes that owns it, but
/// their part of the query is zero, so that dots count the load once.
fn chunk_offset(chunk: u32, lane: u32) -> u32 {
  if (ROW_LOADS % LANES == 0u) {
    return chunk * LANES;
  }
  return min(chunk * LANES + lane, ROW_LOADS - 1u) - lane; // may wrap around below zero
}

/// The quad of a row that a lane holds as its part `part`.
fn row_quad(part: u32, lane: u32) -> u32 {
  return (chunk_offset(part / QUADS, lane) + lane) * QUADS + part % QUADS;
}
// @end

// @shared query_scale
/// The factor of a lane's part of a query: the scale of logits, or zero where the lane repeats the
/// last load of the row.
fn query_scale(part: u32, lane: u32) -> f32 {
  let is_own = part / QUADS * LANES + lane < ROW_LOADS;
  return select(0.0, SCALE, is_own);
}
// @end

// @shared joined_m
/// Maximum of head `h` over all row groups.
fn joined_m(h: u32) -> f32 {
  var m = NEG_LARGE;
  for (var r = 0u; r < ROWS; r++) { // @unroll
    m = max(m, stats[r * LIST_HEADS + h].x);
  }
  return m;
}
// @end

/// Joins the row groups of JOINED heads, whose accumulators are in scratch, into the partials of
/// this split.
fn join_heads(turn: u32, list: u32, split: u32, thread: u32) {
  for (var column = thread; column < JOINED * HEAD_QUADS; column += WORKGROUP) {
    let place = column / HEAD_QUADS;
    let h = min(turn * JOINED + place, HEADS - 1u);
    let m = joined_m(h);
    var l = 0.0;
    var acc = vec4f(0.0);
    for (var r = 0u; r < ROWS; r++) { // @unroll
      let alpha = exp2(stats[r * HEADS + h].x - m);
      l += stats[r * HEADS + h].y * alpha;
      acc += scratch[(place * ROWS + r) * HEAD_QUADS + column % HEAD_QUADS] * alpha;
    }
    let first = list * LIST_QUADS + (h * SPLITS + split) * PARTIAL_QUADS;
    store_partial(first + column % HEAD_QUADS, acc);
    if (column % HEAD_QUADS == 0u) {
      store_partial(first + HEAD_QUADS, vec4f(m, l, 0.0, 0.0));
    }
  }
}

// @shared arrives_last
/// Counts this workgroup's arrival. True if it is the last one of its list to arrive.
fn arrives_last(list: u32, thread: u32) -> bool {
  storageBarrier();
  if (thread == 0u) {
    is_last = u32(atomicAdd(&hand_over.arrivals[list], 1u) == SPLITS - 1u);
  }
  return workgroupUniformLoad(&is_last) != 0u;
}
// @end

// @shared join_list
/// Joins the partials of all splits of a list into the output, one output vec4f per thread of a
/// slice. Slice i takes every SLICES-th split, beginning with split i.
fn join_splits(list: u32, first_head: u32, last_head: u32, thread: u32) {
  let slice = thread / SLICE_THREADS;
  for (var turn = 0u; turn < OUT_QUADS; turn += SLICE_THREADS) {
    let column = turn + thread % SLICE_THREADS;
    let h = min(column, OUT_QUADS - 1u) / HEAD_QUADS;
    var m = NEG_LARGE;
    var l = 0.0;
    var acc = vec4f(0.0);
    for (var start = 0u; start < SLICE_SPLITS; start += SPLITS_IN_FLIGHT) {
      // All loads are in flight before the first use: the join is bound by latency.
      var split_acc: array<vec4f, SPLITS_IN_FLIGHT>;
      var split_stats: array<vec2f, SPLITS_IN_FLIGHT>;
      if (HAND_OVER == 2u) {
        for (var i = 0u; i < SPLITS_IN_FLIGHT; i++) { // @unroll
          let split = min((start + i) * SLICES + slice, SPLITS - 1u);
          let first = list * LIST_QUADS + (h * SPLITS + split) * PARTIAL_QUADS;
          split_acc[i] = atomic_partial(first + column % HEAD_QUADS);
          split_stats[i] = atomic_stats(first + HEAD_QUADS);
        }
      } else {
        for (var i = 0u; i < SPLITS_IN_FLIGHT; i++) { // @unroll
          let split = min((start + i) * SLICES + slice, SPLITS - 1u);
          let first = list * LIST_QUADS + (h * SPLITS + split) * PARTIAL_QUADS;
          split_acc[i] = hand_over.partials[first + column % HEAD_QUADS];
          split_stats[i] = hand_over.partials[first + HEAD_QUADS].xy;
        }
      }
      for (var i = 0u; i < SPLITS_IN_FLIGHT; i++) { // @unroll
        let is_split = (start + i) * SLICES + slice < SPLITS;
        split_stats[i] = select(vec2f(NEG_LARGE, 0.0), split_stats[i], is_split);
      }
      let m_old = m;
      for (var i = 0u; i < SPLITS_IN_FLIGHT; i++) { // @unroll
        m = max(m, split_stats[i].x);
      }
      l *= exp2(m_old - m);
      acc *= exp2(m_old - m);
      for (var i = 0u; i < SPLITS_IN_FLIGHT; i++) { // @unroll
        let alpha = select(exp2(split_stats[i].x - m), 0.0, split_stats[i].y == 0.0);
        l += split_stats[i].y * alpha;
        acc += split_acc[i] * alpha;
      }
    }

    scratch[thread] = acc;
    stats[thread] = vec2f(m, l);
    workgroupBarrier();
    let head = first_head + h;
    if (slice == 0u && column < OUT_QUADS && head <= last_head) {
      store_out(
        head * HEAD_QUADS + column % HEAD_QUADS,
        joined_output(head % Q_HEADS, thread),
      );
    }
    workgroupBarrier();
  }
}

/// Joins what the slices left in scratch and stats into a vec4f of the output, with the sink logit
/// of head `own_head` of the sequence. The output is zero where a sequence has no tokens.
fn joined_output(own_head: u32, thread: u32) -> vec4f {
  let sink = sink_logits[own_head / 4u][own_head % 4u] * LOG2_E;
  var m = max(sink, NEG_LARGE);
  for (var s = 0u; s < SLICES; s++) { // @unroll
    m = max(m, stats[s * SLICE_THREADS + thread].x);
  }
  var l = 0.0;
  var acc = vec4f(0.0);
  for (var s = 0u; s < SLICES; s++) { // @unroll
    let alpha = exp2(stats[s * SLICE_THREADS + thread].x - m);
    l += stats[s * SLICE_THREADS + thread].y * alpha;
    acc += scratch[s * SLICE_THREADS + thread] * alpha;
  }
  let attends = !(l <= 0.0); // a NaN goes on
  l += select(exp2(sink - m), 0.0, sink <= NEG_LARGE);
  return select(vec4f(0.0), acc / l, attends);
}
// @end

// @shared list_head
/// Query head `h` of the list that begins with `first_head`.
fn list_head(first_head: u32, h: u32) -> u32 {
  return min(first_head + h, first_head / GROUP * GROUP + GROUP - 1u);
}
// @end

// @shared newest_gate
/// The newest log gate of a query head.
fn newest_gate(head: u32) -> f32 {
  return log_gates[head / 4u][head % 4u];
}
// @end

// @shared token_decay
/// The decay from a token to the end of its block, or to the newest token. Both are loaded, since a
/// branch would stand between loads that are in flight together.
fn token_decay(head: u32, token: u32, newest: u32) -> f32 {
  let at = (2u * head + newest % 2u) * STATE + 1u + token % DECAY_BLOCK;
  let of_newest = select(decay_state[at] + newest_gate(head), 0.0, token == newest);
  let is_older = token / DECAY_BLOCK < newest / DECAY_BLOCK;
  return select(of_newest, decays[head * CAPACITY + token], is_older);
}
// @end

/// Token `i` of a row group in the tile that begins with token `first`. What lies before `least` or
/// past the newest token repeats these.
fn tile_token(first: i32, i: u32, row: u32, least: i32, newest: u32) -> u32 {
  return u32(clamp(first + i32(i * ROWS + row), least, i32(newest)));
}

/// The logit of a row group to which a lane adds its decay `i`. Those past the last repeat it.
fn lane_logit(i: u32, lane: u32) -> u32 {
  return min(i * LANES + lane, LOGITS - 1u);
}

// @shared append_gate
/// Appends the newest gate of a query head. Entry 0 of a state is the decay of the newest token's
/// block, entry 1 + i that from its token i.
fn append_gate(head: u32, newest: u32, key_norm: f32, thread: u32) {
  let place = newest % DECAY_BLOCK;
  let block = newest / DECAY_BLOCK;
  let before = (2u * head + newest % 2u) * STATE;
  let after = (2u * head + (newest + 1u) % 2u) * STATE;
  let gate = newest_gate(head);
  for (var i = 0u; i < STATE_LOADS; i++) { // @unroll
    let entry = i * WORKGROUP + thread;
    let is_new = entry == place + 1u || place == 0u;
    let old = select(decay_state[before + min(entry, place)], 0.0, is_new);
    let decay = old + select(gate, 0.0, entry == place + 1u);
    if (entry < place + 2u) {
      decay_state[after + entry] = decay;
    }
    if (entry == 0u) {
      decay_state[after + STATE - 1u] = key_norm;
      block_decays[head * (BLOCKS + 2u) + 2u + block] = decay;
    } else if (entry < place + 2u) {
      decays[head * CAPACITY + block * DECAY_BLOCK + entry - 1u] = decay;
    }
  }
}
// @end

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let lane = thread % LANES;
  let row = thread / LANES;
  let list = wid.z * KV_HEADS * KV_LISTS + wid.y;
  let kv_head = list / KV_LISTS;
  // The last list of a group may be too long. It repeats the last head and stores its output once.
  let first_head = kv_head * GROUP + list % KV_LISTS * HEADS;
  let last_head = kv_head * GROUP + GROUP - 1u;
  let lane_base = head_start(kv_head) + lane;
  let length = lengths[wid.z];
  let newest = max(length, 1u) - 1u;
  let is_first = newest % DECAY_BLOCK == 0u; // of its block

  // 1. Load the newest tile, the queries and the newest key. Tiles go to the splits in turn, from
  // the newest one on, so that all workgroups of a head read one moving window.
  var tile = select(i32(newest / TILE) - i32(wid.x), -1, length == 0u);
  var k: array<vec4<u32>, LOADS>;
  var v: array<vec4<u32>, LOADS>;
  var bias: array<f32, DECAYS>;
  var next_k: array<vec4<u32>, LOADS>;
  var next_v: array<vec4<u32>, LOADS>;
  var next_bias: array<f32, DECAYS>;
  if (PREFETCH == 1u) {
    for (var load = 0u; load < LOADS; load++) { // @unroll
      let token = tile_token(tile * i32(TILE), load / CHUNKS, row, 0, newest);
      let at = lane_base + row_offset(kv_head, token) + chunk_offset(load % CHUNKS, lane);
      k[load] = keys[at];
      v[load] = values[at];
    }
    for (var i = 0u; i < DECAYS; i++) { // @unroll
      let own = lane_logit(i, lane);
      let token = tile_token(tile * i32(TILE), own / HEADS, row, 0, newest);
      bias[i] = token_decay(list_head(first_head, own % HEADS), token, newest);
    }
  }
  // Each thread has one block of the chunk: thread 0 the newest one.
  var chunk = newest / DECAY_BLOCK; // its newest block
  var decay: array<f32, HEADS>; // over the thread's block
  for (var h = 0u; h < HEADS; h++) { // @unroll
    let head = list_head(first_head, h);
    let older = block_decays[head * (BLOCKS + 2u) + 2u + chunk - min(thread, chunk)];
    let old = decay_state[(2u * head + newest % 2u) * STATE];
    let newest_decay = select(old, 0.0, is_first) + newest_gate(head);
    decay[h] = select(older, newest_decay, thread == 0u);
  }

  var query: array<vec4f, HEADS * PARTS>;
  var acc: array<vec4f, HEADS * PARTS>;
  var m: array<f32, HEADS>;
  var l: array<f32, HEADS>;
  var query_squares: array<f32, HEADS>;
  var key_squares = 0.0;
  for (var h = 0u; h < HEADS; h++) { // @unroll
    m[h] = NEG_LARGE;
    l[h] = 0.0;
    query_squares[h] = 0.0;
    for (var part = 0u; part < PARTS; part++) { // @unroll
      let quad = q[list_head(first_head, h) * HEAD_QUADS + row_quad(part, lane)];
      query[h * PARTS + part] = quad * query_scale(part, lane);
      query_squares[h] += dot(query[h * PARTS + part], query[h * PARTS + part]);
      acc[h * PARTS + part] = vec4f(0.0);
    }
  }
  for (var part = 0u; part < PARTS; part++) { // @unroll
    let at = lane_base + row_offset(kv_head, newest) + chunk_offset(part / QUADS, lane);
    let quad = widen(keys[at], part % QUADS);
    let is_own = part / QUADS * LANES + lane < ROW_LOADS;
    key_squares += select(0.0, dot(quad, quad), is_own);
  }

  // 2. Compute the thresholds, and append the newest gate. |q| comes with the scale of logits. What
  // threads have in common lies in workgroup memory: the tiles need all registers.
  for (var step = 0u; step < firstTrailingBit(LANES); step++) { // @unroll
    key_squares += subgroupShuffleXor(key_squares, 1u << step);
  }
  for (var h = 0u; h < HEADS; h++) { // @unroll
    for (var step = 0u; step < firstTrailingBit(LANES); step++) { // @unroll
      query_squares[h] += subgroupShuffleXor(query_squares[h], 1u << step);
    }
    let head = list_head(first_head, h);
    let older_norm = decay_state[(2u * head + newest % 2u) * STATE + STATE - 1u];
    let key_norm = max(sqrt(key_squares), select(older_norm, 0.0, newest == 0u));
    let bound = sqrt(query_squares[h]) / LOG2_E * key_norm * SAFETY;
    if (thread == 0u) {
      thresholds[h] = LN_EPS - (2.0 * bound + log(f32(newest + 1u)));
      later[h] = 0.0;
    }
    // The first workgroups of a list share its heads.
    if (wid.x == h % SPLITS && first_head + h <= last_head && length > 0u) {
      append_gate(head, newest, key_norm, thread);
    }
  }

  for (var go_on = length > 0u; go_on;) {
    // 3. Sum the decays of a chunk of blocks, and find where it is pruned.
    if (thread == 0u) {
      atomicStore(&kept, 0u);
    }
    // Each lane adds up the blocks of the lanes before it, the first one of all those before.
    var own: array<f32, HEADS>;
    for (var h = 0u; h < HEADS; h++) { // @unroll
      let block = select(0.0, decay[h], thread <= chunk);
      let before = subgroupShuffleUp(block, 1u);
      own[h] = select(before, 0.0, lane == 0u);
      if (thread == 0u) {
        own[h] = later[h];
      }
      for (var step = 0u; step < firstTrailingBit(LANES); step++) { // @unroll
        let other = subgroupShuffleUp(own[h], 1u << step);
        own[h] += select(0.0, other, lane >= (1u << step));
      }
      if (lane == LANES - 1u) {
        row_sums[h * ROWS + row] = own[h] + block;
      }
    }
    workgroupBarrier();
    var is_kept = PRUNE == 0u;
    for (var h = 0u; h < HEADS; h++) { // @unroll
      var all = 0.0;
      for (var r = 0u; r < ROWS; r++) { // @unroll
        own[h] += select(0.0, row_sums[h * ROWS + r], r < row);
        all += row_sums[h * ROWS + r];
      }
      if (thread == 0u) {
        later[h] = all;
      }
      block_sums[h * WORKGROUP + thread] = own[h];
      // Not below it: a NaN prunes nothing.
      is_kept = is_kept || !(own[h] < thresholds[h]);
    }
    if (is_kept && thread <= chunk) {
      atomicMax(&kept, thread + 1u);
    }
    workgroupBarrier();
    if (thread == 0u) {
      chunk_kept = atomicLoad(&kept);
    }
    let blocks = workgroupUniformLoad(&chunk_kept);
    let first_tile = i32((chunk + 1u - blocks) * BLOCK_TILES);
    for (var h = 0u; h < HEADS; h++) { // @unroll
      if (PRUNE == 1u && wid.x == 0u && thread == h && blocks > 0u) {
        let at = list_head(first_head, h) * (BLOCKS + 2u);
        block_decays[at] = f32((chunk + 1u - blocks) * DECAY_BLOCK);
        block_decays[at + 1u] = thresholds[h];
      }
    }
    go_on = blocks == WORKGROUP && chunk >= WORKGROUP;
    // Of pruned tiles that would be loaded ahead one row is read.
    let least = select(first_tile * i32(TILE), 0, go_on);

    for (; tile >= first_tile; tile -= i32(SPLITS)) {
      // 4. Load the next tile; without PREFETCH, the current one.
      let first = (tile - i32(SPLITS * PREFETCH)) * i32(TILE);
      for (var load = 0u; load < LOADS; load++) { // @unroll
        let token = tile_token(first, load / CHUNKS, row, least, newest);
        let at = lane_base + row_offset(kv_head, token) + chunk_offset(load % CHUNKS, lane);
        next_k[load] = keys[at];
        next_v[load] = values[at];
      }
      for (var i = 0u; i < DECAYS; i++) { // @unroll
        let own = lane_logit(i, lane);
        let token = tile_token(first, own / HEADS, row, least, newest);
        next_bias[i] = token_decay(list_head(first_head, own % HEADS), token, newest);
      }
      if (PREFETCH == 0u) {
        k = next_k;
        v = next_v;
        bias = next_bias;
      }

      // 5. Compute the logits of the current tile.
      var logits = array<f32, LOGITS>();
      for (var t = 0u; t < TOKENS; t++) { // @unroll
        for (var part = 0u; part < PARTS; part++) { // @unroll
          let k_quad = widen(k[t * CHUNKS + part / QUADS], part % QUADS);
          for (var h = 0u; h < HEADS; h++) { // @unroll
            logits[t * HEADS + h] += dot(k_quad, query[h * PARTS + part]);
          }
        }
      }
      // All tokens of a tile are of one block.
      let place = chunk - u32(tile) / BLOCK_TILES;
      for (var i = 0u; i < DECAYS; i++) { // @unroll
        let h = lane_logit(i, lane) % HEADS;
        bias[i] = (bias[i] + block_sums[h * WORKGROUP + place]) * LOG2_E;
      }
      for (var i = 0u; i < LOGITS; i++) { // @unroll
        logits[i] += select(0.0, bias[i / LANES], lane == i % LANES);
        for (var step = 0u; step < firstTrailingBit(LANES); step++) { // @unroll
          logits[i] += subgroupShuffleXor(logits[i], 1u << step);
        }
      }

      // 6. Update the running softmax.
      for (var h = 0u; h < HEADS; h++) { // @unroll
        var m_new = m[h];
        for (var t = 0u; t < TOKENS; t++) { // @unroll
          let inside = u32(tile) * TILE + t * ROWS + row <= newest;
          logits[t * HEADS + h] = select(NEG_LARGE, logits[t * HEADS + h], inside);
          m_new = max(m_new, logits[t * HEADS + h]);
        }
        let alpha = exp2(m[h] - m_new);
        m[h] = m_new;
        l[h] *= alpha;
        for (var part = 0u; part < PARTS; part++) { // @unroll
          acc[h * PARTS + part] *= alpha;
        }
        for (var t = 0u; t < TOKENS; t++) { // @unroll
          let inside = u32(tile) * TILE + t * ROWS + row <= newest;
          let p = select(0.0, exp2(logits[t * HEADS + h] - m_new), inside);
          l[h] += p;
          for (var part = 0u; part < PARTS; part++) { // @unroll
            acc[h * PARTS + part] += p * widen(v[t * CHUNKS + part / QUADS], part % QUADS);
          }
        }
      }
      if (PREFETCH == 1u) {
        k = next_k;
        v = next_v;
        bias = next_bias;
      }
    }

    // Go on with the next chunk, if this one was kept to its end.
    chunk = max(chunk, WORKGROUP) - WORKGROUP;
    for (var h = 0u; h < HEADS; h++) { // @unroll
      let blocks_begin = list_head(first_head, h) * (BLOCKS + 2u) + 2u;
      decay[h] = block_decays[blocks_begin + chunk - min(thread, chunk)];
    }
    workgroupBarrier();
  }

  // 7. Join the row groups and store the partials, JOINED heads at a time.
  if (lane == 0u) {
    for (var h = 0u; h < HEADS; h++) { // @unroll
      stats[row * HEADS + h] = vec2f(m[h], l[h]);
    }
  }
  workgroupBarrier();
  for (var turn = 0u; turn < JOIN_TURNS; turn++) { // @unroll
    for (var place = 0u; place < JOINED; place++) { // @unroll
      let h = min(turn * JOINED + place, HEADS - 1u);
      for (var part = 0u; part < PARTS; part++) { // @unroll
        let at = (place * ROWS + row) * HEAD_QUADS + row_quad(part, lane);
        scratch[at] = acc[h * PARTS + part];
      }
    }
    workgroupBarrier();
    join_heads(turn, list, wid.x, thread);
    workgroupBarrier();
  }

  // 8. The last workgroup to arrive joins the splits and stores the output.
  var joins = false;
  if (HAND_OVER != 0u) {
    joins = arrives_last(list, thread);
  }
  if (joins) {
    storageBarrier();
    if (thread == 0u) {
      atomicStore(&hand_over.arrivals[list], 0u);
    }
    join_splits(list, first_head, last_head, thread);
  }
}
