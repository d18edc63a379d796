// decayed_portable.wgsl: decode attention with forget gates over the tokens that are not pruned.
// decayed.wgsl, which has the definitions, for devices without subgroups or with 8 storage buffers.
//
// Dispatch (SPLITS, lists, batch). A list is HEADS query heads of one KV head: all of its group, or
// a part of the group where registers run short. A workgroup reads its share of K and V once for
// the whole list, and stores one unnormalised partial (acc, m, l) per query head;
// merge/join_splits.wgsl joins the partials of the splits.
//
// LANES threads share a row in 16-byte loads: a row group. ROWS row groups work side by side, each
// with TOKENS rows in flight and a running softmax of its own. Logits are in log2 units.
// The kernel needs no device feature: workgroup memory sums the dots.
//
// 1. Load the queries and the newest key.
// 2. Compute the thresholds.
// 3. Sum the decays of a chunk of blocks, a block per thread, and find where it is pruned.
// 4. Load a tile of keys and values, from the newest one towards the first token.
// 5. Compute its logits, and add the decays.
// 6. Update the running softmax with them. Repeat 4 to 6 for all tiles of the split in the chunk,
//    and 3 to 6 for all chunks until one is pruned.
// 7. Join the row groups and store the partials.
// 8. Append the newest gate.
const HEAD_DIM: u32 = 128u; // @param
const BATCH: u32 = 1u; // @param sequences
const GROUP: u32 = 4u; // @param query heads per KV head
const KV_HEADS: u32 = 8u; // @param
const HEADS: u32 = 4u; // @param query heads of a list, a divisor of GROUP
const CAPACITY: u32 = 1024u; // @param tokens a cache row block holds
const KV_DTYPE: u32 = 1u; // @param 0 f32, 1 f16, 2 bf16
const DECAY_BLOCK: u32 = 128u; // @param tokens per block of decays
const PRUNE: u32 = 1u; // @param 0 to attend all tokens
const WORKGROUP: u32 = 128u; // @param
const LANES: u32 = 16u; // @param threads per row
const TOKENS: u32 = 2u; // @param rows in flight per thread
const SPLITS: u32 = 8u; // @param
const HAND_OVER = 0u; // to a dispatch

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
const BLOCKS = (CAPACITY + DECAY_BLOCK - 1u) / DECAY_BLOCK;
const BLOCK_TILES = DECAY_BLOCK / TILE; // tiles of a block
const STATE = DECAY_BLOCK + 2u; // the block's decay, its tokens' decays, the largest |k|
const STATE_LOADS = (DECAY_BLOCK + 1u + WORKGROUP - 1u) / WORKGROUP; // of the decays, per thread
const SUM_ROW = 16u; // threads whose sums are added up together
const SUM_ROWS = WORKGROUP / SUM_ROW;
const LN_EPS = -10.0;
const SAFETY = 1.00001; // of U, for the rounding of norms
const LISTS = BATCH * KV_HEADS * GROUP / HEADS;
const LIST_HEADS = HEADS; // query heads of a list
const SQUARES = (HEADS + 1u) * LANES; // sums of squares of the queries and the newest key
const SCRATCH = max(SQUARES, max(TOKENS * LIST_HEADS * WORKGROUP, ROWS * HEAD_DIM));
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
@group(0) @binding(7) var<uniform> log_gates: array<vec4f, (LISTS * HEADS + 3u) / 4u>;
@group(0) @binding(8) var<storage, read_write> hand_over: HandOver;

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

var<workgroup> scratch: array<f32, SCRATCH>;
var<workgroup> logits: array<f32, TILE * LIST_HEADS>;
var<workgroup> stats: array<vec2f, ROWS * LIST_HEADS>; // (m, l)
var<workgroup> block_sums: array<f32, HEADS * WORKGROUP>; // of a chunk, then of later blocks
var<workgroup> row_sums: array<f32, HEADS * SUM_ROWS>;
var<workgroup> later: array<f32, HEADS>; // the decay over all blocks after the chunk
var<workgroup> thresholds: array<f32, HEADS>;
var<workgroup> key_norms: array<f32, HEADS>; // the largest of all tokens
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

/// Adds up what the row groups left in scratch, rescaled to `m`, and stores the partial of head `h`
/// of a list.
fn store_partial_of(list: u32, h: u32, split: u32, m: f32, thread: u32) {
  let first = list * LIST_QUADS + (h * SPLITS + split) * PARTIAL_QUADS;
  for (var column = thread; column < HEAD_QUADS; column += WORKGROUP) {
    var acc = vec4f(0.0);
    for (var r = 0u; r < ROWS; r++) { // @unroll
      let at = r * HEAD_DIM + column * 4u;
      acc += vec4f(scratch[at], scratch[at + 1u], scratch[at + 2u], scratch[at + 3u]);
    }
    hand_over.partials[first + column] = acc;
  }
  if (thread == 0u) {
    var l = 0.0;
    for (var r = 0u; r < ROWS; r++) { // @unroll
      l += stats[r * LIST_HEADS + h].y * exp2(stats[r * LIST_HEADS + h].x - m);
    }
    hand_over.partials[first + HEAD_QUADS] = vec4f(m, l, 0.0, 0.0);
  }
}

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
  let list = wid.z * (KV_HEADS * GROUP / HEADS) + wid.y;
  let first_head = list * HEADS;
  let kv_head = first_head / GROUP;
  let lane_base = head_start(kv_head) + lane;
  let length = lengths[wid.z];
  let newest = max(length, 1u) - 1u;

  // 1. Load the queries and the newest key. Each thread has one block of the chunk: thread 0 the
  // newest one.
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
  var chunk = newest / DECAY_BLOCK; // its newest block
  var decay: array<f32, HEADS>; // over the thread's block
  for (var h = 0u; h < HEADS; h++) { // @unroll
    let head = list_head(first_head, h);
    let old = decay_state[(2u * head + newest % 2u) * STATE];
    let newest_decay = select(old, 0.0, newest % DECAY_BLOCK == 0u) + newest_gate(head);
    let older = block_decays[head * (BLOCKS + 2u) + 2u + chunk - min(thread, chunk)];
    decay[h] = select(older, newest_decay, thread == 0u);
  }

  // 2. Compute the thresholds. |q| comes with the scale of logits. A row group sums the squares.
  if (row == 0u) {
    var key_squares = 0.0;
    for (var part = 0u; part < PARTS; part++) { // @unroll
      let at = lane_base + row_offset(kv_head, newest) + chunk_offset(part / QUADS, lane);
      let quad = widen(keys[at], part % QUADS);
      let is_own = part / QUADS * LANES + lane < ROW_LOADS;
      key_squares += select(0.0, dot(quad, quad), is_own);
    }
    scratch[HEADS * LANES + lane] = key_squares;
    for (var h = 0u; h < HEADS; h++) { // @unroll
      var squares = 0.0;
      for (var part = 0u; part < PARTS; part++) { // @unroll
        squares += dot(query[h * PARTS + part], query[h * PARTS + part]);
      }
      scratch[h * LANES + lane] = squares;
    }
  }
  workgroupBarrier();
  if (thread < HEADS) {
    var squares = 0.0;
    var key_squares = 0.0;
    for (var i = 0u; i < LANES; i++) { // @unroll
      squares += scratch[thread * LANES + i];
      key_squares += scratch[HEADS * LANES + i];
    }
    let head = list_head(first_head, thread);
    let older_norm = decay_state[(2u * head + newest % 2u) * STATE + STATE - 1u];
    let key_norm = max(sqrt(key_squares), select(older_norm, 0.0, newest == 0u));
    let bound = sqrt(squares) / LOG2_E * key_norm * SAFETY;
    thresholds[thread] = LN_EPS - (2.0 * bound + log(f32(newest + 1u)));
    key_norms[thread] = key_norm;
    later[thread] = 0.0;
  }

  // Tiles go to the splits in turn, from the newest one on.
  var place = select(i32(newest / TILE) - i32(wid.x), -1, length == 0u);
  for (var go_on = length > 0u; go_on;) {
    // 3. Sum the decays of a chunk of blocks, and find where it is pruned.
    if (thread == 0u) {
      atomicStore(&kept, 0u);
    }
    for (var h = 0u; h < HEADS; h++) { // @unroll
      block_sums[h * WORKGROUP + thread] = select(0.0, decay[h], thread <= chunk);
    }
    workgroupBarrier();
    let sum_row = thread / SUM_ROW;
    var own: array<f32, HEADS>;
    for (var h = 0u; h < HEADS; h++) { // @unroll
      own[h] = later[h];
      var all = 0.0;
      for (var i = 0u; i < SUM_ROW; i++) { // @unroll
        let each = block_sums[h * WORKGROUP + sum_row * SUM_ROW + i];
        own[h] += select(0.0, each, i < thread % SUM_ROW);
        all += each;
      }
      if (thread % SUM_ROW == 0u) {
        row_sums[h * SUM_ROWS + sum_row] = all;
      }
    }
    workgroupBarrier();
    var is_kept = PRUNE == 0u;
    for (var h = 0u; h < HEADS; h++) { // @unroll
      var all = 0.0;
      for (var r = 0u; r < SUM_ROWS; r++) { // @unroll
        own[h] += select(0.0, row_sums[h * SUM_ROWS + r], r < sum_row);
        all += row_sums[h * SUM_ROWS + r];
      }
      if (thread == 0u) {
        later[h] += all;
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

    for (; place >= first_tile; place -= i32(SPLITS)) {
      // 4. Load a tile of keys and values. Rows past the end repeat the newest one.
      let tile = u32(place) * TILE;
      let end = length;
      var k: array<vec4<u32>, LOADS>;
      var v: array<vec4<u32>, LOADS>;
      for (var load = 0u; load < LOADS; load++) { // @unroll
        let token = min(tile + (load / CHUNKS) * ROWS + row, newest);
        let at = lane_base + row_offset(kv_head, token) + chunk_offset(load % CHUNKS, lane);
        k[load] = keys[at];
        v[load] = values[at];
      }

      // 5. Compute its logits, and add the decays. All tokens of a tile are of one block.
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
      for (var i = thread; i < TILE * HEADS; i += WORKGROUP) {
        let h = i % HEADS;
        let token = min(tile + i / HEADS, newest);
        let later_blocks = block_sums[h * WORKGROUP + chunk - tile / DECAY_BLOCK];
        let own = token_decay(first_head + h, token, newest);
        logits[i] += (own + later_blocks) * LOG2_E;
      }
      workgroupBarrier();

      // 6. Update the running softmax.
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

    // Go on with the next chunk, if this one was kept to its end.
    go_on = blocks == WORKGROUP && chunk >= WORKGROUP;
    chunk = max(chunk, WORKGROUP) - WORKGROUP;
    for (var h = 0u; h < HEADS; h++) { // @unroll
      let blocks_begin = list_head(first_head, h) * (BLOCKS + 2u) + 2u;
      decay[h] = block_decays[blocks_begin + chunk - min(thread, chunk)];
    }
    workgroupBarrier();
  }

  // 7. Join the row groups and store the partials. Each row group rescales its acc to the common
  // maximum, so that a sum joins them.
  if (lane == 0u) {
    for (var h = 0u; h < HEADS; h++) { // @unroll
      stats[row * HEADS + h] = vec2f(m[h], l[h]);
    }
  }
  workgroupBarrier();
  for (var h = 0u; h < HEADS; h++) { // @unroll
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
    store_partial_of(list, h, wid.x, m_new, thread);
    workgroupBarrier();
  }

  // 8. Append the newest gate. The first workgroups of a list share its heads.
  for (var h = 0u; h < HEADS; h++) { // @unroll
    if (wid.x == h % SPLITS && length > 0u) {
      append_gate(first_head + h, newest, key_norms[h], thread);
    }
  }
}
