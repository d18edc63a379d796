// gather_merge.wgsl: decode attention over the selected tokens in one dispatch.
// gather_subgroup.wgsl, plus picks staged in workgroup memory, loads a tile ahead, and a join of
// the splits by the last workgroup to arrive.
//
// Dispatch (SPLITS, query heads / HEADS, batch). A workgroup takes an equal share of one list of
// picks. It attends those rows for HEADS query heads that share the list, and stores one
// unnormalised partial (acc, m, l) per query head.
//
// LANES threads share a row in 16-byte loads: a row group. ROWS row groups work side by side, each
// with TOKENS rows in flight and a running softmax of its own.
// Subgroup shuffles sum the dots. So LANES is a power of two that divides the subgroup size, and a
// subgroup is consecutive threads. Logits are in log2 units.
//
// HAND_OVER selects how the partials of the same HEADS query heads are joined:
//   0  merge/join_splits.wgsl joins them in a dispatch of its own. WGSL guarantees that this works.
//   1  The last workgroup to arrive joins them, from plain memory. No workgroup waits, and no other
//      dispatch costs time. But storageBarrier() has to order memory for the whole device: naga's
//      SPIR-V does so, WGSL does not promise it.
//   2  The same from atomics. Devices keep them coherent, though WGSL does not order them.
//
// 1. Load the picks of the split, then the queries.
// 2. Load the next tile.
// 3. Compute the logits of the current tile.
// 4. Update the running softmax with them. Repeat 2 to 4 for all tiles of the split.
// 5. Join the row groups and store the partials.
// 6. In the last workgroup to arrive, join the splits and store the output.
const HEAD_DIM: u32 = 128u; // @param
const BATCH: u32 = 1u; // @param sequences
const GROUP: u32 = 4u; // @param query heads per KV head
const QUERIES_PER_LIST: u32 = 1u; // @param 1, GROUP or all query heads
const SEQUENCE_LISTS: u32 = 32u; // @param lists of a sequence
const HEADS: u32 = 1u; // @param query heads of a workgroup, a divisor of it and of GROUP
const LIST_CAPACITY: u32 = 256u; // @param entries that a list has room for
const PAGE_BITS: u32 = 0u; // @param an entry is a page of 2^PAGE_BITS tokens
const CAPACITY: u32 = 1024u; // @param tokens a cache row block holds
const PREFIX: u32 = 0u; // @param tokens that all sequences share
const KV_DTYPE: u32 = 1u; // @param 0 f32, 1 f16, 2 bf16
const WORKGROUP: u32 = 128u; // @param
const LANES: u32 = 4u; // @param threads per row
const TOKENS: u32 = 2u; // @param rows in flight per thread
const PREFETCH: u32 = 1u; // @param 1 to load a tile ahead
const SPLITS: u32 = 8u; // @param
const HAND_OVER: u32 = 1u; // @param 0 dispatch, 1 barrier, 2 atomics

const KV_HEADS = SEQUENCE_LISTS * QUERIES_PER_LIST / GROUP;
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
const PAGE_MASK = (1u << PAGE_BITS) - 1u;
const LIST_ROWS = LIST_CAPACITY << PAGE_BITS; // tokens that a list has room for
const LOGITS = TOKENS * HEADS;
const Q_HEADS = SEQUENCE_LISTS * QUERIES_PER_LIST;
const LISTS = BATCH * Q_HEADS / HEADS; // whose partials are joined
const LIST_HEADS = HEADS; // query heads of such a list
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
@group(0) @binding(4) var<storage, read> selected: array<u32>;
@group(0) @binding(5) var<storage, read> selected_counts: array<u32>;
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

var<workgroup> tokens: array<u32, (LIST_ROWS + SPLITS - 1u) / SPLITS>;
var<workgroup> scratch: array<vec4f, ROWS * HEAD_QUADS>;
var<workgroup> stats: array<vec2f, ROWS>; // (m, l)
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

// @shared join_partials
/// Joins the partials of a query head's splits, the first of which begins at quad `first`. Gives a
/// quad of the output, zero for a list of no tokens. `sink` is a logit in log2 units.
fn join_plain(first: u32, column: u32, sink: f32) -> vec4f {
  var m = max(sink, NEG_LARGE);
  for (var s = 0u; s < SPLITS; s++) { // @unroll
    m = max(m, hand_over.partials[first + s * PARTIAL_QUADS + HEAD_QUADS].x);
  }
  var l = 0.0;
  var acc = vec4f(0.0);
  for (var s = 0u; s < SPLITS; s++) { // @unroll
    let split_stats = hand_over.partials[first + s * PARTIAL_QUADS + HEAD_QUADS];
    let alpha = exp2(split_stats.x - m);
    l += split_stats.y * alpha;
    acc += hand_over.partials[first + s * PARTIAL_QUADS + column] * alpha;
  }
  let attends = !(l <= 0.0); // a NaN goes on
  l += select(exp2(sink - m), 0.0, sink <= NEG_LARGE);
  return select(vec4f(0.0), acc / l, attends);
}

/// The same for partials that were handed over by atomics.
fn join_atomic(first: u32, column: u32, sink: f32) -> vec4f {
  var m = max(sink, NEG_LARGE);
  for (var s = 0u; s < SPLITS; s++) { // @unroll
    m = max(m, atomic_stats(first + s * PARTIAL_QUADS + HEAD_QUADS).x);
  }
  var l = 0.0;
  var acc = vec4f(0.0);
  for (var s = 0u; s < SPLITS; s++) { // @unroll
    let split_stats = atomic_stats(first + s * PARTIAL_QUADS + HEAD_QUADS);
    let alpha = exp2(split_stats.x - m);
    l += split_stats.y * alpha;
    acc += atomic_partial(first + s * PARTIAL_QUADS + column) * alpha;
  }
  let attends = !(l <= 0.0); // a NaN goes on
  l += select(exp2(sink - m), 0.0, sink <= NEG_LARGE);
  return select(vec4f(0.0), acc / l, attends);
}
// @end

// @shared cache_row
/// The row of a token in the caches. The first PREFIX tokens lie there once for all sequences, then
/// come the own tokens of each. `head` is the KV head, counted through all sequences.
fn cache_row(head: u32, token: u32) -> u32 {
  let shared_row = head % KV_HEADS * PREFIX + token;
  let own_row = KV_HEADS * PREFIX + head * (CAPACITY - PREFIX) + token - PREFIX;
  return select(own_row, shared_row, token < PREFIX);
}
// @end

// @shared kv_row
/// Where a token's row begins in keys and values, in 16-byte loads. Caches of sequences that share
/// a prefix have no strides or pages of their own.
fn kv_row(kv_head: u32, token: u32) -> u32 {
  if (PREFIX != 0u) {
    return cache_row(kv_head, token) * KV_LOADS;
  }
  return head_start(kv_head) + row_offset(kv_head, token);
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

/// Joins the row groups of a query head, which are in scratch and stats, into the partial that
/// begins at quad `first`.
fn store_joined_head(first: u32, thread: u32) {
  if (thread < HEAD_QUADS) {
    var m = NEG_LARGE;
    for (var r = 0u; r < ROWS; r++) { // @unroll
      m = max(m, stats[r].x);
    }
    var l = 0.0;
    var acc = vec4f(0.0);
    for (var r = 0u; r < ROWS; r++) { // @unroll
      let alpha = exp2(stats[r].x - m);
      l += stats[r].y * alpha;
      acc += scratch[r * HEAD_QUADS + thread] * alpha;
    }
    store_partial(first + thread, acc);
    if (thread == 0u) {
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

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let list = wid.z * (Q_HEADS / HEADS) + wid.y;
  let first_head = list * HEADS;
  let pick_list = first_head / QUERIES_PER_LIST;
  let lane = thread % LANES;
  let row = thread / LANES;
  let picks = selected_counts[pick_list];
  let share = (picks + SPLITS - 1u) / SPLITS;
  let begin = min(wid.x * share, picks);
  let end = min(begin + share, picks);

  // 1. Load the picks of the split, then the queries.
  for (var i = begin + thread; i < end; i += WORKGROUP) {
    let page = selected[pick_list * LIST_CAPACITY + (i >> PAGE_BITS)];
    tokens[i - begin] = (page << PAGE_BITS) | (i & PAGE_MASK);
  }
  var query: array<vec4f, HEADS * PARTS>;
  var acc: array<vec4f, HEADS * PARTS>;
  var m: array<f32, HEADS>;
  var l: array<f32, HEADS>;
  for (var h = 0u; h < HEADS; h++) { // @unroll
    m[h] = NEG_LARGE;
    for (var part = 0u; part < PARTS; part++) { // @unroll
      let quad = query_quad((first_head + h) * HEAD_QUADS + row_quad(part, lane));
      query[h * PARTS + part] = quad * query_scale(part, lane);
    }
  }
  workgroupBarrier();

  // All loads of a tile are in flight before the first use. Rows past the end repeat the last pick.
  let kv_head = first_head / GROUP;
  var k: array<vec4<u32>, LOADS>;
  var v: array<vec4<u32>, LOADS>;
  var next_k: array<vec4<u32>, LOADS>;
  var next_v: array<vec4<u32>, LOADS>;
  if (PREFETCH == 1u && begin < end) {
    for (var load = 0u; load < LOADS; load++) { // @unroll
      let token = tokens[min((load / CHUNKS) * ROWS + row, end - begin - 1u)];
      let at = kv_row(kv_head, token) + lane + chunk_offset(load % CHUNKS, lane);
      k[load] = keys[at];
      v[load] = values[at];
    }
  }
  for (var tile = begin; tile < end; tile += TILE) {
    // 2. Load the next tile; without PREFETCH, the current one.
    for (var load = 0u; load < LOADS; load++) { // @unroll
      let pick = tile + PREFETCH * TILE + (load / CHUNKS) * ROWS + row;
      let token = tokens[min(pick, end - 1u) - begin];
      let at = kv_row(kv_head, token) + lane + chunk_offset(load % CHUNKS, lane);
      next_k[load] = keys[at];
      next_v[load] = values[at];
    }
    if (PREFETCH == 0u) {
      k = next_k;
      v = next_v;
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
      // A masked logit lies below every m, also below the first: so its p is 0.
      let inside = tile + i / HEADS * ROWS + row < end;
      logits[i] = select(2.0 * NEG_LARGE, capped(logits[i]), inside);
    }

    // 4. Update the running softmax.
    for (var h = 0u; h < HEADS; h++) { // @unroll
      var m_new = m[h];
      for (var t = 0u; t < TOKENS; t++) { // @unroll
        m_new = max(m_new, logits[t * HEADS + h]);
      }
      let alpha = exp2(m[h] - m_new);
      m[h] = m_new;
      l[h] *= alpha;
      for (var part = 0u; part < PARTS; part++) { // @unroll
        acc[h * PARTS + part] *= alpha;
      }
      for (var t = 0u; t < TOKENS; t++) { // @unroll
        let p = exp2(logits[t * HEADS + h] - m_new);
        l[h] += p;
        for (var part = 0u; part < PARTS; part++) { // @unroll
          acc[h * PARTS + part] += p * widen(v[t * CHUNKS + part / QUADS], part % QUADS);
        }
      }
    }
    if (PREFETCH == 1u) {
      k = next_k;
      v = next_v;
    }
  }

  // 5. Join the row groups and store the partials, one query head at a time.
  for (var h = 0u; h < HEADS; h++) { // @unroll
    for (var part = 0u; part < PARTS; part++) { // @unroll
      scratch[row * HEAD_QUADS + row_quad(part, lane)] = acc[h * PARTS + part];
    }
    stats[row] = vec2f(m[h], l[h]);
    workgroupBarrier();
    store_joined_head(list * LIST_QUADS + (h * SPLITS + wid.x) * PARTIAL_QUADS, thread);
    workgroupBarrier();
  }

  // 6. The last workgroup to arrive joins the splits and stores the output.
  if (HAND_OVER == 0u) {
    return;
  }
  if (!arrives_last(list, thread)) {
    return;
  }
  storageBarrier();
  if (thread == 0u) {
    atomicStore(&hand_over.arrivals[list], 0u);
  }
  // @shared join_columns
  for (var column = thread; column < LIST_HEADS * HEAD_QUADS; column += WORKGROUP) {
    let h = column / HEAD_QUADS;
    let first = list * LIST_QUADS + h * SPLITS * PARTIAL_QUADS;
    let own_head = wid.y * LIST_HEADS + h; // of the sequence
    let sink = sink_logits[own_head / 4u][own_head % 4u] * LOG2_E;
    if (HAND_OVER == 2u) {
      store_out(first_head * HEAD_QUADS + column, join_atomic(first, column % HEAD_QUADS, sink));
    } else {
      store_out(first_head * HEAD_QUADS + column, join_plain(first, column % HEAD_QUADS, sink));
    }
  }
  // @end
}
