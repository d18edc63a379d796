// gather.wgsl: decode attention over the selected tokens, split over the selection.
//
// Dispatch (splits, query heads / HEADS, batch). A workgroup takes its share of one list of picks.
// It gathers those rows from the KV cache for HEADS query heads that share the list, and stores one
// unnormalised partial (acc, m, l) per query head; merge/merge.wgsl joins the partials of the
// splits.
//
// LANES threads share a row in 16-byte loads: a row group. ROWS row groups work side by side, each
// with TOKENS rows in flight and a running softmax of its own. Logits are in log2 units.
// The kernel needs no device feature: workgroup memory sums the dots.
//
// 1. Load the queries.
// 2. Load a tile of picks, then their keys and values.
// 3. Compute the logits of the tile.
// 4. Update the running softmax with them. Repeat 2 to 4 for all tiles of the split.
// 5. Join the row groups and store the partials.
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
const LANES: u32 = 16u; // @param threads per row
const TOKENS: u32 = 2u; // @param rows in flight per thread

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
const LIST_HEADS = HEADS; // query heads of a workgroup
const SCRATCH = max(TOKENS * LIST_HEADS * WORKGROUP, ROWS * HEAD_DIM);
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
@group(0) @binding(6) var<storage, read_write> partial_out: array<f32>;
@group(0) @binding(7) var<storage, read_write> partial_stats: array<vec2f>;

var<workgroup> scratch: array<f32, SCRATCH>;
var<workgroup> logits: array<f32, TILE * LIST_HEADS>;
var<workgroup> stats: array<vec2f, ROWS * LIST_HEADS>; // (m, l)

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

// @shared store_joined
/// Adds up what the row groups left in scratch, rescaled to `m`, and stores the partial of head `h`
/// of the list in slot `slot`.
fn store_joined(slot: u32, h: u32, m: f32, thread: u32) {
  for (var d = thread; d < HEAD_DIM; d += WORKGROUP) {
    var acc = 0.0;
    for (var r = 0u; r < ROWS; r++) { // @unroll
      acc += scratch[r * HEAD_DIM + d];
    }
    partial_out[slot * HEAD_DIM + d] = acc;
  }
  if (thread == 0u) {
    var l = 0.0;
    for (var r = 0u; r < ROWS; r++) { // @unroll
      l += stats[r * LIST_HEADS + h].y * exp2(stats[r * LIST_HEADS + h].x - m);
    }
    partial_stats[slot] = vec2f(m, l);
  }
}
// @end

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let lane = thread % LANES;
  let row = thread / LANES;
  let first_head = wid.z * SEQUENCE_LISTS * QUERIES_PER_LIST + wid.y * HEADS;
  let list = first_head / QUERIES_PER_LIST;
  let kv_head = first_head / GROUP;
  let picks = selected_counts[list];
  let share = (picks + grid.x - 1u) / grid.x;
  let begin = min(wid.x * share, picks);
  let end = min(begin + share, picks);

  // 1. Load the queries.
  // @shared load_queries
  var query: array<vec4f, LIST_HEADS * PARTS>;
  var acc: array<vec4f, LIST_HEADS * PARTS>;
  var m: array<f32, LIST_HEADS>;
  var l: array<f32, LIST_HEADS>;
  for (var h = 0u; h < LIST_HEADS; h++) { // @unroll
    m[h] = NEG_LARGE;
    l[h] = 0.0;
    for (var part = 0u; part < PARTS; part++) { // @unroll
      let quad = query_quad((first_head + h) * HEAD_QUADS + row_quad(part, lane));
      query[h * PARTS + part] = quad * query_scale(part, lane);
      acc[h * PARTS + part] = vec4f(0.0);
    }
  }
  // @end

  for (var tile = begin; tile < end; tile += TILE) {
    // 2. Load a tile of picks, then their keys and values. All loads are in flight before the first
    // use. Rows past the end repeat the last pick.
    var token: array<u32, TOKENS>;
    for (var t = 0u; t < TOKENS; t++) { // @unroll
      let pick = min(tile + t * ROWS + row, end - 1u);
      let page = selected[list * LIST_CAPACITY + (pick >> PAGE_BITS)];
      token[t] = (page << PAGE_BITS) | (pick & PAGE_MASK);
    }
    var k: array<vec4<u32>, LOADS>;
    var v: array<vec4<u32>, LOADS>;
    for (var load = 0u; load < LOADS; load++) { // @unroll
      let first = kv_row(kv_head, token[load / CHUNKS]) + lane;
      let at = first + chunk_offset(load % CHUNKS, lane);
      k[load] = keys[at];
      v[load] = values[at];
    }

    // 3. Compute the logits of the tile.
    // @shared workgroup_dots
    // The lanes of a row leave their sums in workgroup memory. Their places are rotated by the
    // row, so that threads that add up different dots read from different banks.
    for (var t = 0u; t < TOKENS; t++) { // @unroll
      var sums = array<f32, LIST_HEADS>();
      for (var part = 0u; part < PARTS; part++) { // @unroll
        let k_quad = widen(k[t * CHUNKS + part / QUADS], part % QUADS);
        for (var h = 0u; h < LIST_HEADS; h++) { // @unroll
          sums[h] += dot(k_quad, query[h * PARTS + part]);
        }
      }
      for (var h = 0u; h < LIST_HEADS; h++) { // @unroll
        scratch[((t * ROWS + row) * LIST_HEADS + h) * LANES + (lane + row) % LANES] = sums[h];
      }
    }
    workgroupBarrier();
    for (var i = thread; i < TILE * LIST_HEADS; i += WORKGROUP) {
      var logit = 0.0;
      for (var j = 0u; j < LANES; j++) { // @unroll
        logit += scratch[i * LANES + (j + i) % LANES];
      }
      logits[i] = capped(logit);
    }
    workgroupBarrier();
    // @end

    // 4. Update the running softmax.
    // @shared update_softmax
    for (var h = 0u; h < LIST_HEADS; h++) { // @unroll
      var s = array<f32, TOKENS>();
      var m_new = m[h];
      for (var t = 0u; t < TOKENS; t++) { // @unroll
        let inside = tile + t * ROWS + row < end;
        s[t] = select(NEG_LARGE, logits[(t * ROWS + row) * LIST_HEADS + h], inside);
        m_new = max(m_new, s[t]);
      }
      let alpha = exp2(m[h] - m_new);
      m[h] = m_new;
      l[h] *= alpha;
      for (var part = 0u; part < PARTS; part++) { // @unroll
        acc[h * PARTS + part] *= alpha;
      }
      for (var t = 0u; t < TOKENS; t++) { // @unroll
        let inside = tile + t * ROWS + row < end;
        let p = select(0.0, exp2(s[t] - m_new), inside);
        l[h] += p;
        for (var part = 0u; part < PARTS; part++) { // @unroll
          acc[h * PARTS + part] += p * widen(v[t * CHUNKS + part / QUADS], part % QUADS);
        }
      }
    }
    // @end
  }

  // 5. Join the row groups and store the partials.
  // @shared join_row_groups
  for (var h = 0u; h < LIST_HEADS; h++) { // @unroll
    if (lane == 0u) {
      stats[row * LIST_HEADS + h] = vec2f(m[h], l[h]);
    }
  }
  workgroupBarrier();
  // Each row group rescales its acc to the common maximum, so that a sum joins them.
  for (var h = 0u; h < LIST_HEADS; h++) { // @unroll
    let m_new = joined_m(h);
    let alpha = exp2(m[h] - m_new);
    for (var part = 0u; part < PARTS; part++) { // @unroll
      let at = row * HEAD_DIM + row_quad(part, lane) * 4u;
      let quad = acc[h * PARTS + part] * alpha;
      scratch[at] = quad.x;
      scratch[at + 1u] = quad.y;
      scratch[at + 2u] = quad.z;
      scratch[at + 3u] = quad.w;
    }
    workgroupBarrier();
    store_joined((first_head + h) * grid.x + wid.x, h, m_new, thread);
    workgroupBarrier();
  }
  // @end
}
