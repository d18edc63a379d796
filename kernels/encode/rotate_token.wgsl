// rotate_token.wgsl: rotated codes of a decode step, of all queries and of the newest keys.
//
// Dispatch (QUERIES * query heads + KEYS * KV heads, batch). A workgroup rotates one vector.
//
// 1. Load the vector, and flip the signs of some elements.
// 2. Run the Hadamard transform: log2(WIDTH) stages of sums and differences.
// 3. Set bit j of the code if output j is above zero.
// 4. A query gets magnitude planes, and the scale that turns its scores into bins. A key gets a
//    factor, which makes up for the lengths that the signs lose.
// 5. Store the code and the factor.
//
// Nothing is learned: signs are a hash of the element and SEED. A row is padded with zeros to
// WIDTH, and a code keeps the first BITS outputs.
//
// key_stats holds two sums of squared factor values per KV head: that of the first n tokens lies
// at n % 2. The key's workgroup adds its factor to the sum of the tokens before it, and the queries
// read that sum. So a repeated step computes the same.
//
// The scale of a query is a word: bits 0 to 15 the multiplier, 16 to 20 the shift, 21 to 31 the sum
// of the magnitudes. score/rotated.wgsl says how it is used.
const HEAD_DIM: u32 = 128u; // @param
const BATCH: u32 = 1u; // @param sequences
const Q_HEADS: u32 = 32u; // @param
const KV_HEADS: u32 = 8u; // @param
const CAPACITY: u32 = 4096u; // @param
const PREFIX: u32 = 0u; // @param tokens that all sequences share
const KV_DTYPE: u32 = 1u; // @param 0 f32, 1 f16, 2 bf16
const BITS: u32 = 128u; // @param
const PLANES: u32 = 2u; // @param magnitude planes of a query code
const BINS: u32 = 64u; // @param bins of scores
const RANGE: u32 = 6u; // @param standard deviations that the bins cover
const SEED: u32 = 1u; // @param of the signs
const CENTRE: u32 = 0u; // @param 1 to subtract the prompt's mean key from keys
const QUERIES: u32 = 1u; // @param 1 to encode the queries
const KEYS: u32 = 1u; // @param 1 to encode the newest keys
const WORKGROUP: u32 = 64u; // @param

// @shared cache_strides
// Rows of K and V. Strides are in 16-byte loads, or all 0 for [B, KV_HEADS, CAPACITY, HEAD_DIM].
const OUTER_STRIDE: u32 = 0u; // @param from a sequence, or a page, to the next
const HEAD_STRIDE: u32 = 0u; // @param from a KV head to the next
const TOKEN_STRIDE: u32 = 0u; // @param from a token to the next
const TABLE_BITS: u32 = 0u; // @param log2 of the tokens of a page; 0 without a page table
const KV_WIDTH = 4u + 4u * u32(KV_DTYPE != 0u); // values of a load
const KV_LOADS = HEAD_DIM / KV_WIDTH; // loads of a row
// @end
// @shared rotation_sizes
// The transform has a power of two of elements, and at least as many as the code has bits.
const WIDTH = max(BITS, 1u << (32u - countLeadingZeros(HEAD_DIM - 1u)));
const NORM = 1.0 / sqrt(f32(WIDTH)); // makes the transform orthonormal
// @end
// @shared key_stats
// Of each KV head: two sums of squared factor values, and with CENTRE = 1 the mean key.
const HEAD_STATS = 2u + CENTRE * HEAD_DIM;
// @end
const PAIRS = WIDTH / 2u; // sums and differences of a stage
const WORDS = BITS / 32u; // of a code's signs, and of each plane
const SCALE_WORD = (1u + PLANES) * WORDS; // place of the scale in a query code
const QUERY_WORDS = SCALE_WORD + 1u;
// @shared magnitude_levels
const LEVELS = f32((1u << PLANES) - 1u); // the largest magnitude
// The largest magnitude begins at this many root mean squares, by the number of planes.
const CLIPS = array<f32, 4>(1.0, 1.3, 1.8, 2.3);
// @end

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read> q: array<f32>;
@group(0) @binding(2) var<storage, read> keys: array<u32>;
@group(0) @binding(3) var<storage, read_write> query_codes: array<u32>;
@group(0) @binding(4) var<storage, read_write> codes: array<u32>;
@group(0) @binding(5) var<storage, read_write> factors: array<u32>;
@group(0) @binding(6) var<storage, read_write> key_stats: array<f32>;

var<workgroup> y: array<f32, WIDTH>;
var<workgroup> code: array<atomic<u32>, SCALE_WORD>;
var<workgroup> level_total: atomic<u32>; // sum of the magnitudes
var<workgroup> level_squares: atomic<u32>; // sum of their squares

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

// @shared query_element
/// An element of the queries.
fn query_element(at: u32) -> f32 {
  return q[at];
}
// @end

// @shared key_element
/// Element `at` of the keys.
fn key_element(at: u32) -> f32 {
  if (KV_DTYPE == 0u) {
    return bitcast<f32>(keys[at]);
  }
  let pair = keys[at / 2u];
  if (KV_DTYPE == 1u) {
    return unpack2x16float(pair)[at % 2u];
  }
  return bitcast<f32>((pair >> (16u * (at % 2u))) << 16u);
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

// @shared hash
/// A hash of 32 bits in which every bit of `x` changes about half of the bits.
fn hash(x: u32) -> u32 {
  var h = (x ^ (x >> 16u)) * 0x7feb352du;
  h = (h ^ (h >> 15u)) * 0x846ca68bu;
  return h ^ (h >> 16u);
}
// @end

// @shared flips_sign
/// Whether the rotation flips the sign of element d.
fn flips_sign(d: u32) -> bool {
  return hash(SEED * 0x9e3779b9u + d) >> 31u == 1u;
}
// @end

// @shared magnitude
/// The magnitude of output `y` of a query as a whole number up to LEVELS. `squares` is the sum of
/// the squares of all its outputs.
fn magnitude(y: f32, squares: f32) -> u32 {
  let unit = LEVELS / (CLIPS[PLANES] * sqrt(squares / f32(BITS)));
  return u32(min(LEVELS, floor(abs(y) * select(0.0, unit, squares > 0.0) + 0.5)));
}
// @end

// @shared factor_byte
/// The factor of a key, squares / magnitudes of its outputs, as a byte: 4 bits of exponent and 4 of
/// mantissa, in units of 2^-11. Only a zero key has byte 0.
fn factor_byte(squares: f32, magnitudes: f32) -> u32 {
  if (magnitudes == 0.0) {
    return 0u;
  }
  let value = squares / magnitudes * 2048.0;
  if (value < 16.0) {
    return max(1u, u32(value + 0.5));
  }
  // The sum rounds the mantissa to 4 bits, and 16.0 has exponent 131 and byte 16.
  let rounded = (bitcast<u32>(min(value, 1e6)) + 0x40000u) >> 19u;
  return min(rounded - (131u << 4u) + 16u, 255u);
}
// @end

// @shared factor_value
/// The whole number that a factor's byte stands for.
fn factor_value(byte: u32) -> u32 {
  return select((16u + (byte & 15u)) << (max(byte >> 4u, 1u) - 1u), byte, byte < 16u);
}
// @end

// @shared bin_scale
/// The scale of a query's bins, as a word. `squares` is the sum of the squared factor values of the
/// `cached` tokens. `total` and `level_squares` are sums over the query's magnitudes.
fn bin_scale(squares: f32, cached: u32, total: u32, level_squares: u32) -> u32 {
  let mean = select(0.0, squares / f32(max(cached, 1u)), cached > 0u);
  let reach = max(1.0, f32(RANGE) * sqrt(mean * f32(level_squares)));
  let exponent = (bitcast<u32>(reach) >> 23u) - 127u;
  let shift = max(exponent, 14u) - 14u;
  let multiplier = u32(65536.0 * f32(BINS) * f32(1u << shift) / reach + 0.5);
  return (total << 21u) | (shift << 16u) | min(multiplier, 65535u);
}
// @end

/// The sums of the absolute outputs of a code (x) and of their squares (y).
fn output_sums() -> vec2f {
  var sums = vec2f(0.0);
  for (var j = 0u; j < BITS; j++) { // @unroll
    sums += vec2f(abs(y[j]), y[j] * y[j]);
  }
  return sums;
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let is_query = wid.x < QUERIES * Q_HEADS;
  let cached = lengths[wid.y] - 1u; // tokens before the newest, which is token `cached`
  var kv_head = wid.x - QUERIES * Q_HEADS;
  if (is_query) {
    kv_head = wid.x / (Q_HEADS / KV_HEADS);
  }
  let list = wid.y * KV_HEADS + kv_head;

  // 1. Load the vector.
  for (var d = thread; d < WIDTH; d += WORKGROUP) {
    var element = 0.0;
    if (d < HEAD_DIM) {
      if (is_query) {
        element = query_element((wid.y * Q_HEADS + wid.x) * HEAD_DIM + d);
      } else {
        element = key_element(kv_row(list, cached) * KV_WIDTH + d);
        if (CENTRE == 1u) {
          element -= key_stats[list * HEAD_STATS + 2u + d];
        }
      }
    }
    y[d] = select(element, -element, flips_sign(d)) * NORM;
  }
  if (thread < SCALE_WORD) {
    atomicStore(&code[thread], 0u);
  }
  if (thread == 0u) {
    atomicStore(&level_total, 0u);
    atomicStore(&level_squares, 0u);
  }
  workgroupBarrier();

  // 2. Run the transform.
  for (var half = 1u; half < WIDTH; half *= 2u) {
    for (var pair = thread; pair < PAIRS; pair += WORKGROUP) {
      let low = 2u * pair - (pair & (half - 1u));
      let a = y[low];
      let b = y[low + half];
      y[low] = a + b;
      y[low + half] = a - b;
    }
    workgroupBarrier();
  }

  // 3. Set the bits of the code.
  for (var j = thread; j < BITS; j += WORKGROUP) {
    if (y[j] > 0.0) {
      atomicOr(&code[j / 32u], 1u << (j % 32u));
    }
  }

  // 4. Planes and scale, or the factor.
  let sums = output_sums();
  if (is_query) {
    for (var j = thread; j < BITS; j += WORKGROUP) {
      var level = 1u;
      if (PLANES > 0u) {
        level = magnitude(y[j], sums.y);
      }
      for (var plane = 0u; plane < PLANES; plane++) { // @unroll
        if (((level >> plane) & 1u) == 1u) {
          atomicOr(&code[(plane + 1u) * WORDS + j / 32u], 1u << (j % 32u));
        }
      }
      atomicAdd(&level_total, level);
      atomicAdd(&level_squares, level * level);
    }
  }
  workgroupBarrier();

  // 5. Store.
  if (is_query) {
    let at = (wid.y * Q_HEADS + wid.x) * QUERY_WORDS;
    for (var w = thread; w < SCALE_WORD; w += WORKGROUP) {
      query_codes[at + w] = atomicLoad(&code[w]);
    }
    if (thread == 0u) {
      let squares = key_stats[list * HEAD_STATS + cached % 2u];
      let total = atomicLoad(&level_total);
      query_codes[at + SCALE_WORD] = bin_scale(squares, cached, total, atomicLoad(&level_squares));
    }
  } else {
    if (thread < WORDS) {
      codes[cache_row(list, cached) * WORDS + thread] = atomicLoad(&code[thread]);
    }
    if (thread == 0u) {
      let byte = factor_byte(sums.y, sums.x);
      let at = cache_row(list, cached) / 4u;
      factors[at] = insertBits(factors[at], byte, 8u * (cached % 4u), 8u);
      let value = f32(factor_value(byte));
      let before = select(0.0, key_stats[list * HEAD_STATS + cached % 2u], cached > 0u);
      key_stats[list * HEAD_STATS + (cached + 1u) % 2u] = before + value * value;
    }
  }
}
