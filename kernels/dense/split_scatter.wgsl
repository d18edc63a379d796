// split_scatter.wgsl: dense decode attention (FlashDecoding) for GQA groups.
// split_subgroup.wgsl, but the sums of the dots are scattered over the lanes of a row: each lane
// gets the logits of one head, and computes the softmax of these alone. So a group of 8 query heads
// costs few instructions beside its multiply-adds, and K and V are read once for all of it.
//
// Dispatch (SPLITS, lists, batch). A list is HEADS query heads of one KV head: all of its group, or
// a part of the group where registers run short. A workgroup reads its share of K and V once for
// the whole list, and stores one unnormalised partial (acc, m, l) per query head. Lists of one KV
// head run side by side, so that they find each other's rows in the cache.
//
// LANES threads share a row in 16-byte loads: a row group. ROWS row groups work side by side, each
// with TOKENS rows in flight and a running softmax of its own. LANES is a power of two that divides
// the subgroup size, and a subgroup is consecutive threads. Logits are in log2 units.
// The lanes of a row group are numbered by head, then by token: lane h + HEAD_LANES * t has head h
// of tokens t, t + TOKEN_LANES, ... of those in flight. Unless PERMUTED is 0, each lane also has an
// order of heads and tokens of its own: slot i is head (own head) xor i. Then sums are scattered
// without selections. HEADS should then be a power of two.
// FIXED makes the maximum of a row group's first tile its m for all tiles: f32 has room for p up to
// 2^SLACK. Then the loop neither passes maxima around nor rescales. If some logit exceeds m by more
// than SLACK, the workgroup computes its tiles a second time, with the maximum of all.
// PAIRED demands subgroups of 2 * LANES threads or more, and an even number of row groups. Then
// half as many accumulators go through workgroup memory at the end.
//
// merge/join_splits.wgsl joins the partials of a list in a dispatch of its own. It would take
// longer if the last workgroup of a list joined so many heads.
//
// 1. Load the first tiles, then the queries.
// 2. Load a tile, PREFETCH tiles ahead.
// 3. Compute the dots of the current tile, and scatter their sums.
// 4. Update the running softmax, a head and a token per lane.
// 5. Add the values to the accumulators. Repeat 2 to 5 for all tiles of the split.
// 6. Join the two row groups of a subgroup.
// 7. Join all row groups and store the partials.
const HEAD_DIM: u32 = 128u; // @param
const BATCH: u32 = 1u; // @param sequences
const GROUP: u32 = 8u; // @param query heads per KV head
const KV_HEADS: u32 = 8u; // @param
const HEADS: u32 = 8u; // @param query heads of a list
const CAPACITY: u32 = 1024u; // @param tokens a cache row block holds
const KV_DTYPE: u32 = 1u; // @param 0 f32, 1 f16, 2 bf16
const WORKGROUP: u32 = 128u; // @param
const LANES: u32 = 16u; // @param threads per row
const TOKENS: u32 = 2u; // @param rows in flight per thread
const PREFETCH: u32 = 1u; // @param tiles that are loaded ahead
const HELD: u32 = 1u; // @param 1 to hold the queries in registers, 0 in workgroup memory
const PERMUTED: u32 = 1u; // @param 1 if each lane has an order of heads and tokens of its own
const BY_INDEX: u32 = 0u; // @param 1 if shuffles in the loop name the other lane, see from_peer()
const FIXED: u32 = 0u; // @param 1 to keep the maximum of the first tile, 0 to follow the maximum
const PAIRED: u32 = 0u; // @param 1 if a subgroup has two row groups, which shuffles join first
const JOINED: u32 = 4u; // @param heads whose row groups are joined at a time
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
const STRIDE = TILE * SPLITS; // tokens from a tile of a split to its next one
const SIDES = 1u + PREFETCH; // tiles in registers
const HEAD_BITS = 32u - countLeadingZeros(HEADS - 1u);
const HEAD_LANES = 1u << HEAD_BITS; // lanes of a token: HEADS, rounded up to a power of two
const SLOTS = HEADS + (HEAD_LANES - HEADS) * PERMUTED; // heads per thread
const TOKEN_LANES = min(TOKENS, LANES / HEAD_LANES); // tokens that have lanes of their own
const TOKEN_BITS = firstTrailingBit(TOKEN_LANES);
const LANE_LOGITS = TOKENS / TOKEN_LANES; // logits of a lane
const USED_LANES = HEAD_LANES * TOKEN_LANES; // lanes past them repeat their work
const SPARE_BITS = firstTrailingBit(LANES / USED_LANES);
const HELD_QUERIES = max(1u, SLOTS * PARTS * HELD);
const SHARED_QUERIES = max(1u, SLOTS * PARTS * (1u - HELD));
// p reaches 2^80. So sums over 2^20 tokens overflow only if values reach 2^27, which no f16 does.
const SLACK = 80.0;
const KEPT = (SLOTS + PAIRED) >> PAIRED; // heads that a thread keeps of a pair of row groups
const JOIN_ROWS = ROWS >> PAIRED; // row groups or pairs of them
const JOIN_TURNS = (HEADS + JOINED - 1u) / JOINED;
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
@group(0) @binding(4) var<storage, read_write> hand_over: HandOver;

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

var<workgroup> queries: array<array<vec4f, LANES>, SHARED_QUERIES>;
var<workgroup> scratch: array<vec4f, JOINED * JOIN_ROWS * HEAD_QUADS>;
var<workgroup> stats: array<vec2f, HEADS * JOIN_ROWS>; // (m, l)
/// Whether some logit exceeded a FIXED m by more than SLACK.
var<workgroup> has_exceeded: atomic<u32>;

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

// @shared add_dot
/// sum + dot(a, b), as four fused multiply-adds.
fn add_dot(sum: f32, a: vec4f, b: vec4f) -> f32 {
  return fma(a.w, b.w, fma(a.z, b.z, fma(a.y, b.y, fma(a.x, b.x, sum))));
}
// @end

/// Joins the row groups of JOINED heads, whose accumulators are in scratch, into the partials of
/// this split.
fn join_rows(turn: u32, list: u32, split: u32, thread: u32) {
  let heads = min(JOINED, HEADS - turn * JOINED);
  for (var column = thread; column < heads * HEAD_QUADS; column += WORKGROUP) {
    let place = column / HEAD_QUADS;
    let h = turn * JOINED + place;
    var m = NEG_LARGE;
    for (var r = 0u; r < JOIN_ROWS; r++) { // @unroll
      m = max(m, stats[r * HEADS + h].x);
    }
    var l = 0.0;
    var acc = vec4f(0.0);
    for (var r = 0u; r < JOIN_ROWS; r++) { // @unroll
      let alpha = exp2(stats[r * HEADS + h].x - m);
      l += stats[r * HEADS + h].y * alpha;
      acc += scratch[(place * JOIN_ROWS + r) * HEAD_QUADS + column % HEAD_QUADS] * alpha;
    }
    let first = list * LIST_QUADS + (h * SPLITS + split) * PARTIAL_QUADS;
    hand_over.partials[first + column % HEAD_QUADS] = acc;
    if (column % HEAD_QUADS == 0u) {
      hand_over.partials[first + HEAD_QUADS] = vec4f(m, l, 0.0, 0.0);
    }
  }
}

/// The value of the lane whose number differs in the bits of `flip`. Tint checks each result of
/// subgroupShuffleXor() by an xor, a comparison and a selection. It bounds the index of
/// subgroupShuffle() instead, and the same index serves a whole loop.
fn from_peer(value: f32, lane: u32, flip: u32) -> f32 {
  if (BY_INDEX == 1u) {
    return subgroupShuffle(value, lane ^ flip);
  }
  return subgroupShuffleXor(value, flip);
}

/// The value of the lane that has the head, or the head and token, of a thread's slot `slot`.
fn from_slot(value: f32, slot: u32, lane: u32, subgroup_lane: u32) -> f32 {
  if (PERMUTED == 1u) {
    return from_peer(value, subgroup_lane, slot);
  }
  return subgroupShuffle(value, subgroup_lane - lane + slot);
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
  @builtin(subgroup_invocation_id) subgroup_lane: u32,
) {
  let lane = thread % LANES;
  let row = thread / LANES;
  let own_head = lane % HEAD_LANES;
  let own_token = lane / HEAD_LANES % TOKEN_LANES;
  // What to xor with a slot to get its head, or its token among TOKEN_LANES.
  let head_flip = own_head * PERMUTED;
  let token_flip = own_token * PERMUTED;
  let list = wid.z * KV_HEADS * KV_LISTS + wid.y;
  let kv_head = list / KV_LISTS;
  // The last list of a group may be too long. It repeats the last head and stores its output once.
  let first_head = kv_head * GROUP + list % KV_LISTS * HEADS;
  let last_head = kv_head * GROUP + GROUP - 1u;
  // Tiles go to the splits in turn, so that all workgroups of a head read one moving window.
  let begin = wid.x * TILE;
  let lane_base = head_start(kv_head) + lane;

  // 1. Load the first tiles before the length is known, then the queries.
  // Tiles take turns in these registers, so that none is copied.
  var k: array<vec4<u32>, SIDES * LOADS>;
  var v: array<vec4<u32>, SIDES * LOADS>;
  for (var load = 0u; load < PREFETCH * LOADS; load++) { // @unroll
    let row_token = ((load % LOADS / CHUNKS) ^ token_flip) * ROWS + row;
    let token = min(begin + load / LOADS * STRIDE + row_token, CAPACITY - 1u);
    let at = lane_base + row_offset(kv_head, token) + (load % CHUNKS) * LANES;
    k[load] = keys[at];
    v[load] = values[at];
  }

  var query: array<vec4f, HELD_QUERIES>;
  for (var h = 0u; h < SLOTS; h++) { // @unroll
    for (var part = 0u; part < PARTS; part++) { // @unroll
      let head = min(first_head + (h ^ head_flip), last_head);
      let quad = query_quad(head * HEAD_QUADS + row_quad(part, lane));
      let scaled = quad * SCALE;
      if (HELD == 1u) {
        query[min(h * PARTS + part, HELD_QUERIES - 1u)] = scaled;
      } else if (row == 0u) {
        queries[min(h * PARTS + part, SHARED_QUERIES - 1u)][lane] = scaled;
      }
    }
  }
  if (HELD == 0u) {
    workgroupBarrier();
  }

  // Values past the end of the sequence may be NaN, which p = 0 does not remove. They become zeros
  // in the first tiles; later tiles load the last row again. Step 4 masks the logits of both.
  let length = lengths[wid.z];
  let last = length - 1u;
  for (var load = 0u; load < PREFETCH * LOADS; load++) { // @unroll
    let row_token = ((load % LOADS / CHUNKS) ^ token_flip) * ROWS + row;
    let inside = begin + load / LOADS * STRIDE + row_token < length;
    v[load] = select(vec4<u32>(0u), v[load], inside);
  }

  var acc: array<vec4f, SLOTS * PARTS>;
  var m = NEG_LARGE;
  var l = 0.0;
  var top = m; // of this lane's logits so far
  for (var attempt = 0u; attempt <= FIXED; attempt++) {
    if (attempt > 0u) {
      if (top > m + SLACK) {
        atomicStore(&has_exceeded, 1u);
      }
      if (workgroupUniformLoad(&has_exceeded) == 0u) {
        break;
      }
      for (var load = 0u; load < PREFETCH * LOADS; load++) { // @unroll
        let row_token = ((load % LOADS / CHUNKS) ^ token_flip) * ROWS + row;
        let token = min(begin + load / LOADS * STRIDE + row_token, last);
        let at = lane_base + row_offset(kv_head, token) + (load % CHUNKS) * LANES;
        k[load] = keys[at];
        v[load] = values[at];
      }
    }

    for (var i = 0u; i < SLOTS * PARTS; i++) { // @unroll
      acc[i] = vec4f(0.0);
    }
    l = 0.0;

    // A tile past the end of the sequence has p = 0 throughout.
    for (var first_tile = begin; first_tile < length; first_tile += SIDES * STRIDE) {
      for (var side = 0u; side < SIDES; side++) { // @unroll
        // 2. Load a tile.
        let tile = first_tile + side * STRIDE;
        let next = (side + PREFETCH) % SIDES;
        for (var load = 0u; load < LOADS; load++) { // @unroll
          let row_token = ((load / CHUNKS) ^ token_flip) * ROWS + row;
          let token = min(tile + PREFETCH * STRIDE + row_token, last);
          let at = lane_base + row_offset(kv_head, token) + (load % CHUNKS) * LANES;
          k[next * LOADS + load] = keys[at];
          v[next * LOADS + load] = values[at];
        }

        // 3. Compute the dots of the current tile.
        var sums = array<f32, TOKENS * HEAD_LANES>();
        for (var part = 0u; part < PARTS; part++) { // @unroll
          var key: array<vec4f, TOKENS>;
          for (var t = 0u; t < TOKENS; t++) { // @unroll
            key[t] = widen(k[side * LOADS + t * CHUNKS + part / QUADS], part % QUADS);
          }
          for (var h = 0u; h < SLOTS; h++) { // @unroll
            var own: vec4f;
            if (HELD == 1u) {
              own = query[min(h * PARTS + part, HELD_QUERIES - 1u)];
            } else {
              own = queries[min(h * PARTS + part, SHARED_QUERIES - 1u)][lane];
            }
            for (var t = 0u; t < TOKENS; t++) { // @unroll
              let at = t * HEAD_LANES + h;
              sums[at] = add_dot(sums[at], key[t], own);
            }
          }
        }
        // Each step sends half of the heads to the lanes that keep them: lane bits are bits of the
        // head.
        for (var step = 0u; step < HEAD_BITS; step++) { // @unroll
          let flip = HEAD_LANES >> (step + 1u);
          let is_upper = (lane & flip) != 0u;
          for (var h = 0u; h < HEAD_LANES / 2u; h++) { // @unroll
            if (h < flip) {
              let other = min(h + flip, HEAD_LANES - 1u);
              for (var t = 0u; t < TOKENS; t++) { // @unroll
                let low = sums[t * HEAD_LANES + h];
                let high = sums[t * HEAD_LANES + other];
                var kept = low;
                var sent = low;
                if (PERMUTED == 1u) {
                  sent = high;
                } else if (other < HEADS) {
                  kept = select(low, high, is_upper);
                  sent = select(high, low, is_upper);
                }
                sums[t * HEAD_LANES + h] = kept + from_peer(sent, subgroup_lane, flip);
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
          let flip = USED_LANES >> (step + 1u);
          let is_upper = (lane & flip) != 0u;
          for (var t = 0u; t < TOKENS; t++) { // @unroll
            if (t % TOKEN_LANES < (TOKEN_LANES >> (step + 1u))) {
              let low = logits[t];
              let high = logits[min(t + (TOKEN_LANES >> (step + 1u)), TOKENS - 1u)];
              var kept = low;
              var sent = high;
              if (PERMUTED == 0u) {
                kept = select(low, high, is_upper);
                sent = select(high, low, is_upper);
              }
              logits[t] = kept + from_peer(sent, subgroup_lane, flip);
            }
          }
        }
        for (var step = 0u; step < SPARE_BITS; step++) { // @unroll
          for (var i = 0u; i < LANE_LOGITS; i++) { // @unroll
            let sum = logits[i * TOKEN_LANES];
            logits[i * TOKEN_LANES] = sum + from_peer(sum, subgroup_lane, USED_LANES << step);
          }
        }

        // 4. Update the running softmax of the lane's head. The lanes of a head share its maximum.
        if (FIXED == 0u) {
          top = m;
        }
        for (var i = 0u; i < LANE_LOGITS; i++) { // @unroll
          let token = tile + (i * TOKEN_LANES + own_token) * ROWS + row;
          let logit = capped(logits[i * TOKEN_LANES]);
          logits[i * TOKEN_LANES] = select(NEG_LARGE, logit, token < length);
          top = max(top, logits[i * TOKEN_LANES]);
        }
        var m_new = m;
        if (FIXED == 0u || (side == 0u && first_tile == begin)) {
          for (var step = 0u; step < TOKEN_BITS; step++) { // @unroll
            top = max(top, from_peer(top, subgroup_lane, HEAD_LANES << step));
          }
          m_new = top;
        }
        let alpha = exp2(m - m_new);
        if (FIXED == 0u) {
          l *= alpha;
        }
        var p: array<f32, LANE_LOGITS>;
        for (var i = 0u; i < LANE_LOGITS; i++) { // @unroll
          let token = tile + (i * TOKEN_LANES + own_token) * ROWS + row;
          p[i] = select(0.0, exp2(logits[i * TOKEN_LANES] - m_new), token < length);
          l += p[i];
        }
        if (FIXED == 0u) {
          var alphas: array<f32, SLOTS>;
          for (var h = 0u; h < SLOTS; h++) { // @unroll
            alphas[h] = from_slot(alpha, h, lane, subgroup_lane);
          }
          // The maximum seldom changes.
          if (subgroupAny(m_new != m)) {
            for (var h = 0u; h < SLOTS; h++) { // @unroll
              for (var part = 0u; part < PARTS; part++) { // @unroll
                acc[h * PARTS + part] *= alphas[h];
              }
            }
          }
        }
        m = m_new;

        // 5. Add the values to the accumulators.
        for (var t = 0u; t < TOKENS; t++) { // @unroll
          var value: array<vec4f, PARTS>;
          for (var part = 0u; part < PARTS; part++) { // @unroll
            value[part] = widen(v[side * LOADS + t * CHUNKS + part / QUADS], part % QUADS);
          }
          for (var h = 0u; h < SLOTS; h++) { // @unroll
            let source = t % TOKEN_LANES * HEAD_LANES + h;
            var weight = p[t / TOKEN_LANES];
            if (PERMUTED == 0u || source != 0u) {
              weight = from_slot(weight, source, lane, subgroup_lane);
            }
            for (var part = 0u; part < PARTS; part++) { // @unroll
              acc[h * PARTS + part] = fma(value[part], vec4f(weight), acc[h * PARTS + part]);
            }
          }
        }
      }
    }
  }

  // 6. Join the two row groups of a subgroup. Each of them keeps half of the heads.
  for (var step = 0u; step < TOKEN_BITS; step++) { // @unroll
    l += subgroupShuffleXor(l, HEAD_LANES << step);
  }
  let is_upper_row = PAIRED == 1u && row % 2u == 1u;
  if (PAIRED == 1u) {
    let m_pair = max(m, subgroupShuffleXor(m, LANES));
    let alpha = exp2(m - m_pair);
    m = m_pair;
    l *= alpha;
    l += subgroupShuffleXor(l, LANES);
    for (var h = 0u; h < SLOTS; h++) { // @unroll
      let slot_alpha = from_slot(alpha, h, lane, subgroup_lane);
      for (var part = 0u; part < PARTS; part++) { // @unroll
        acc[h * PARTS + part] *= slot_alpha;
      }
    }
    for (var h = 0u; h < KEPT; h++) { // @unroll
      for (var part = 0u; part < PARTS; part++) { // @unroll
        let low = acc[h * PARTS + part];
        let high = acc[min(h + KEPT, SLOTS - 1u) * PARTS + part];
        let sent = select(high, low, is_upper_row);
        acc[h * PARTS + part] = select(low, high, is_upper_row) + subgroupShuffleXor(sent, LANES);
      }
    }
  }

  // 7. Join all row groups and store the partials, JOINED heads at a time.
  let join_row = row >> PAIRED;
  if (lane < HEADS && !is_upper_row) {
    stats[join_row * HEADS + lane] = vec2f(m, l);
  }
  workgroupBarrier();
  for (var turn = 0u; turn < JOIN_TURNS; turn++) { // @unroll
    for (var h = 0u; h < KEPT; h++) { // @unroll
      let slot = h + select(0u, KEPT, is_upper_row);
      let head = slot ^ head_flip;
      if (slot < SLOTS && head / JOINED == turn) {
        for (var part = 0u; part < PARTS; part++) { // @unroll
          let at = (head % JOINED * JOIN_ROWS + join_row) * HEAD_QUADS + row_quad(part, lane);
          scratch[at] = acc[h * PARTS + part];
        }
      }
    }
    workgroupBarrier();
    join_rows(turn, list, wid.x, thread);
    workgroupBarrier();
  }
}
