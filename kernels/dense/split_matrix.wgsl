// split_matrix.wgsl: dense decode attention (FlashDecoding) on matrix units, for large GQA groups.
// split.wgsl with products of matrices, which leave time to spare where split.wgsl computes.
//
// Needs subgroups of 32 consecutive threads and matrices of 16 x 16 x 16, f16 with f32 sums. Keys
// and values are f16.
//
// Dispatch (SPLITS, KV heads, batch). A workgroup reads its share of K and V once for the whole
// group, TILE tokens at a time, and stores one unnormalised partial (acc, m, l) per query head.
//
// A product takes 16 rows anyway, and a group has fewer heads. So each f32 factor x is two rows of
// f16: high, x rounded, and low, (x - high) * 2^11. The product is that of high, plus that of low /
// 2^11. HEADS rows are high and HEADS rows low: 8 and 8 in one matrix up to 8 heads, else 16 and
// 16.
//
// Elements of a matrix have no place that a thread could know, so all of them pass through
// workgroup memory. The next tile waits in registers, so that 2 and 3 are one stretch of products.
//
// 1. Request the first tile. Scale each query by a power of two, divide it into high and low, and
//    keep it in matrices.
// 2. Add p times values of the tile before to the matrices. Subgroups divide the dimensions.
// 3. Multiply queries and keys; store the logits. Subgroups divide the tokens of the tile; if there
//    are more subgroups than matrices of tokens, also the dimensions.
// 4. Stage the values of this tile and the keys of the next one, and request those that follow.
// 5. Find the maximum of each head in the tile. Take it as m if it exceeds m by more than SLACK.
//    Compute p = exp2(logit - m), at most 2^SLACK, and l. Store high and low of p. Repeat 2 to 5
//    for FLUSH tiles, until some m changes, or to the end of the split.
// 6. Add the sums of the matrices to those of the threads, rescale these, begin the matrices anew,
//    and go on with 2. This stands outside the loop of 2 to 5, so that compilers are free to order
//    the loads and products there.
// 7. Add up and store the partials.
//
// Error. high + low / 2^11 differs from x by at most 2^-22 |x|, or by 2^-36 below 2^-14. The power
// of two makes the largest element of a query 1 to 2, and the largest p is at least 1. Products of
// f16 are exact in f32. So beside f32 sums a logit is off by 2^-22 sum |q k|, and an output by
// (2^-22 + 2^-36 n) sum(w |v|), w being the weights and n the tokens: below f32 arithmetic of so
// many terms. Matrix units cut off sums instead of rounding them, half a unit in the last place
// each time on average: 2^-25 to 2^-24 of the sum. FLUSH * TILE / 16 such steps add at most 2^-18
// for 1,024 tokens, the most, which is why sums move to threads after so many.
const HEAD_DIM: u32 = 128u; // @param
const BATCH: u32 = 1u; // @param sequences
const GROUP: u32 = 16u; // @param query heads per KV head
const KV_HEADS: u32 = 8u; // @param
const CAPACITY: u32 = 1024u; // @param tokens a cache row block holds
const WORKGROUP: u32 = 128u; // @param
const TILE: u32 = 32u; // @param tokens of a tile
const FLUSH: u32 = 8u; // @param tiles whose sums stay in matrices
const SPLITS: u32 = 8u; // @param

const KV_DTYPE = 1u; // f16
// @shared cache_strides
// Rows of K and V. Strides are in 16-byte loads, or all 0 for [B, KV_HEADS, CAPACITY, HEAD_DIM].
const OUTER_STRIDE: u32 = 0u; // @param from a sequence, or a page, to the next
const HEAD_STRIDE: u32 = 0u; // @param from a KV head to the next
const TOKEN_STRIDE: u32 = 0u; // @param from a token to the next
const TABLE_BITS: u32 = 0u; // @param log2 of the tokens of a page; 0 without a page table
const KV_WIDTH = 4u + 4u * u32(KV_DTYPE != 0u); // values of a load
const KV_LOADS = HEAD_DIM / KV_WIDTH; // loads of a row
// @end
const SUBGROUP = 32u; // threads
const SUBGROUPS = WORKGROUP / SUBGROUP;
const SIDE = 16u; // rows and columns of a matrix
const SETS = 1u + u32(GROUP > 8u); // matrices one above the other
const ROWS = SETS * SIDE;
const HEADS = ROWS / 2u; // those past the group repeat its last one
const LOW = 2048.0; // factor of the low rows
const HEAD_QUADS = HEAD_DIM / 4u;
const ROW_LOADS = HEAD_DIM / 8u; // 16-byte loads of a row of f16
const ROW_SLOTS = ROW_LOADS + 1u; // 16-byte slots of a staged row, an odd number against conflicts
const LOAD_ROWS = WORKGROUP / ROW_LOADS; // rows that the workgroup loads side by side
const LOADS = TILE / LOAD_ROWS; // of keys, and of values, per thread
const STRIDE = TILE * SPLITS; // tokens from a tile of a split to its next one

const BLOCKS = TILE / SIDE; // matrices of tokens
const PARTS = max(SUBGROUPS / BLOCKS, 1u); // into which dimensions are divided in products of keys
const MY_BLOCKS = max(BLOCKS / SUBGROUPS, 1u);
const STEPS = HEAD_DIM / SIDE / PARTS; // matrices along a part of a row
const QUERY_MATRICES = SETS * STEPS;
const OUT_DIMS = HEAD_DIM / SUBGROUPS; // dimensions of the output of a subgroup
const OUT_WIDTH = OUT_DIMS / SIDE;
const OUT_MATRICES = SETS * OUT_WIDTH;

const LANES = 8u; // threads of a head in the softmax
const WORKERS = HEADS * LANES; // threads of the softmax; others repeat the work of these
const MY_QUADS = TILE / 4u / LANES; // vec4f of logits of a thread
const QUERY_TURNS = ROW_LOADS / LANES;
const LANE_BITS = firstTrailingBit(LANES);

// Areas of workgroup memory, in slots. Checks of matrix loads count a whole last row.
const KEY_AREA = max(TILE, ROWS) * ROW_SLOTS + ROW_SLOTS; // first of queries, then of keys
const VALUE_AREA = TILE * ROW_SLOTS + ROW_SLOTS;
const LOGIT_SLOTS = TILE / 4u + 1u; // of a row of logits
const P_SLOTS = TILE / 8u + 1u; // of a row of p
const P_AREA = ROWS * P_SLOTS + P_SLOTS;
const SCRATCH_SLOTS = ROWS * 4u; // sums of SETS matrices
const LOGIT_AREA = max(PARTS * ROWS * LOGIT_SLOTS + LOGIT_SLOTS, SUBGROUPS * SCRATCH_SLOTS);
const SLACK = 8.0; // p reaches 256: far from the largest f16
// @shared softmax
const NEG_LARGE = -1e30; // in place of minus infinity, for which WGSL promises nothing
const LOG2_E = 1.4426950408889634; // logits are in log2 units
// @end
// @shared logit_scale
const SCALE = LOG2_E / sqrt(f32(HEAD_DIM)); // from a dot to a logit
// @end

alias Left = subgroup_matrix_left<f16, 16, 16>;
alias Right = subgroup_matrix_right<f16, 16, 16>;
alias Sums = subgroup_matrix_result<f32, 16, 16>;

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read> q: array<vec4f>;
@group(0) @binding(2) var<storage, read> keys: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> values: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read_write> partial_out: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> partial_stats: array<vec2f>;

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

var<workgroup> key_slots: array<vec4<u32>, KEY_AREA>;
var<workgroup> value_slots: array<vec4<u32>, VALUE_AREA>;
/// High rows of p, then low ones.
var<workgroup> p_slots: array<vec4<u32>, P_AREA>;
/// Logits, or sums on their way to threads.
var<workgroup> sum_slots: array<vec4<u32>, LOGIT_AREA>;
/// What the sums of the heads are multiplied by.
var<workgroup> factors: array<f32, HEADS>;
/// Whether the sums of the matrices have to move.
var<workgroup> moves: atomic<u32>;

/// Eight values as f16.
fn narrow(low: vec4f, high: vec4f) -> vec4<u32> {
  return vec4<u32>(
    pack2x16float(low.xy),
    pack2x16float(low.zw),
    pack2x16float(high.xy),
    pack2x16float(high.zw),
  );
}

/// Four values as f16.
fn narrow_quad(values: vec4f) -> vec2<u32> {
  return vec2<u32>(pack2x16float(values.xy), pack2x16float(values.zw));
}

/// Stores half a slot of p.
fn store_half(half: u32, pair: vec2<u32>) {
  p_slots[half / 2u][half % 2u * 2u] = pair.x;
  p_slots[half / 2u][half % 2u * 2u + 1u] = pair.y;
}

/// A quad of a head's sums in a subgroup's scratch, from its high row and its low row.
fn stored_sums(scratch: u32, head: u32, quad: u32) -> vec4f {
  let high = bitcast<vec4f>(sum_slots[scratch + head * 4u + quad]);
  let low = bitcast<vec4f>(sum_slots[scratch + (head + HEADS) * 4u + quad]);
  return high + low * (1.0 / LOW);
}

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

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
  @builtin(subgroup_id) subgroup_number: u32,
) {
  // The number is below SUBGROUPS anyway, but no compiler knows that. The remainder tells it that
  // loads of matrices stay in bounds, and it puts no branch around each of them.
  let subgroup = subgroup_number % SUBGROUPS;
  let list = wid.z * KV_HEADS + wid.y;
  // Tiles go to the splits in turn, so that all workgroups of a head read one moving window.
  let begin = wid.x * TILE;
  let lane_base = head_start(list) + thread % ROW_LOADS;
  let row = thread / ROW_LOADS;

  // 1. Request the first tile before the length is known.
  var k: array<vec4<u32>, LOADS>;
  var v: array<vec4<u32>, LOADS>;
  for (var i = 0u; i < LOADS; i++) { // @unroll
    let token = min(begin + i * LOAD_ROWS + row, CAPACITY - 1u);
    k[i] = keys[lane_base + row_offset(list, token)];
    v[i] = values[lane_base + row_offset(list, token)];
  }
  // Then divide the queries.
  let worker = thread % WORKERS;
  let my_head = worker / LANES;
  let my_lane = worker % LANES;
  let query_row = list * GROUP + min(my_head, GROUP - 1u);
  var query: array<vec4f, 2u * QUERY_TURNS>;
  var tops = vec4f(0.0);
  for (var i = 0u; i < QUERY_TURNS; i++) { // @unroll
    let first = query_row * HEAD_QUADS + (i * LANES + my_lane) * 2u;
    query[2u * i] = query_quad(first);
    query[2u * i + 1u] = query_quad(first + 1u);
    tops = max(tops, max(abs(query[2u * i]), abs(query[2u * i + 1u])));
  }
  var top = max(max(tops.x, tops.y), max(tops.z, tops.w));
  for (var bit = 0u; bit < LANE_BITS; bit++) { // @unroll
    top = max(top, subgroupShuffleXor(top, 1u << bit));
  }
  let exponent = clamp(bitcast<u32>(top) >> 23u, 1u, 253u); // of f32, biased by 127
  let down = bitcast<f32>((254u - exponent) << 23u);
  let scale = bitcast<f32>(exponent << 23u) * SCALE;
  if (thread < WORKERS) {
    for (var i = 0u; i < QUERY_TURNS; i++) { // @unroll
      let first = query[2u * i] * down;
      let second = query[2u * i + 1u] * down;
      let first_high = quantizeToF16(first);
      let second_high = quantizeToF16(second);
      let slot = my_head * ROW_SLOTS + i * LANES + my_lane;
      key_slots[slot] = narrow(first_high, second_high);
      key_slots[slot + HEADS * ROW_SLOTS] =
        narrow((first - first_high) * LOW, (second - second_high) * LOW);
    }
  }
  workgroupBarrier();
  let part = subgroup / BLOCKS;
  var queries: array<Left, QUERY_MATRICES>;
  for (var s = 0u; s < SETS; s++) { // @unroll
    for (var step = 0u; step < STEPS; step++) { // @unroll
      let slot = s * SIDE * ROW_SLOTS + (part * STEPS + step) * 2u;
      queries[s * STEPS + step] = subgroupMatrixLoad<Left, row_major>(&key_slots, slot, ROW_SLOTS);
    }
  }

  // Values past the end of the sequence may be NaN, which p = 0 does not remove. They become zeros
  // in the first tile; later tiles load the last row again. Step 5 masks the logits of both.
  let length = lengths[wid.z];
  let last = clamp(length, 1u, CAPACITY) - 1u;
  for (var i = 0u; i < LOADS; i++) { // @unroll
    let inside = begin + i * LOAD_ROWS + row < length;
    v[i] = select(vec4<u32>(0u), v[i], inside);
  }
  workgroupBarrier();
  for (var i = 0u; i < LOADS; i++) { // @unroll
    key_slots[(i * LOAD_ROWS + row) * ROW_SLOTS + thread % ROW_LOADS] = k[i];
    let token = min(begin + STRIDE + i * LOAD_ROWS + row, last);
    k[i] = keys[lane_base + row_offset(list, token)];
  }
  workgroupBarrier();

  // Of the sums that this thread holds: heads quad_head, quad_head + 8, of a quad of each matrix.
  let quad_head = thread % SUBGROUP / 4u;
  let quad = thread % 4u;
  let scratch = subgroup * SCRATCH_SLOTS;
  let my_scratch = thread / SUBGROUP * SCRATCH_SLOTS;
  var sums = array<vec4f, OUT_MATRICES>();
  var acc: array<Sums, OUT_MATRICES>;
  var m = NEG_LARGE;
  var l = 0.0; // of this thread's tokens alone
  var turn = 0u; // tiles since sums moved
  var tile = begin;
  var has_moved = 1u;
  while (has_moved != 0u) {
    loop {
      // 2. Add p times values of the tile before to the matrices. For the first tile p is 0 still,
      // as workgroup memory is at the start.
      for (var step = 0u; step < BLOCKS; step++) { // @unroll
        var weights: array<Left, SETS>;
        for (var s = 0u; s < SETS; s++) { // @unroll
          let slot = s * SIDE * P_SLOTS + step * 2u;
          weights[s] = subgroupMatrixLoad<Left, row_major>(&p_slots, slot, P_SLOTS);
        }
        for (var c = 0u; c < OUT_WIDTH; c++) { // @unroll
          let slot = step * SIDE * ROW_SLOTS + (subgroup * OUT_WIDTH + c) * 2u;
          let value = subgroupMatrixLoad<Right, row_major>(&value_slots, slot, ROW_SLOTS);
          for (var s = 0u; s < SETS; s++) { // @unroll
            let at = c * SETS + s;
            acc[at] = subgroupMatrixMultiplyAccumulate(weights[s], value, acc[at]);
          }
        }
      }
      if (tile >= length) {
        has_moved = 0u;
        break;
      }

      // 3. Multiply queries and keys; store the logits.
      if (thread == 0u) {
        atomicStore(&moves, u32(turn == FLUSH));
      }
      for (var b = 0u; b < MY_BLOCKS; b++) { // @unroll
        let block = (subgroup + b * SUBGROUPS) % BLOCKS;
        var logits = array<Sums, SETS>();
        for (var step = 0u; step < STEPS; step++) { // @unroll
          let slot = block * SIDE * ROW_SLOTS + (part * STEPS + step) * 2u;
          let key = subgroupMatrixLoad<Right, col_major>(&key_slots, slot, ROW_SLOTS);
          for (var s = 0u; s < SETS; s++) { // @unroll
            logits[s] = subgroupMatrixMultiplyAccumulate(queries[s * STEPS + step], key, logits[s]);
          }
        }
        for (var s = 0u; s < SETS; s++) { // @unroll
          let slot = (part * ROWS + s * SIDE) * LOGIT_SLOTS + block * 4u;
          subgroupMatrixStore<row_major>(&sum_slots, slot, logits[s], LOGIT_SLOTS);
        }
      }
      workgroupBarrier();

      // 4. Stage the values of this tile and the next keys, and request those that follow.
      for (var i = 0u; i < LOADS; i++) { // @unroll
        let slot = (i * LOAD_ROWS + row) * ROW_SLOTS + thread % ROW_LOADS;
        key_slots[slot] = k[i];
        value_slots[slot] = v[i];
      }
      for (var i = 0u; i < LOADS; i++) { // @unroll
        let next = tile + STRIDE + i * LOAD_ROWS + row;
        v[i] = values[lane_base + row_offset(list, min(next, last))];
        k[i] = keys[lane_base + row_offset(list, min(next + STRIDE, last))];
      }

      // 5. Update the softmax. All threads wait at the end, so that p and factors are there.
      var p: array<vec4f, MY_QUADS>;
      tops = vec4f(NEG_LARGE);
      for (var i = 0u; i < MY_QUADS; i++) { // @unroll
        var logit = vec4f(0.0);
        for (var j = 0u; j < PARTS; j++) { // @unroll
          let slot = (j * ROWS + my_head) * LOGIT_SLOTS + i * LANES + my_lane;
          let low = bitcast<vec4f>(sum_slots[slot + HEADS * LOGIT_SLOTS]);
          logit += bitcast<vec4f>(sum_slots[slot]) + low * (1.0 / LOW);
        }
        let token = vec4<u32>(tile + (i * LANES + my_lane) * 4u) + vec4<u32>(0u, 1u, 2u, 3u);
        logit *= scale;
        logit = vec4f(capped(logit.x), capped(logit.y), capped(logit.z), capped(logit.w));
        p[i] = select(vec4f(NEG_LARGE), logit, token < vec4<u32>(length));
        tops = max(tops, p[i]);
      }
      top = max(max(tops.x, tops.y), max(tops.z, tops.w));
      for (var bit = 0u; bit < LANE_BITS; bit++) { // @unroll
        top = max(top, subgroupShuffleXor(top, 1u << bit));
      }
      var alpha = 1.0;
      if (top > m + SLACK) {
        alpha = exp2(m - top);
        m = top;
        l *= alpha;
        if (tile > begin) { // all sums are 0 in the first tile
          atomicStore(&moves, 1u);
        }
      }
      if (thread < WORKERS && my_lane == 0u) {
        factors[my_head] = alpha;
      }
      for (var i = 0u; i < MY_QUADS; i++) { // @unroll
        p[i] = exp2(p[i] - m);
        l += dot(p[i], vec4f(1.0));
      }
      if (thread < WORKERS) {
        for (var i = 0u; i < MY_QUADS; i++) { // @unroll
          let high = quantizeToF16(p[i]);
          let half = my_head * P_SLOTS * 2u + i * LANES + my_lane;
          store_half(half, narrow_quad(high));
          store_half(half + HEADS * P_SLOTS * 2u, narrow_quad((p[i] - high) * LOW));
        }
      }
      tile += STRIDE;
      turn += 1u;
      has_moved = workgroupUniformLoad(&moves);
      if (has_moved != 0u) {
        break;
      }
    }

    // 6. Move the sums of the matrices to the threads.
    if (has_moved != 0u) {
      for (var c = 0u; c < OUT_WIDTH; c++) { // @unroll
        for (var s = 0u; s < SETS; s++) { // @unroll
          let slot = scratch + s * SIDE * 4u;
          subgroupMatrixStore<row_major>(&sum_slots, slot, acc[c * SETS + s], 4u);
        }
        workgroupBarrier();
        for (var s = 0u; s < SETS; s++) { // @unroll
          let head = quad_head + s * 8u;
          let both = sums[c * SETS + s] + stored_sums(my_scratch, head, quad);
          sums[c * SETS + s] = both * factors[head];
        }
        workgroupBarrier();
      }
      acc = array<Sums, OUT_MATRICES>();
      turn = 1u; // the tile whose p is stored
    }
  }

  // 7. Add up and store the partials.
  for (var bit = 0u; bit < LANE_BITS; bit++) { // @unroll
    l += subgroupShuffleXor(l, 1u << bit);
  }
  if (thread < WORKERS && my_lane == 0u && my_head < GROUP) {
    partial_stats[(list * GROUP + my_head) * SPLITS + wid.x] = vec2f(m, l);
  }
  for (var c = 0u; c < OUT_WIDTH; c++) { // @unroll
    workgroupBarrier();
    for (var s = 0u; s < SETS; s++) { // @unroll
      let slot = scratch + s * SIDE * 4u;
      subgroupMatrixStore<row_major>(&sum_slots, slot, acc[c * SETS + s], 4u);
    }
    workgroupBarrier();
    for (var s = 0u; s < SETS; s++) { // @unroll
      let head = quad_head + s * 8u;
      if (head < GROUP) {
        let first = ((list * GROUP + head) * SPLITS + wid.x) * HEAD_QUADS;
        let column = (thread / SUBGROUP * OUT_WIDTH + c) * 4u + quad;
        partial_out[first + column] =
          sums[c * SETS + s] + stored_sums(my_scratch, head, quad);
      }
    }
  }
}
