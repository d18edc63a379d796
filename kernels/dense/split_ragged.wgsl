// split_ragged.wgsl: split_subgroup.wgsl for sequences of unequal lengths.
//
// split_subgroup.wgsl gives every sequence as many workgroups, so a step waits for those of the
// longest one. Here SPLITS workgroups share out the tiles of all sequences. Tiles are numbered
// through: those of sequence 0, then those of sequence 1, and so on. Share w is the tiles from
// share_begin(w) on, and shares differ by one tile at most. A share may begin or end within a
// sequence and may hold whole sequences between. So a sequence has a portion in each of some
// consecutive shares. The host need not know the lengths.
//
// Dispatch (SPLITS, lists of a sequence). Workgroup w computes the portions of share w one by one.
// A portion that is a whole sequence gives its output at once. The other portions are joined by the
// last workgroup to arrive, and each workgroup knows from the lengths how many portions there are.
//
// Tiles of shares that lie whole in one sequence are dealt to these shares in turn, as in
// split_subgroup.wgsl, so that their workgroups read one moving window.
//
// The partials of a list are SPLITS + BATCH - 1 slots. From one portion to the next either the
// share or the sequence or both go up by one, so the portion of share w in sequence b has slot w +
// b. Each slot begins a cache line.
//
// HAND_OVER is that of split_subgroup.wgsl, but the dispatch is merge/join_ragged.wgsl.
//
// 1. Find the share: every subgroup adds up the tiles of the sequences, and the lane whose
//    sequences have the share's first tile says where it lies.
// 2. For each portion: load the first tile and the queries.
// 3. Attend the tiles. The steps in the shared text have the numbers of split_subgroup.wgsl.
// 4. Join the row groups, and store the output of a whole sequence or the partials.
// 5. In the last workgroup to arrive, join the portions and store the output.
const HEAD_DIM: u32 = 128u; // @param
const BATCH: u32 = 1u; // @param sequences
const GROUP: u32 = 4u; // @param query heads per KV head
const KV_HEADS: u32 = 8u; // @param
const HEADS: u32 = 4u; // @param query heads of a list
const CAPACITY: u32 = 1024u; // @param tokens a cache row block holds
const KV_DTYPE: u32 = 1u; // @param 0 f32, 1 f16, 2 bf16
const WORKGROUP: u32 = 128u; // @param
const LANES: u32 = 16u; // @param threads per row
const TOKENS: u32 = 2u; // @param rows in flight per thread
const PREFETCH: u32 = 1u; // @param 1 to load a tile ahead
const JOINED: u32 = 4u; // @param heads whose row groups are joined at a time
const SPLITS: u32 = 8u; // @param workgroups that share a list's tiles of all sequences
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
const JOIN_TURNS = (HEADS + JOINED - 1u) / JOINED;
const OUT_QUADS = HEADS * HEAD_QUADS; // vec4f of the list's output
const SLICES = max(WORKGROUP / OUT_QUADS, 1u); // slices of the portions, joined side by side
const SLICE_THREADS = WORKGROUP / SLICES;
const PORTIONS_IN_FLIGHT = min((SPLITS + SLICES - 1u) / SLICES, 16u); // that a thread loads
const Q_HEADS = KV_HEADS * GROUP;
const KV_LISTS = (GROUP + HEADS - 1u) / HEADS; // lists of a KV head
const SEQUENCE_LISTS = KV_HEADS * KV_LISTS;
const LISTS = BATCH * SEQUENCE_LISTS;
const LIST_HEADS = HEADS; // query heads of a list
// @shared ragged_slots
const PARTIAL_QUADS = HEAD_QUADS + 1u; // acc, then (m, l, 0, 0)
const LINE_QUADS = 8u; // of a cache line
const SLOT_LINES = (LIST_HEADS * PARTIAL_QUADS + LINE_QUADS - 1u) / LINE_QUADS;
const SLOT_QUADS = SLOT_LINES * LINE_QUADS; // of the partials of a portion
const LIST_SLOTS = SPLITS + BATCH - 1u; // of a list of every sequence
const ALL_QUADS = SEQUENCE_LISTS * LIST_SLOTS * SLOT_QUADS;
// @end
const ATOMIC_WORDS = max(64u - LISTS % 64u, 4u * ALL_QUADS * u32(HAND_OVER == 2u));
const PLAIN_QUADS = max(1u, ALL_QUADS * u32(HAND_OVER != 2u));
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
@group(0) @binding(4) var<uniform> sink_logits: array<vec4f, (Q_HEADS + 3u) / 4u>;
@group(0) @binding(5) var<storage, read_write> hand_over: HandOver;
@group(0) @binding(6) var<storage, read_write> out: array<vec4f>;

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
var<workgroup> next_place: vec3<u32>; // of the next portion, a Place
var<workgroup> is_last: u32;

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

// @shared query_quad
/// A quad of the queries.
fn query_quad(at: u32) -> vec4f {
  return q[at];
}
// @end

// @shared capped
/// A logit under the soft cap, of which there is none in this text: see core/formats.ts.
fn capped(logit: f32) -> f32 {
  return logit;
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

// @shared share_tiles
/// Tiles of a sequence. A sequence without tokens has an empty one, which gives its output.
fn tiles_of(sequence: u32) -> u32 {
  return max((lengths[min(sequence, BATCH - 1u)] + TILE - 1u) / TILE, 1u);
}

/// The first tile of share `share`, counted over all sequences, which have `all` tiles together.
/// The first `all` % SPLITS shares have a tile more than the others.
fn share_begin(share: u32, all: u32) -> u32 {
  return share * (all / SPLITS) + min(share, all % SPLITS);
}

/// The share that has the tile.
fn share_of(tile: u32, all: u32) -> u32 {
  let few = all / SPLITS; // tiles of a smaller share
  let larger = all % SPLITS * (few + 1u); // tiles of all larger shares
  let in_smaller = all % SPLITS + (tile - larger) / max(few, 1u);
  return select(in_smaller, tile / (few + 1u), tile < larger);
}
// @end

/// A sequence among all.
struct Place {
  sequence: u32,
  begin: u32, // its first tile, counted over all sequences
  all: u32, // tiles of all sequences
}

/// The place of the next portion.
fn loaded_place() -> Place {
  let loaded = workgroupUniformLoad(&next_place);
  return Place(loaded.x, loaded.y, loaded.z);
}

/// The tiles of a sequence that a share has.
struct Portion {
  begin: u32, // first token in the sequence
  end: u32, // token after the last one
  stride: u32, // tokens from a tile to the next
  first_share: u32, // first share with a portion of the sequence
  count: u32, // portions of the sequence
}

/// The sequence in which a share begins. An empty share begins after all sequences. Every subgroup
/// computes this for itself; a lane has a run of sequences.
fn first_place(share: u32, lane: u32, lanes: u32) -> Place {
  let used_lanes = min(lanes, WORKGROUP); // a subgroup may be larger than the workgroup
  let run = (BATCH + used_lanes - 1u) / used_lanes;
  let run_end = min((lane + 1u) * run, BATCH);
  var own = 0u;
  for (var b = lane * run; b < run_end; b++) {
    own += tiles_of(b);
  }
  let through = subgroupInclusiveAdd(own);
  let all = subgroupMax(through);
  let tile = share_begin(share, all);
  // The lane with the tile looks for its sequence.
  var sequence = 0u;
  var begin = 0u;
  if (through - own <= tile && tile < through) {
    sequence = lane * run;
    begin = through - own;
    for (; begin + tiles_of(sequence) <= tile;) {
      begin += tiles_of(sequence);
      sequence += 1u;
    }
  }
  let is_empty = share_begin(share + 1u, all) == tile;
  return Place(subgroupMax(sequence), select(subgroupMax(begin), all, is_empty), all);
}

/// The portion of a share in a sequence.
fn portion_of(share: u32, at: Place) -> Portion {
  let after = at.begin + tiles_of(at.sequence);
  let first_share = share_of(at.begin, at.all);
  let last_share = share_of(after - 1u, at.all);
  var first = max(share_begin(share, at.all), at.begin);
  var tiles_end = min(share_begin(share + 1u, at.all), after);
  var step = 1u;
  // Shares `whole` to `whole_end` - 1 lie whole in this sequence and take its tiles in turn.
  let whole = first_share + u32(share_begin(first_share, at.all) < at.begin);
  let whole_end = last_share + u32(share_begin(last_share + 1u, at.all) == after);
  if (whole <= share && share < whole_end) {
    first = share_begin(whole, at.all) + share - whole;
    tiles_end = share_begin(whole_end, at.all);
    step = whole_end - whole;
  }
  return Portion(
    (first - at.begin) * TILE,
    min((tiles_end - at.begin) * TILE, lengths[at.sequence]),
    step * TILE,
    first_share,
    last_share - first_share + 1u,
  );
}

/// Divides what was added up over all tokens of head `own_head` of a sequence, with its sink logit.
/// The output is zero where a sequence has no tokens.
fn finished(m: f32, l: f32, acc: vec4f, own_head: u32) -> vec4f {
  let sink = sink_logits[own_head / 4u][own_head % 4u] * LOG2_E;
  let m_all = max(m, max(sink, NEG_LARGE));
  let alpha = exp2(m - m_all);
  let l_all = l * alpha + select(exp2(sink - m_all), 0.0, sink <= NEG_LARGE);
  let attends = !(l <= 0.0); // a NaN goes on
  return select(vec4f(0.0), acc * alpha / l_all, attends);
}

/// Joins the row groups of JOINED heads, whose accumulators are in scratch. Stores the output of a
/// whole sequence, and otherwise partials from quad `slot` on.
fn finish_heads(
  turn: u32,
  slot: u32,
  is_whole: bool,
  first_head: u32,
  last_head: u32,
  thread: u32,
) {
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
    if (is_whole) {
      let head = first_head + h;
      if (head <= last_head) {
        store_out(head * HEAD_QUADS + column % HEAD_QUADS, finished(m, l, acc, head % Q_HEADS));
      }
    } else {
      let first = slot + h * PARTIAL_QUADS;
      store_partial(first + column % HEAD_QUADS, acc);
      if (column % HEAD_QUADS == 0u) {
        store_partial(first + HEAD_QUADS, vec4f(m, l, 0.0, 0.0));
      }
    }
  }
}

// @shared arrives_last_of
/// Counts this workgroup's arrival. True if it is the last one of `count` of its list to arrive.
fn arrives_last_of(count: u32, list: u32, thread: u32) -> bool {
  storageBarrier();
  if (thread == 0u) {
    is_last = u32(atomicAdd(&hand_over.arrivals[list], 1u) == count - 1u);
  }
  return workgroupUniformLoad(&is_last) != 0u;
}
// @end

/// Joins `count` partials, the first of which begins at quad `slot`, into the output of a list, one
/// vec4f per thread of a slice. Slice i takes every SLICES-th portion, beginning with portion i.
fn join_portions(slot: u32, count: u32, first_head: u32, last_head: u32, thread: u32) {
  let slice = thread / SLICE_THREADS;
  for (var turn = 0u; turn < OUT_QUADS; turn += SLICE_THREADS) {
    let column = turn + thread % SLICE_THREADS;
    let h = min(column, OUT_QUADS - 1u) / HEAD_QUADS;
    var m = NEG_LARGE;
    var l = 0.0;
    var acc = vec4f(0.0);
    for (var start = 0u; start < count; start += PORTIONS_IN_FLIGHT * SLICES) {
      // All loads are in flight before the first use: the join is bound by latency.
      var portion_acc: array<vec4f, PORTIONS_IN_FLIGHT>;
      var portion_stats: array<vec2f, PORTIONS_IN_FLIGHT>;
      if (HAND_OVER == 2u) {
        for (var i = 0u; i < PORTIONS_IN_FLIGHT; i++) { // @unroll
          let portion = min(start + i * SLICES + slice, count - 1u);
          let first = slot + portion * SLOT_QUADS + h * PARTIAL_QUADS;
          portion_acc[i] = atomic_partial(first + column % HEAD_QUADS);
          portion_stats[i] = atomic_stats(first + HEAD_QUADS);
        }
      } else {
        for (var i = 0u; i < PORTIONS_IN_FLIGHT; i++) { // @unroll
          let portion = min(start + i * SLICES + slice, count - 1u);
          let first = slot + portion * SLOT_QUADS + h * PARTIAL_QUADS;
          portion_acc[i] = hand_over.partials[first + column % HEAD_QUADS];
          portion_stats[i] = hand_over.partials[first + HEAD_QUADS].xy;
        }
      }
      for (var i = 0u; i < PORTIONS_IN_FLIGHT; i++) { // @unroll
        let is_portion = start + i * SLICES + slice < count;
        portion_stats[i] = select(vec2f(NEG_LARGE, 0.0), portion_stats[i], is_portion);
      }
      let m_old = m;
      for (var i = 0u; i < PORTIONS_IN_FLIGHT; i++) { // @unroll
        m = max(m, portion_stats[i].x);
      }
      l *= exp2(m_old - m);
      acc *= exp2(m_old - m);
      for (var i = 0u; i < PORTIONS_IN_FLIGHT; i++) { // @unroll
        let alpha = select(exp2(portion_stats[i].x - m), 0.0, portion_stats[i].y == 0.0);
        l += portion_stats[i].y * alpha;
        acc += portion_acc[i] * alpha;
      }
    }

    scratch[thread] = acc;
    stats[thread] = vec2f(m, l);
    workgroupBarrier();
    let head = first_head + h;
    if (slice == 0u && column < OUT_QUADS && head <= last_head) {
      store_out(
        head * HEAD_QUADS + column % HEAD_QUADS,
        joined_slices(head % Q_HEADS, thread),
      );
    }
    workgroupBarrier();
  }
}

/// Joins what the slices left in scratch and stats into a vec4f of the output of head `own_head`.
fn joined_slices(own_head: u32, thread: u32) -> vec4f {
  var m = NEG_LARGE;
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
  return finished(m, l, acc, own_head);
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
  @builtin(subgroup_invocation_id) subgroup_lane: u32,
  @builtin(subgroup_size) subgroup_lanes: u32,
) {
  let lane = thread % LANES;
  let row = thread / LANES;

  // 1. Find the share.
  let found = first_place(wid.x, subgroup_lane, subgroup_lanes);
  if (thread == 0u) {
    next_place = vec3<u32>(found.sequence, found.begin, found.all);
  }
  for (;;) {
    // What is not needed for the tiles is computed again after them: registers are short.
    let at = loaded_place();
    if (at.begin >= share_begin(wid.x + 1u, at.all)) {
      break;
    }

    // 2. Load the first tile and the queries. Past the end the last row repeats; its logits are
    // masked.
    let portion = portion_of(wid.x, at);
    let begin = portion.begin;
    let end = portion.end;
    let stride = portion.stride;
    let kv_head = at.sequence * KV_HEADS + wid.y / KV_LISTS;
    let lane_base = head_start(kv_head) + lane;
    var k: array<vec4<u32>, LOADS>;
    var v: array<vec4<u32>, LOADS>;
    var next_k: array<vec4<u32>, LOADS>;
    var next_v: array<vec4<u32>, LOADS>;
    if (PREFETCH == 1u) {
      for (var load = 0u; load < LOADS; load++) { // @unroll
        let token = min(begin + (load / CHUNKS) * ROWS + row, max(end, 1u) - 1u);
        let at = lane_base + row_offset(kv_head, token) + chunk_offset(load % CHUNKS, lane);
        k[load] = keys[at];
        v[load] = values[at];
      }
    }
    var query: array<vec4f, HEADS * PARTS>;
    var acc: array<vec4f, HEADS * PARTS>;
    var m: array<f32, HEADS>;
    var l: array<f32, HEADS>;
    for (var h = 0u; h < HEADS; h++) { // @unroll
      m[h] = NEG_LARGE;
      l[h] = 0.0;
      for (var part = 0u; part < PARTS; part++) { // @unroll
        // The last list of a group may be too long. It repeats the last head.
        let head = kv_head * GROUP + min(wid.y % KV_LISTS * HEADS + h, GROUP - 1u);
        let quad = query_quad(head * HEAD_QUADS + row_quad(part, lane));
        query[h * PARTS + part] = quad * query_scale(part, lane);
        acc[h * PARTS + part] = vec4f(0.0);
      }
    }

    // 3. Attend the tiles.
    // @shared attend_tiles
    for (var tile = begin; tile < end; tile += stride) {
      // 2. Load the next tile; without PREFETCH, the current one.
      if (PREFETCH == 1u) {
        for (var load = 0u; load < LOADS; load++) { // @unroll
          let token = min(tile + stride + (load / CHUNKS) * ROWS + row, end - 1u);
          let at = lane_base + row_offset(kv_head, token) + chunk_offset(load % CHUNKS, lane);
          next_k[load] = keys[at];
          next_v[load] = values[at];
        }
      } else {
        for (var load = 0u; load < LOADS; load++) { // @unroll
          let token = min(tile + (load / CHUNKS) * ROWS + row, end - 1u);
          let at = lane_base + row_offset(kv_head, token) + chunk_offset(load % CHUNKS, lane);
          k[load] = keys[at];
          v[load] = values[at];
        }
      }

      // 3. Compute the logits of the current tile.
      var logits = array<f32, LOGITS>();
      for (var t = 0u; t < TOKENS; t++) { // @unroll
        for (var part = 0u; part < PARTS; part++) { // @unroll
          let k_quad = widen(k[t * CHUNKS + part / QUADS], part % QUADS);
          for (var h = 0u; h < HEADS; h++) { // @unroll
            logits[t * HEADS + h] += dot(k_quad, query[h * PARTS + part]);
          }
        }
      }
      for (var i = 0u; i < LOGITS; i++) { // @unroll
        for (var step = 0u; step < firstTrailingBit(LANES); step++) { // @unroll
          logits[i] += subgroupShuffleXor(logits[i], 1u << step);
        }
      }

      // 4. Update the running softmax.
      for (var h = 0u; h < HEADS; h++) { // @unroll
        var m_new = m[h];
        for (var t = 0u; t < TOKENS; t++) { // @unroll
          let inside = tile + t * ROWS + row < end;
          logits[t * HEADS + h] = select(NEG_LARGE, capped(logits[t * HEADS + h]), inside);
          m_new = max(m_new, logits[t * HEADS + h]);
        }
        let alpha = exp2(m[h] - m_new);
        m[h] = m_new;
        l[h] *= alpha;
        for (var part = 0u; part < PARTS; part++) { // @unroll
          acc[h * PARTS + part] *= alpha;
        }
        for (var t = 0u; t < TOKENS; t++) { // @unroll
          let inside = tile + t * ROWS + row < end;
          let p = select(0.0, exp2(logits[t * HEADS + h] - m_new), inside);
          l[h] += p;
          for (var part = 0u; part < PARTS; part++) { // @unroll
            acc[h * PARTS + part] += p * widen(v[t * CHUNKS + part / QUADS], part % QUADS);
          }
        }
      }
      if (PREFETCH == 1u) {
        for (var load = 0u; load < LOADS; load++) { // @unroll
          k[load] = next_k[load];
          v[load] = next_v[load];
        }
      }
    }
    // @end

    // 4. Join the row groups, and store the output of a whole sequence or the partials.
    let done = loaded_place();
    let own = portion_of(wid.x, done);
    let slot = wid.y * LIST_SLOTS + done.sequence; // of share 0
    let first_head = done.sequence * Q_HEADS + wid.y / KV_LISTS * GROUP + wid.y % KV_LISTS * HEADS;
    let last_head = done.sequence * Q_HEADS + wid.y / KV_LISTS * GROUP + GROUP - 1u;
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
      let quad = (slot + wid.x) * SLOT_QUADS;
      finish_heads(turn, quad, own.count == 1u, first_head, last_head, thread);
      workgroupBarrier();
    }

    // 5. The last workgroup to arrive joins the portions and stores the output.
    if (HAND_OVER != 0u && own.count > 1u) {
      let list = done.sequence * SEQUENCE_LISTS + wid.y;
      if (arrives_last_of(own.count, list, thread)) {
        storageBarrier();
        if (thread == 0u) {
          atomicStore(&hand_over.arrivals[list], 0u);
        }
        let first_quad = (slot + own.first_share) * SLOT_QUADS;
        join_portions(first_quad, own.count, first_head, last_head, thread);
      }
    }
    if (thread == 0u) {
      next_place += vec3<u32>(1u, tiles_of(done.sequence), 0u);
    }
  }
}
