// split_scatter.wgsl: dense decode attention for large GQA groups, split over the tokens.
// split_subgroup.wgsl, but the sums of the dots are scattered over the lanes of a row: each lane
// gets the logits of one head, and computes the softmax of these alone. So a group of 8 query heads
// costs few instructions beside its multiply-adds, and K and V are read once for all of it.
//
// Dispatch (SPLITS, lists, batch). A list is HEADS query heads of one KV head: all of its group, or
// a part of the group where registers run short. A workgroup reads its share of K and V once for
// the whole list, and stores one unnormalised partial (acc, m, l) per query head; merge/merge.wgsl
// joins the partials of the splits. Lists of one KV head run side by side, so that they find each
// other's rows in the cache.
//
// LANES threads share a row in 16-byte loads: a row group. ROWS row groups work side by side, each
// with TOKENS rows in flight and a running softmax of its own. LANES is a power of two that divides
// the subgroup size, and a subgroup is consecutive threads. Logits are in log2 units.
// The lanes of a row group are numbered by head, then by token: lane h + HEAD_LANES * t has head h
// of tokens t, t + TOKEN_LANES, ... of those in flight.
// With PERMUTED, each lane has an order of heads and tokens of its own: slot i is its own head
// xor i. Then sums are scattered without selections, and shuffles need no index; but if HEADS is no
// power of two, some slots repeat a head in vain.
//
// Code that runs once is kept short: instructions come from memory, and a launch waits for them.
//
// 1. Load the first tile, and the queries into workgroup memory.
// 2. Load the next tile.
// 3. Compute the dots of the current tile, and scatter their sums.
// 4. Update the running softmax, a head and a token per lane.
// 5. Add the values to the accumulators. Repeat 2 to 5 for all tiles of the split.
// 6. Join the row groups and store the partials.
const HEAD_DIM: u32 = 128u; // @param
const GROUP: u32 = 8u; // @param query heads per KV head
const KV_HEADS: u32 = 8u; // @param
const HEADS: u32 = 8u; // @param query heads of a list
const CAPACITY: u32 = 1024u; // @param tokens a cache row block holds
const KV_DTYPE: u32 = 1u; // @param 0 f32, 1 f16, 2 bf16
const WORKGROUP: u32 = 128u; // @param
const LANES: u32 = 16u; // @param threads per row
const TOKENS: u32 = 2u; // @param rows in flight per thread
const PERMUTED: u32 = 1u; // @param 1 if each lane has an order of heads and tokens of its own
const JOINED: u32 = 8u; // @param slots that the rows add up at a time
const SPLITS: u32 = 8u; // @param

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
const HEAD_BITS = 32u - countLeadingZeros(HEADS - 1u);
const HEAD_LANES = 1u << HEAD_BITS; // lanes of a token: HEADS, rounded up to a power of two
const SLOTS = HEADS + (HEAD_LANES - HEADS) * PERMUTED; // heads per thread
const TOKEN_LANES = min(TOKENS, LANES / HEAD_LANES); // tokens that have lanes of their own
const TOKEN_BITS = firstTrailingBit(TOKEN_LANES);
const LANE_LOGITS = TOKENS / TOKEN_LANES; // logits of a lane
const USED_LANES = HEAD_LANES * TOKEN_LANES; // lanes past them repeat their work
const SPARE_BITS = firstTrailingBit(LANES / USED_LANES);
const JOIN_QUADS = min(JOINED, SLOTS) * PARTS;
const JOIN_TURNS = (SLOTS + JOINED - 1u) / JOINED;
const KV_LISTS = (GROUP + HEADS - 1u) / HEADS; // lists of a KV head
// @shared softmax
const NEG_LARGE = -1e30; // in place of minus infinity, for which WGSL promises nothing
const LOG2_E = 1.4426950408889634; // logits are in log2 units
// @end

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read> q: array<vec4f>;
@group(0) @binding(2) var<storage, read> keys: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> values: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read_write> partial_out: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> partial_stats: array<vec2f>;

var<workgroup> queries: array<array<vec4f, LANES>, SLOTS * PARTS>;
var<workgroup> scratch: array<vec4f, max(ROWS / 2u * JOIN_QUADS * LANES, 1u)>;
var<workgroup> stats: array<vec2f, HEAD_LANES * ROWS>; // (m, l)

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
  return select(0.0, LOG2_E / sqrt(f32(HEAD_DIM)), is_own);
}
// @end

// @shared add_dot
/// sum + dot(a, b), as four fused multiply-adds.
fn add_dot(sum: f32, a: vec4f, b: vec4f) -> f32 {
  return fma(a.w, b.w, fma(a.z, b.z, fma(a.y, b.y, fma(a.x, b.x, sum))));
}
// @end

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
  @builtin(subgroup_invocation_id) subgroup_lane: u32,
) {
  let lane = thread % LANES;
  let row = thread / LANES;
  let first_lane = subgroup_lane - lane; // of the row group in its subgroup
  let own_head = lane % HEAD_LANES;
  let own_token = lane / HEAD_LANES % TOKEN_LANES;
  // What to xor with a slot to get its head, or its token among TOKEN_LANES.
  let head_flip = own_head * PERMUTED;
  let token_flip = own_token * PERMUTED;
  let list = wid.z * KV_HEADS * KV_LISTS + wid.y;
  let kv_head = list / KV_LISTS;
  let first_head = kv_head * GROUP + list % KV_LISTS * HEADS;
  let last_head = kv_head * GROUP + GROUP - 1u;
  // Tiles go to the splits in turn, so that all workgroups of a head read one moving window.
  let begin = wid.x * TILE;
  let lane_base = kv_head * CAPACITY * ROW_LOADS + lane;

  // 1. Load the first tile before the length is known, then the queries.
  var k: array<vec4<u32>, LOADS>;
  var v: array<vec4<u32>, LOADS>;
  var next_k: array<vec4<u32>, LOADS>;
  var next_v: array<vec4<u32>, LOADS>;
  for (var load = 0u; load < LOADS; load++) { // @unroll
    let row_token = ((load / CHUNKS) ^ token_flip) * ROWS + row;
    let token = min(begin + row_token, CAPACITY - 1u);
    let at = lane_base + token * ROW_LOADS + chunk_offset(load % CHUNKS, lane);
    k[load] = keys[at];
    v[load] = values[at];
  }
  for (var i = thread; i < SLOTS * PARTS * LANES; i += WORKGROUP) {
    let slot = i / LANES / PARTS;
    let flip = i % LANES % HEAD_LANES * PERMUTED;
    let head = min(first_head + (slot ^ flip), last_head);
    let quad = q[head * HEAD_QUADS + row_quad(i / LANES % PARTS, i % LANES)];
    queries[i / LANES][i % LANES] = quad * query_scale(i / LANES % PARTS, i % LANES);
  }
  var acc: array<vec4f, SLOTS * PARTS>;
  for (var i = 0u; i < SLOTS * PARTS; i++) { // @unroll
    acc[i] = vec4f(0.0);
  }
  var m = NEG_LARGE;
  var l = 0.0;

  // Values past the end of the sequence may be NaN, which p = 0 does not remove. They become zeros
  // in the first tile; later tiles load the last row again. Step 4 masks the logits of both.
  let length = lengths[wid.z];
  let last = length - 1u;
  for (var load = 0u; load < LOADS; load++) { // @unroll
    let inside = begin + ((load / CHUNKS) ^ token_flip) * ROWS + row < length;
    v[load] = select(vec4<u32>(0u), v[load], inside);
  }

  workgroupBarrier();

  for (var tile = begin; tile < length; tile += STRIDE) {
    // 2. Load the next tile.
    for (var load = 0u; load < LOADS; load++) { // @unroll
      let row_token = ((load / CHUNKS) ^ token_flip) * ROWS + row;
      let token = min(tile + STRIDE + row_token, last);
      let at = lane_base + token * ROW_LOADS + chunk_offset(load % CHUNKS, lane);
      next_k[load] = keys[at];
      next_v[load] = values[at];
    }

    // 3. Compute the dots of the current tile.
    var sums = array<f32, TOKENS * HEAD_LANES>();
    for (var part = 0u; part < PARTS; part++) { // @unroll
      var key: array<vec4f, TOKENS>;
      for (var t = 0u; t < TOKENS; t++) { // @unroll
        key[t] = widen(k[t * CHUNKS + part / QUADS], part % QUADS);
      }
      for (var h = 0u; h < SLOTS; h++) { // @unroll
        let own = queries[h * PARTS + part][lane];
        for (var t = 0u; t < TOKENS; t++) { // @unroll
          let at = t * HEAD_LANES + h;
          sums[at] = add_dot(sums[at], key[t], own);
        }
      }
    }
    // Each step sends half of the heads to the lanes that keep them. A bit of the lane is one of
    // the head.
    for (var step = 0u; step < HEAD_BITS; step++) { // @unroll
      let is_upper = (lane & (HEAD_LANES >> (step + 1u))) != 0u;
      for (var h = 0u; h < HEAD_LANES / 2u; h++) { // @unroll
        if (h < (HEAD_LANES >> (step + 1u))) {
          let other = min(h + (HEAD_LANES >> (step + 1u)), HEAD_LANES - 1u);
          for (var t = 0u; t < TOKENS; t++) { // @unroll
            let low = sums[t * HEAD_LANES + h];
            let high = sums[t * HEAD_LANES + other];
            if (PERMUTED == 1u) {
              sums[t * HEAD_LANES + h] = low + subgroupShuffleXor(high, HEAD_LANES >> (step + 1u));
            } else if (other < HEADS) {
              sums[t * HEAD_LANES + h] = select(low, high, is_upper) +
                subgroupShuffleXor(select(high, low, is_upper), HEAD_LANES >> (step + 1u));
            } else {
              sums[t * HEAD_LANES + h] = low + subgroupShuffleXor(low, HEAD_LANES >> (step + 1u));
            }
          }
        }
      }
    }
    // Then the same for tokens.
    var logits: array<f32, TOKENS>;
    for (var t = 0u; t < TOKENS; t++) { // @unroll
      logits[t] = sums[t * HEAD_LANES];
    }
    for (var step = 0u; step < TOKEN_BITS; step++) { // @unroll
      let is_upper = (lane & (USED_LANES >> (step + 1u))) != 0u;
      for (var t = 0u; t < TOKENS; t++) { // @unroll
        if (t % TOKEN_LANES < (TOKEN_LANES >> (step + 1u))) {
          let low = logits[t];
          let high = logits[min(t + (TOKEN_LANES >> (step + 1u)), TOKENS - 1u)];
          if (PERMUTED == 1u) {
            logits[t] = low + subgroupShuffleXor(high, USED_LANES >> (step + 1u));
          } else {
            logits[t] = select(low, high, is_upper) +
              subgroupShuffleXor(select(high, low, is_upper), USED_LANES >> (step + 1u));
          }
        }
      }
    }
    for (var step = 0u; step < SPARE_BITS; step++) { // @unroll
      for (var i = 0u; i < LANE_LOGITS; i++) { // @unroll
        let sum = logits[i * TOKEN_LANES];
        logits[i * TOKEN_LANES] = sum + subgroupShuffleXor(sum, USED_LANES << step);
      }
    }

    // 4. Update the running softmax of the lane's head. The lanes of a head share its maximum.
    var m_new = m;
    for (var i = 0u; i < LANE_LOGITS; i++) { // @unroll
      let token = tile + (i * TOKEN_LANES + own_token) * ROWS + row;
      logits[i * TOKEN_LANES] = select(NEG_LARGE, logits[i * TOKEN_LANES], token < length);
      m_new = max(m_new, logits[i * TOKEN_LANES]);
    }
    for (var step = 0u; step < TOKEN_BITS; step++) { // @unroll
      m_new = max(m_new, subgroupShuffleXor(m_new, HEAD_LANES << step));
    }
    let alpha = exp2(m - m_new);
    l *= alpha;
    var p: array<f32, LANE_LOGITS>;
    for (var i = 0u; i < LANE_LOGITS; i++) { // @unroll
      let token = tile + (i * TOKEN_LANES + own_token) * ROWS + row;
      p[i] = select(0.0, exp2(logits[i * TOKEN_LANES] - m_new), token < length);
      l += p[i];
    }
    var alphas: array<f32, SLOTS>;
    for (var h = 0u; h < SLOTS; h++) { // @unroll
      if (PERMUTED == 1u) {
        alphas[h] = subgroupShuffleXor(alpha, h);
      } else {
        alphas[h] = subgroupShuffle(alpha, first_lane + h);
      }
    }
    // The maximum seldom changes.
    if (subgroupAny(m_new != m)) {
      for (var h = 0u; h < SLOTS; h++) { // @unroll
        for (var part = 0u; part < PARTS; part++) { // @unroll
          acc[h * PARTS + part] *= alphas[h];
        }
      }
    }
    m = m_new;

    // 5. Add the values to the accumulators.
    for (var t = 0u; t < TOKENS; t++) { // @unroll
      var value: array<vec4f, PARTS>;
      for (var part = 0u; part < PARTS; part++) { // @unroll
        value[part] = widen(v[t * CHUNKS + part / QUADS], part % QUADS);
      }
      for (var h = 0u; h < SLOTS; h++) { // @unroll
        let source = t % TOKEN_LANES * HEAD_LANES + h;
        var weight = p[t / TOKEN_LANES];
        if (PERMUTED == 0u) {
          weight = subgroupShuffle(weight, first_lane + source);
        } else if (source != 0u) {
          weight = subgroupShuffleXor(weight, source);
        }
        for (var part = 0u; part < PARTS; part++) { // @unroll
          acc[h * PARTS + part] = fma(value[part], vec4f(weight), acc[h * PARTS + part]);
        }
      }
    }
    for (var load = 0u; load < LOADS; load++) { // @unroll
      k[load] = next_k[load];
      v[load] = next_v[load];
    }
  }

  // 6. Join the row groups. The code is short, since it runs once: no loop is written out that need
  // not be.
  for (var step = 0u; step < TOKEN_BITS; step++) { // @unroll
    l += subgroupShuffleXor(l, HEAD_LANES << step);
  }
  if (lane < HEAD_LANES) {
    stats[row * HEAD_LANES + lane] = vec2f(m, l);
  }
  workgroupBarrier();
  var m_all = NEG_LARGE;
  for (var r = 0u; r < ROWS; r++) {
    m_all = max(m_all, stats[r * HEAD_LANES + own_head].x);
  }
  var l_all = 0.0;
  for (var r = 0u; r < ROWS; r++) {
    let row_stats = stats[r * HEAD_LANES + own_head];
    l_all += row_stats.y * exp2(row_stats.x - m_all);
  }
  let row_alpha = exp2(m - m_all);
  for (var h = 0u; h < SLOTS; h++) { // @unroll
    var alpha = row_alpha;
    if (PERMUTED == 1u) {
      alpha = subgroupShuffleXor(alpha, h);
    } else {
      alpha = subgroupShuffle(alpha, first_lane + h);
    }
    for (var part = 0u; part < PARTS; part++) { // @unroll
      acc[h * PARTS + part] *= alpha;
    }
  }
  // The upper half of the rows hands its sums to the lower half, until one row has them all.
  for (var turn = 0u; turn < JOIN_TURNS; turn++) { // @unroll
    for (var rows = ROWS; rows > 1u; rows -= rows / 2u) {
      let kept = rows - rows / 2u;
      let is_upper = row >= kept && row < rows;
      let is_lower = row < rows / 2u;
      let place = select(row, row - kept, is_upper) * (JOIN_QUADS * LANES) + lane;
      if (is_upper) {
        for (var i = 0u; i < JOIN_QUADS; i++) { // @unroll
          scratch[place + i * LANES] = acc[min(turn * JOIN_QUADS + i, SLOTS * PARTS - 1u)];
        }
      }
      workgroupBarrier();
      if (is_lower) {
        for (var i = 0u; i < JOIN_QUADS; i++) { // @unroll
          if (turn * JOIN_QUADS + i < SLOTS * PARTS) {
            acc[min(turn * JOIN_QUADS + i, SLOTS * PARTS - 1u)] += scratch[place + i * LANES];
          }
        }
      }
      workgroupBarrier();
    }
  }
  // Store the partials. The last list of a group may have heads that are not there.
  if (row == 0u) {
    for (var h = 0u; h < SLOTS; h++) { // @unroll
      let head = first_head + (h ^ head_flip);
      if ((h ^ head_flip) < HEADS && head <= last_head) {
        for (var part = 0u; part < PARTS; part++) { // @unroll
          let at = (head * SPLITS + wid.x) * HEAD_QUADS + row_quad(part, lane);
          partial_out[at] = acc[h * PARTS + part];
        }
      }
    }
    if (lane < HEADS && first_head + lane <= last_head) {
      partial_stats[(first_head + lane) * SPLITS + wid.x] = vec2f(m_all, l_all);
    }
  }
}
