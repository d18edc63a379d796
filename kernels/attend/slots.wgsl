// slots.wgsl: decode attention of heads that keep some tokens each, with K and V of their own
// (MoSA). dense/split_subgroup.wgsl for one query head at a time, over the slots of
// encode/route.wgsl.
//
// Dispatch (SPLITS, query heads / HEADS, batch). Of HEADS heads few take the newest token. A
// workgroup goes through those, takes its share of the slots of each, and stores an unnormalised
// partial (acc, m, l). The output is multiplied by the token's r. A head that does not take the
// token gives 0. The slots of steps that were taken back hold tokens that are newer than the newest
// one, which are not attended.
//
// LANES threads share a row in 16-byte loads: a row group. ROWS row groups work side by side, each
// with TOKENS rows in flight and a running softmax of its own.
// Subgroup shuffles sum the dots. So LANES is a power of two that divides the subgroup size, and a
// subgroup is consecutive threads. Logits are in log2 units.
//
// HAND_OVER selects how the partials of a head are joined:
//   0  merge/join_splits.wgsl joins them in a dispatch of its own. WGSL guarantees that this works.
//   1  The last workgroup to arrive joins them, from plain memory. No workgroup waits, and no other
//      dispatch costs time. But storageBarrier() has to order memory for the whole device: naga's
//      SPIR-V does so, WGSL does not promise it.
//   2  The same from atomics. Devices keep them coherent, though WGSL does not order them.
//
// 1. Find out whether the next head takes the token, and store zeros if it does not.
// 2. Load the first tile and the query of a head that takes it.
// 3. Load the next tile.
// 4. Compute the logits of the current tile.
// 5. Update the running softmax with them. Repeat 3 to 5 for all tiles of the split.
// 6. Join the row groups and store the partials.
// 7. In the last workgroup of a head to arrive, join the splits and store the output. Repeat 1 to 7
//    for all heads of the workgroup.
const HEAD_DIM: u32 = 128u; // @param
const BATCH: u32 = 1u; // @param sequences
const Q_HEADS: u32 = 32u; // @param
const CAPACITY: u32 = 1024u; // @param tokens a cache row block holds
const KV_DTYPE: u32 = 1u; // @param 0 f32, 1 f16, 2 bf16
const MOSA_SPARSITY: u32 = 32u; // @param tokens per token that a head keeps
const DENSE_HEADS: u32 = 0u; // @param heads that keep every token
const HEADS: u32 = 32u; // @param query heads of a workgroup
const WORKGROUP: u32 = 128u; // @param
const LANES: u32 = 16u; // @param threads per row
const TOKENS: u32 = 2u; // @param rows in flight per thread
const PREFETCH: u32 = 1u; // @param 1 to load a tile ahead
const SPLITS: u32 = 8u; // @param
const HAND_OVER: u32 = 1u; // @param 0 dispatch, 1 barrier, 2 atomics

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
const STRIDE = TILE * SPLITS; // tokens from a tile of a split to its next one
const OUT_QUADS = HEAD_QUADS; // vec4f of the head's output
const SLICES = max(WORKGROUP / OUT_QUADS, 1u); // slices of the splits, joined side by side
const SLICE_THREADS = WORKGROUP / SLICES;
const SLICE_SPLITS = (SPLITS + SLICES - 1u) / SLICES;
const SPLITS_IN_FLIGHT = min(SLICE_SPLITS, 16u); // splits that a thread loads at a time
const LISTS = BATCH * Q_HEADS;
const LIST_HEADS = 1u; // query heads of a list
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

// @shared slot_sizes
const SPARSE_HEADS = Q_HEADS - DENSE_HEADS;
const SLOTS = max(2u, (CAPACITY + MOSA_SPARSITY - 1u) / MOSA_SPARSITY); // of a sparse head
const SEQUENCE_ROWS = DENSE_HEADS * CAPACITY + SPARSE_HEADS * SLOTS; // of K or V of a sequence

/// The first row of a head's K and V. Dense heads come first.
fn first_row(sequence: u32, head: u32) -> u32 {
  let dense = min(head, DENSE_HEADS);
  return sequence * SEQUENCE_ROWS + dense * CAPACITY + (head - dense) * SLOTS;
}
// @end

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read> q: array<vec4f>;
@group(0) @binding(2) var<storage, read> slot_keys: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> slot_values: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read> slot_tokens: array<vec2<u32>>; // r, token
@group(0) @binding(5) var<storage, read> routes: array<vec2f>; // r, tokens to attend
@group(0) @binding(6) var<uniform> sink_logits: array<vec4f, (Q_HEADS + 3u) / 4u>;
@group(0) @binding(7) var<storage, read_write> hand_over: HandOver;
@group(0) @binding(8) var<storage, read_write> out: array<vec4f>;

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

var<workgroup> scratch: array<vec4f, max(ROWS * HEAD_QUADS, WORKGROUP)>;
var<workgroup> stats: array<vec2f, max(ROWS, WORKGROUP)>; // (m, l)
var<workgroup> is_last: u32;

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

/// Joins the row groups, whose accumulators are in scratch, into the partial of this split.
fn join_split(head: u32, split: u32, r: f32, thread: u32) {
  for (var column = thread; column < HEAD_QUADS; column += WORKGROUP) {
    let m = joined_m(0u);
    var l = 0.0;
    var acc = vec4f(0.0);
    for (var row = 0u; row < ROWS; row++) { // @unroll
      let alpha = exp2(stats[row].x - m);
      l += stats[row].y * alpha;
      acc += scratch[row * HEAD_QUADS + column] * alpha;
    }
    let first = head * LIST_QUADS + split * PARTIAL_QUADS;
    store_partial(first + column, acc * r);
    if (column == 0u) {
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

// @shared slot_token
/// The token of a slot. Dense heads have every token in its place.
fn slot_token(slot: u32, end: u32, first_slot: u32, is_dense: bool) -> u32 {
  if (is_dense) {
    return slot;
  }
  return slot_tokens[first_slot + min(slot, end - 1u)].y;
}
// @end

/// Stores zeros for a head that does not take the token: the output, or a partial without tokens
/// where a dispatch of its own joins the partials.
fn store_zeros(head: u32, split: u32, thread: u32) {
  if (HAND_OVER == 0u) {
    if (thread == 0u) {
      store_partial(head * LIST_QUADS + split * PARTIAL_QUADS + HEAD_QUADS, vec4f(0.0));
    }
  } else if (split == 0u) {
    for (var column = thread; column < HEAD_QUADS; column += WORKGROUP) {
      store_out(head * HEAD_QUADS + column, vec4f(0.0));
    }
  }
}

/// Attends the share of split `split` of the slots of a head that takes the token.
fn attend_head(sequence: u32, own_head: u32, length: u32, split: u32, thread: u32) {
  let lane = thread % LANES;
  let row = thread / LANES;
  let head = sequence * Q_HEADS + own_head;
  let r = routes[head].x;
  let end = u32(routes[head].y);
  let is_dense = own_head < DENSE_HEADS;
  let first_slot = (sequence * SPARSE_HEADS + max(own_head, DENSE_HEADS) - DENSE_HEADS) * SLOTS;
  let lane_base = first_row(sequence, own_head) * ROW_LOADS + lane;
  // Tiles go to the splits in turn, so that all workgroups of a head read one moving window.
  let begin = split * TILE;

  // 2. Load the first tile and the query. Rows past the end repeat the last one.
  var k: array<vec4<u32>, LOADS>;
  var v: array<vec4<u32>, LOADS>;
  var token: array<u32, TOKENS>;
  var next_k: array<vec4<u32>, LOADS>;
  var next_v: array<vec4<u32>, LOADS>;
  var next_token: array<u32, TOKENS>;
  if (PREFETCH == 1u && begin < end) {
    for (var load = 0u; load < LOADS; load++) { // @unroll
      let slot = min(begin + (load / CHUNKS) * ROWS + row, end - 1u);
      k[load] = slot_keys[lane_base + slot * ROW_LOADS + chunk_offset(load % CHUNKS, lane)];
      v[load] = slot_values[lane_base + slot * ROW_LOADS + chunk_offset(load % CHUNKS, lane)];
    }
    for (var t = 0u; t < TOKENS; t++) { // @unroll
      token[t] = slot_token(begin + t * ROWS + row, end, first_slot, is_dense);
    }
  }

  var query: array<vec4f, PARTS>;
  var acc: array<vec4f, PARTS>;
  var m = NEG_LARGE;
  var l = 0.0;
  for (var part = 0u; part < PARTS; part++) { // @unroll
    query[part] = q[head * HEAD_QUADS + row_quad(part, lane)] * query_scale(part, lane);
    acc[part] = vec4f(0.0);
  }

  for (var tile = begin; tile < end; tile += STRIDE) {
    // 3. Load the next tile; without PREFETCH, the current one.
    for (var load = 0u; load < LOADS; load++) { // @unroll
      let slot = min(tile + STRIDE * PREFETCH + (load / CHUNKS) * ROWS + row, end - 1u);
      next_k[load] = slot_keys[lane_base + slot * ROW_LOADS + chunk_offset(load % CHUNKS, lane)];
      next_v[load] = slot_values[lane_base + slot * ROW_LOADS + chunk_offset(load % CHUNKS, lane)];
    }
    for (var t = 0u; t < TOKENS; t++) { // @unroll
      let slot = tile + STRIDE * PREFETCH + t * ROWS + row;
      next_token[t] = slot_token(slot, end, first_slot, is_dense);
    }
    if (PREFETCH == 0u) {
      k = next_k;
      v = next_v;
      token = next_token;
    }

    // 4. Compute the logits of the current tile.
    var logits = array<f32, TOKENS>();
    for (var t = 0u; t < TOKENS; t++) { // @unroll
      for (var part = 0u; part < PARTS; part++) { // @unroll
        logits[t] += dot(widen(k[t * CHUNKS + part / QUADS], part % QUADS), query[part]);
      }
      for (var step = 0u; step < firstTrailingBit(LANES); step++) { // @unroll
        logits[t] += subgroupShuffleXor(logits[t], 1u << step);
      }
    }

    // 5. Update the running softmax. A NaN that a slot was left with must not count.
    var m_new = m;
    for (var t = 0u; t < TOKENS; t++) { // @unroll
      let inside = tile + t * ROWS + row < end && token[t] < length;
      logits[t] = select(NEG_LARGE, logits[t], inside);
      m_new = max(m_new, logits[t]);
    }
    let alpha = exp2(m - m_new);
    m = m_new;
    l *= alpha;
    for (var part = 0u; part < PARTS; part++) { // @unroll
      acc[part] *= alpha;
    }
    for (var t = 0u; t < TOKENS; t++) { // @unroll
      let inside = tile + t * ROWS + row < end && token[t] < length;
      let p = select(0.0, exp2(logits[t] - m_new), inside);
      l += p;
      for (var part = 0u; part < PARTS; part++) { // @unroll
        let v_quad = widen(v[t * CHUNKS + part / QUADS], part % QUADS);
        acc[part] += select(vec4f(0.0), p * v_quad, inside);
      }
    }
    if (PREFETCH == 1u) {
      k = next_k;
      v = next_v;
      token = next_token;
    }
  }

  // 6. Join the row groups and store the partials.
  if (lane == 0u) {
    stats[row] = vec2f(m, l);
  }
  for (var part = 0u; part < PARTS; part++) { // @unroll
    scratch[row * HEAD_QUADS + row_quad(part, lane)] = acc[part];
  }
  workgroupBarrier();
  join_split(head, split, r, thread);
  workgroupBarrier();

  // 7. The last workgroup to arrive joins the splits and stores the output.
  if (HAND_OVER == 0u) {
    return;
  }
  if (!arrives_last(head, thread)) {
    return;
  }
  storageBarrier();
  if (thread == 0u) {
    atomicStore(&hand_over.arrivals[head], 0u);
  }
  join_splits(head, head, head, thread);
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let length = lengths[wid.z];

  let begin_head = wid.y * HEADS; // of the sequence
  for (var left = min(HEADS, Q_HEADS - begin_head); left > 0u; left--) {
    // 1. Find out whether the next head takes the token, and store zeros if it does not.
    let own_head = begin_head + left - 1u;
    let head = wid.z * Q_HEADS + own_head;
    if (routes[head].y > 0.0) {
      attend_head(wid.z, own_head, length, wid.x, thread);
    } else {
      store_zeros(head, wid.x, thread);
    }
  }
}
