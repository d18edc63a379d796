// nsa_compressed.wgsl: the compressed branch of Native Sparse Attention (NSA), in splits.
//
// Dispatch (COMPRESSED_SPLITS, query heads / HEADS, batch). A list is HEADS query heads of one KV
// head. A workgroup takes every COMPRESSED_SPLITS-th tile of TILE compressed rows. It stores an
// unnormalised partial (acc, m, l) for each query head, and all logits, from which the scores of
// blocks follow. Logits are in log2 units.
//
// All loads of a tile are in flight together, and those of the next one while a tile is attended.
// A thread computes whole dots from staged keys, so no subgroup is needed.
//
// 1. Request the first tile, then stage the queries.
// 2. Attend the tiles of the split: stage keys, compute and keep logits, update the running
//    softmax, add up values. Slices of the threads add up every SLICES-th row.
// 3. Add up the slices and store the partials.
const HEAD_DIM: u32 = 128u; // @param
const VALUE_DIM: u32 = 128u; // @param elements of a row of V
const BATCH: u32 = 1u; // @param sequences
const GROUP: u32 = 4u; // @param query heads per KV head
const KV_HEADS: u32 = 8u; // @param
const HEADS: u32 = 4u; // @param query heads of a list, a divisor of GROUP
const CAPACITY: u32 = 1024u; // @param tokens that a cache has room for
const KV_DTYPE: u32 = 1u; // @param 0 f32, 1 f16, 2 bf16
const WORKGROUP: u32 = 256u; // @param
const TILE: u32 = 64u; // @param rows that are attended at a time
const COMPRESSED_SPLITS: u32 = 8u; // @param

// @shared nsa_sizes
const STRIDE = 16u; // tokens from a compressed row to the next one
const SPAN = 32u; // tokens of a compressed row
const WINDOW = 512u; // last tokens, which the window attends
const FIRST_COMPRESSED = CAPACITY; // row of a KV head in the caches: the tokens come first
const FIRST_RECENT = CAPACITY + CAPACITY / STRIDE; // row of the window's ring
const CACHE_ROWS = FIRST_RECENT + WINDOW;
// @end
// @shared block_sizes
const BLOCK = 64u; // tokens of a block
const BLOCKS = (CAPACITY + BLOCK - 1u) / BLOCK; // blocks of a full cache
const Q_HEADS = KV_HEADS * GROUP;
// @end
// @shared tile_layout
const WIDTH = 4u + 4u * u32(KV_DTYPE != 0u); // values of a 16-byte load
const QUADS = WIDTH / 4u; // vec4f of a load
const ROW_LOADS = HEAD_DIM / WIDTH; // loads of a row
const ROW_SLOTS = ROW_LOADS + 1u; // 16-byte slots of a staged row: rows begin in different banks
const K_LOADS = TILE * ROW_LOADS / WORKGROUP; // of keys per thread
const HEAD_LANES = WORKGROUP / TILE; // threads that share the heads of a row
const OWN_HEADS = (HEADS + HEAD_LANES - 1u) / HEAD_LANES; // heads of such a thread
const HEAD_QUADS = HEAD_DIM / 4u;
const VALUE_QUADS = VALUE_DIM / 4u;
const SLICES = WORKGROUP / VALUE_QUADS; // slices of a tile's values, added up at the end
const V_ROWS = (TILE + SLICES - 1u) / SLICES; // rows of a slice
const V_PAIRS = 3u - QUADS; // 8-byte loads of a quad of values
const V_LOADS = V_ROWS * V_PAIRS;
const MAX_PARTS = 8u; // parts of a tile whose maxima are found side by side
const PART_ROWS = TILE / MAX_PARTS;
const JOINED = min(HEADS, TILE / 16u); // heads whose slices are added up at a time
const JOIN_TURNS = (HEADS + JOINED - 1u) / JOINED;
const AREA = max(TILE * ROW_SLOTS, JOINED * SLICES * VALUE_QUADS);
// @end
// @shared softmax
const NEG_LARGE = -1e30; // in place of minus infinity, for which WGSL promises nothing
const LOG2_E = 1.4426950408889634; // logits are in log2 units
// @end

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read> q: array<vec4f>;
@group(0) @binding(2) var<storage, read> branch_keys: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> branch_values: array<vec2<u32>>;
@group(0) @binding(4) var<storage, read_write> compressed_state: KeptState;

/// CompressedState of the other kernels, with single logits.
struct KeptState {
  partials: array<vec4f, BATCH * Q_HEADS * COMPRESSED_SPLITS * VALUE_QUADS>,
  logits: array<f32, BATCH * Q_HEADS * BLOCKS * 4u>,
  block_scores: array<f32, (BATCH * KV_HEADS * BLOCKS + 3u) / 4u * 4u>,
  split_stats: array<vec2f, BATCH * Q_HEADS * COMPRESSED_SPLITS>,
}

var<workgroup> query: array<vec4f, HEADS * HEAD_QUADS>;
var<workgroup> area: array<vec4<u32>, AREA>; // keys, then slices of the sums
var<workgroup> maxima: array<f32, HEADS * MAX_PARTS>;
var<workgroup> row_weights: array<f32, HEADS * TILE>; // logits, then weights
var<workgroup> split_m: array<f32, HEADS>;
var<workgroup> slice_l: array<f32, JOINED * SLICES>;

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

// @shared widen_pair
/// A quad of values, which is one 8-byte load, or two of f32.
fn widen_pair(low: vec2<u32>, high: vec2<u32>) -> vec4f {
  if (KV_DTYPE == 0u) {
    return bitcast<vec4f>(vec4<u32>(low, high));
  }
  if (KV_DTYPE == 1u) {
    return vec4f(unpack2x16float(low.x), unpack2x16float(low.y));
  }
  let even = low << vec2<u32>(16u);
  let odd = low & vec2<u32>(0xffff0000u);
  return bitcast<vec4f>(vec4<u32>(even.x, odd.x, even.y, odd.y));
}
// @end

// @shared compressed_rows
/// Compressed rows that a token sees if it is the last of `length`: all their tokens are cached.
fn compressed_rows(length: u32) -> u32 {
  return select(0u, (length - SPAN) / STRIDE + 1u, length >= SPAN);
}
// @end

/// The first row of a tile in the cache of a KV head.
fn first_row(tile: u32, split: u32) -> u32 {
  return FIRST_COMPRESSED + tile * TILE;
}

/// The rows of a tile that are attended.
fn count_rows(tile: u32, split: u32, length: u32) -> u32 {
  return min(TILE, compressed_rows(length) - tile * TILE);
}

/// Stores the logit of a compressed row.
fn keep_logit(head: u32, row: u32, inside: bool, logit: f32) {
  if (inside) {
    compressed_state.logits[head * BLOCKS * 4u + row] = logit;
  }
}

/// Stores a quad of the partial of a query head, and its (m, l).
fn store_partial_of(head: u32, split: u32, quad: u32, acc: vec4f, stats: vec2f) {
  let partial = head * COMPRESSED_SPLITS + split;
  compressed_state.partials[partial * VALUE_QUADS + quad] = acc;
  if (quad == 0u) {
    compressed_state.split_stats[partial] = stats;
  }
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let first_head = wid.z * Q_HEADS + wid.y * HEADS;
  let cache_row = first_head / GROUP * CACHE_ROWS;
  let column = thread % VALUE_QUADS;
  let slice = thread / VALUE_QUADS;
  let tile_row = thread % TILE;
  let head_lane = thread / TILE;
  let length = lengths[wid.z];
  let begin = wid.x;
  let end = (compressed_rows(length) + TILE - 1u) / TILE;
  let step = COMPRESSED_SPLITS;
  // The first tile is requested before the length is known.
  let is_loaded = begin * TILE < CAPACITY / STRIDE;

  // 1. Request the first tile, then stage the queries.
  // @shared request_tile
  // Request the first tile. Rows past its end are loaded and not used.
  var k: array<vec4<u32>, K_LOADS>;
  var v: array<vec2<u32>, V_LOADS>;
  var next_v: array<vec2<u32>, V_LOADS>;
  if (is_loaded) {
    let row = cache_row + first_row(begin, wid.x);
    for (var load = 0u; load < K_LOADS; load++) { // @unroll
      k[load] = branch_keys[row * ROW_LOADS + load * WORKGROUP + thread];
    }
    for (var load = 0u; load < V_LOADS; load++) { // @unroll
      let quad = (row + load / V_PAIRS * SLICES + slice) * VALUE_QUADS + column;
      next_v[load] = branch_values[quad * V_PAIRS + load % V_PAIRS];
    }
  }
  // @end
  // @shared stage_queries
  for (var i = thread; i < HEADS * HEAD_QUADS; i += WORKGROUP) {
    let quad = q[(first_head + i / HEAD_QUADS) * HEAD_QUADS + i % HEAD_QUADS];
    query[i] = quad * (LOG2_E / sqrt(f32(HEAD_DIM)));
  }
  // @end

  // 2. Attend the tiles of the split.
  // @shared attend_staged
  var acc = array<vec4f, HEADS>();
  var l = array<f32, HEADS>();
  var m: array<f32, HEADS>;
  for (var h = 0u; h < HEADS; h++) { // @unroll
    m[h] = NEG_LARGE;
  }
  for (var tile = begin; tile < end; tile += step) {
    // Stage the keys of the tile, and request the next one.
    let rows = count_rows(tile, wid.x, length);
    for (var load = 0u; load < K_LOADS; load++) { // @unroll
      let at = load * WORKGROUP + thread;
      area[at / ROW_LOADS * ROW_SLOTS + at % ROW_LOADS] = k[load];
    }
    for (var load = 0u; load < V_LOADS; load++) { // @unroll
      // What lies past the end may be NaN, which p = 0 does not remove.
      v[load] = select(vec2<u32>(0u), next_v[load], load / V_PAIRS * SLICES + slice < rows);
    }
    workgroupBarrier();
    if (tile + step < end) {
      let row = cache_row + first_row(tile + step, wid.x);
      for (var load = 0u; load < K_LOADS; load++) { // @unroll
        k[load] = branch_keys[row * ROW_LOADS + load * WORKGROUP + thread];
      }
      for (var load = 0u; load < V_LOADS; load++) { // @unroll
        let quad = (row + load / V_PAIRS * SLICES + slice) * VALUE_QUADS + column;
        next_v[load] = branch_values[quad * V_PAIRS + load % V_PAIRS];
      }
    }

    // Compute the logits of a row for some of the heads.
    var s = array<f32, OWN_HEADS>();
    for (var chunk = 0u; chunk < ROW_LOADS; chunk++) { // @unroll
      let raw = area[tile_row * ROW_SLOTS + chunk];
      for (var quad = 0u; quad < QUADS; quad++) { // @unroll
        let k_quad = widen(raw, quad);
        for (var i = 0u; i < OWN_HEADS; i++) { // @unroll
          let h = min(head_lane + i * HEAD_LANES, HEADS - 1u);
          s[i] += dot(k_quad, query[h * HEAD_QUADS + chunk * QUADS + quad]);
        }
      }
    }
    for (var i = 0u; i < OWN_HEADS; i++) { // @unroll
      let h = head_lane + i * HEAD_LANES;
      // A masked logit lies below every m, also below the first: so its p is 0.
      s[i] = select(2.0 * NEG_LARGE, s[i], tile_row < rows);
      if (h < HEADS) {
        row_weights[h * TILE + tile_row] = s[i];
        keep_logit(first_head + h, tile * TILE + tile_row, tile_row < rows, s[i]);
      }
    }
    workgroupBarrier();

    // Find the maximum of each head, in two steps.
    for (var i = thread; i < HEADS * MAX_PARTS; i += WORKGROUP) {
      var most = NEG_LARGE;
      for (var row = 0u; row < PART_ROWS; row++) { // @unroll
        most = max(most, row_weights[i * PART_ROWS + row]);
      }
      maxima[i] = most;
    }
    workgroupBarrier();
    for (var h = 0u; h < HEADS; h++) { // @unroll
      var m_new = m[h];
      for (var part = 0u; part < MAX_PARTS; part++) { // @unroll
        m_new = max(m_new, maxima[h * MAX_PARTS + part]);
      }
      let alpha = exp2(m[h] - m_new);
      m[h] = m_new;
      l[h] *= alpha;
      acc[h] *= alpha;
      if (head_lane == h % HEAD_LANES) {
        row_weights[tile_row * HEADS + h] = exp2(s[h / HEAD_LANES] - m_new);
      }
    }
    workgroupBarrier();

    // Add up the values.
    for (var i = 0u; i < V_ROWS; i++) { // @unroll
      let row = i * SLICES + slice;
      let v_quad = widen_pair(v[i * V_PAIRS], v[i * V_PAIRS + V_PAIRS - 1u]);
      for (var h = 0u; h < HEADS; h++) { // @unroll
        let p = select(0.0, row_weights[min(row, TILE - 1u) * HEADS + h], row < TILE);
        l[h] += p;
        acc[h] += p * v_quad;
      }
    }
  }
  // @end

  // 3. Add up the slices and store the partials.
  // @shared join_slices_staged
  for (var h = 0u; h < HEADS; h++) { // @unroll
    if (thread == h) {
      split_m[h] = m[h];
    }
  }
  for (var turn = 0u; turn < JOIN_TURNS; turn++) { // @unroll
    workgroupBarrier();
    for (var place = 0u; place < JOINED; place++) { // @unroll
      let h = min(turn * JOINED + place, HEADS - 1u);
      if (slice < SLICES) {
        area[(place * SLICES + slice) * VALUE_QUADS + column] = bitcast<vec4<u32>>(acc[h]);
        if (column == 0u) {
          slice_l[place * SLICES + slice] = l[h];
        }
      }
    }
    workgroupBarrier();
    for (var i = thread; i < JOINED * VALUE_QUADS; i += WORKGROUP) {
      let place = i / VALUE_QUADS;
      let h = min(turn * JOINED + place, HEADS - 1u);
      var sum = vec4f(0.0);
      var sum_l = 0.0;
      for (var slot = 0u; slot < SLICES; slot++) { // @unroll
        sum += bitcast<vec4f>(area[(place * SLICES + slot) * VALUE_QUADS + i % VALUE_QUADS]);
        sum_l += slice_l[place * SLICES + slot];
      }
      if (turn * JOINED + place < HEADS) {
        store_partial_of(first_head + h, wid.x, i % VALUE_QUADS, sum, vec2f(split_m[h], sum_l));
      }
    }
  }
  // @end
}
