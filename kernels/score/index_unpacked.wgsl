// index_unpacked.wgsl: index.wgsl without dot4I8Packed(), for compilers that do not know it.
//
// Dispatch (blocks of TILE tokens, 1, batch). The score of a token is
//   scale(key) * sum over index heads of weight * scale(query) * max(0, query . key)
// of rows of bytes, whose dots are exact integers of at most 2^21. A key is a row for all heads.
//
// A row of floats becomes bytes by a scale, a power of two, so that both are exact: see byte_load.
// Each workgroup quantises all queries. The one of the newest token also quantises and appends the
// newest key. Floats are finite.
//
// A thread holds the rows of TOKENS tokens. SLICES threads share them, each with a part of the
// index heads. All threads read the same query at a time, from workgroup memory.
//
// 1. Load the rows of the tokens.
// 2. Quantise the queries, and the newest key where it belongs to this workgroup.
// 3. Put the newest key in its place, and append it.
// 4. Add up the heads of the slice.
// 5. Add up the slices, and store the scores.
const CAPACITY: u32 = 1024u; // @param tokens a cache row block holds
const WORKGROUP: u32 = 128u; // @param
const TOKENS: u32 = 2u; // @param tokens per thread
const SLICES: u32 = 1u; // @param threads that share the index heads of a token
const TOGETHER: u32 = 2u; // @param index heads whose dots are in flight

// @shared index_sizes
const INDEX_HEADS = 64u;
const ROW_QUADS = 32u; // vec4f of a row of floats
const ROW_LOADS = 8u; // vec4<u32> of a row of bytes
const LANES = 4u; // threads that quantise a row
const SLOTS = WORKGROUP / SLICES; // threads with tokens of their own
const TILE = SLOTS * TOKENS;
const SLICE_SUMS = max(1u, SLICES * TILE * u32(SLICES > 1u));
const SLICE_HEADS = INDEX_HEADS / SLICES;
const SCALE_BIAS = 6u; // a row's scale has an exponent so much below that of its largest value
const LEAST_EXPONENT = 27u; // of the largest value, as f32 stores it: 2^-100
// @end

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read> index_queries: array<vec4f>;
@group(0) @binding(2) var<storage, read> index_weights: array<f32>;
@group(0) @binding(3) var<storage, read> index_keys: array<vec4f>; // of the newest tokens
@group(0) @binding(4) var<storage, read_write> index_codes: array<vec4<u32>>;
@group(0) @binding(5) var<storage, read_write> index_scales: array<f32>;
@group(0) @binding(6) var<storage, read_write> scores: array<f32>;

// @shared index_memory
// Rows of the index heads, then of the newest key.
var<workgroup> codes: array<vec4<u32>, (INDEX_HEADS + 1u) * ROW_LOADS>;
var<workgroup> peaks: array<u32, (INDEX_HEADS + 1u) * LANES>;
var<workgroup> factors: array<f32, INDEX_HEADS + 1u>; // weight times scale; the key's scale
var<workgroup> slice_sums: array<f32, SLICE_SUMS>;
// @end

// @shared index_floats
/// Quad `quad` of a row of floats: of an index head, or of the newest key behind them.
fn row_floats(row: u32, quad: u32, sequence: u32) -> vec4f {
  if (row == INDEX_HEADS) {
    return index_keys[sequence * ROW_QUADS + quad];
  }
  return index_queries[(sequence * INDEX_HEADS + row) * ROW_QUADS + quad];
}
// @end

// @shared byte_rows
/// The bits of the largest magnitude in a lane's part of a row of floats. A part is two runs of
/// four quads.
fn part_peak(row: u32, lane: u32, sequence: u32) -> u32 {
  var peak = vec4<u32>(0u);
  for (var i = 0u; i < 8u; i++) { // @unroll
    let quad = row_floats(row, (i / 4u * LANES + lane) * 4u + i % 4u, sequence);
    peak = max(peak, bitcast<vec4<u32>>(quad) & vec4<u32>(0x7fffffffu));
  }
  return max(max(peak.x, peak.y), max(peak.z, peak.w));
}

/// The exponent, as f32 stores it, of the largest magnitude of a row.
fn row_exponent(row: u32) -> u32 {
  var peak = 0u;
  for (var lane = 0u; lane < LANES; lane++) { // @unroll
    peak = max(peak, peaks[row * LANES + lane]);
  }
  return max(peak >> 23u, LEAST_EXPONENT);
}

/// Load `half * LANES + lane` of a row of bytes: 16 of its floats, divided by its scale, which is
/// the power of two that brings the largest magnitude to 64 or more and below 128. Both are exact.
fn byte_load(row: u32, half: u32, lane: u32, sequence: u32) -> vec4<u32> {
  let inverse = bitcast<f32>((SCALE_BIAS + 254u - row_exponent(row)) << 23u);
  var load: vec4<u32>;
  for (var i = 0u; i < 4u; i++) { // @unroll
    let quad = row_floats(row, (half * LANES + lane) * 4u + i, sequence) * inverse;
    let bytes = vec4<i32>(clamp(round(quad), vec4f(-127.0), vec4f(127.0)));
    let shifted = (bitcast<vec4<u32>>(bytes) & vec4<u32>(255u)) << vec4<u32>(0u, 8u, 16u, 24u);
    load[i] = shifted.x | shifted.y | shifted.z | shifted.w;
  }
  return load;
}

/// The scale of a row: a float is its byte times this, rounded.
fn row_scale(row: u32) -> f32 {
  return bitcast<f32>((row_exponent(row) - SCALE_BIAS) << 23u);
}
// @end

/// The dot product of four signed bytes, in place of the function of that name where there is none.
fn dot4I8Packed(a: u32, b: u32) -> i32 {
  let places = vec4<u32>(24u, 16u, 8u, 0u);
  let x = bitcast<vec4<i32>>(vec4<u32>(a) << places) >> vec4<u32>(24u);
  let y = bitcast<vec4<i32>>(vec4<u32>(b) << places) >> vec4<u32>(24u);
  let products = x * y;
  return products.x + products.y + products.z + products.w;
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  // @shared index_scores
    let slot = thread % SLOTS;
    let slice = thread / SLOTS;
    let begin = wid.x * TILE;
    let length = lengths[wid.z];
    if (begin >= length) {
      return;
    }
    let newest = length - 1u;
    let first_row = wid.z * CAPACITY;

    // 1. Load the rows of the tokens. Those past the end repeat the last one.
    var k: array<vec4<u32>, TOKENS * ROW_LOADS>;
    var k_scales: array<f32, TOKENS>;
    for (var t = 0u; t < TOKENS; t++) { // @unroll
      let row = first_row + min(begin + t * SLOTS + slot, newest);
      k_scales[t] = index_scales[row];
      for (var i = 0u; i < ROW_LOADS; i++) { // @unroll
        k[t * ROW_LOADS + i] = index_codes[row * ROW_LOADS + i];
      }
    }

    // 2. Quantise the queries, and the newest key where it belongs to this workgroup.
    let rows = INDEX_HEADS + u32(newest < begin + TILE);
    for (var part = thread; part < rows * LANES; part += WORKGROUP) {
      peaks[part] = part_peak(part / LANES, part % LANES, wid.z);
    }
    workgroupBarrier();
    for (var part = thread; part < rows * LANES; part += WORKGROUP) {
      let row = part / LANES;
      for (var half = 0u; half < 2u; half++) {
        let place = half * LANES + part % LANES;
        codes[row * ROW_LOADS + place] = byte_load(row, half, part % LANES, wid.z);
      }
      if (part % LANES == 0u) {
        let scale = row_scale(row);
        if (row < INDEX_HEADS) {
          factors[row] = index_weights[wid.z * INDEX_HEADS + row] * scale;
        } else {
          factors[row] = scale;
        }
      }
    }
    workgroupBarrier();

    // 3. Put the newest key in its place, and append it.
    for (var t = 0u; t < TOKENS; t++) { // @unroll
      if (begin + t * SLOTS + slot == newest) {
        for (var i = 0u; i < ROW_LOADS; i++) { // @unroll
          k[t * ROW_LOADS + i] = codes[INDEX_HEADS * ROW_LOADS + i];
        }
        k_scales[t] = factors[INDEX_HEADS];
      }
    }
    if (rows > INDEX_HEADS && thread < ROW_LOADS) {
      let load = codes[INDEX_HEADS * ROW_LOADS + thread];
      index_codes[(first_row + newest) * ROW_LOADS + thread] = load;
      if (thread == 0u) {
        index_scales[first_row + newest] = factors[INDEX_HEADS];
      }
    }

    // 4. Add up the heads of the slice.
    var sums = array<f32, TOKENS>();
    for (var turn = 0u; turn < SLICE_HEADS; turn += TOGETHER) {
      for (var together = 0u; together < TOGETHER; together++) { // @unroll
        let head = slice * SLICE_HEADS + turn + together;
        var dots = array<i32, TOKENS>();
        for (var i = 0u; i < ROW_LOADS; i++) { // @unroll
          let code = codes[head * ROW_LOADS + i];
          for (var part = 0u; part < 4u; part++) { // @unroll
            for (var t = 0u; t < TOKENS; t++) { // @unroll
              dots[t] += dot4I8Packed(code[part], k[t * ROW_LOADS + i][part]);
            }
          }
        }
        for (var t = 0u; t < TOKENS; t++) { // @unroll
          sums[t] += factors[head] * f32(max(dots[t], 0));
        }
      }
    }

    // 5. Add up the slices, and store the scores.
    if (SLICES > 1u) {
      for (var t = 0u; t < TOKENS; t++) { // @unroll
        slice_sums[slice * TILE + t * SLOTS + slot] = sums[t];
      }
      workgroupBarrier();
    }
    for (var t = 0u; t < TOKENS; t++) { // @unroll
      let place = t * SLOTS + slot;
      if (slice == 0u && begin + place < length) {
        var score = sums[t];
        for (var other = 0u; other < SLICES - 1u; other++) { // @unroll
          score += slice_sums[(other + 1u) * TILE + place];
        }
        scores[first_row + begin + place] = score * k_scales[t];
      }
    }
  // @end
}
