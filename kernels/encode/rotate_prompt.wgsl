// rotate_prompt.wgsl: rotated codes and factors of the keys of a prompt, from a token on.
//
// Dispatch (tiles / TILES, KV heads, batch). A workgroup encodes TILES tiles of TILE tokens of one
// KV head, one after the other. The first tile begins at the word of factors that holds the first
// token to encode. A workgroup ends at once where a tile lies past the end of the sequence.
//
// 1. Load the keys of the first tile, LOW consecutive elements per thread. Make a table of signs.
// For each tile:
// 2. Flip signs, and run the first three stages of the Hadamard transform in registers. Load the
//    keys of the next tile.
// 3. Exchange elements through workgroup memory: a thread now has every LOW-th output of a row. Run
//    the other stages in registers.
// 4. Collect the signs of the outputs, and the sums that make the factor.
// 5. Store the codes and the factors, a word per thread.
//
// rotate_token.wgsl says what a rotated code and its factor are.
const HEAD_DIM: u32 = 128u; // @param
const BATCH: u32 = 1u; // @param sequences
const KV_HEADS: u32 = 8u; // @param
const CAPACITY: u32 = 4096u; // @param
const PREFIX: u32 = 0u; // @param tokens that all sequences share
const KV_DTYPE: u32 = 1u; // @param 0 f32, 1 f16, 2 bf16
const BITS: u32 = 128u; // @param
const SEED: u32 = 1u; // @param of the signs
const CENTRE: u32 = 0u; // @param 1 to subtract the prompt's mean key from keys
const TILE: u32 = 16u; // @param tokens of a tile
const TILES: u32 = 4u; // @param tiles of a workgroup
const WORKGROUP: u32 = 128u; // @param

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
const LOW = 8u; // elements of a thread before the exchange, and threads of a row after it
const HIGH = WIDTH / LOW; // threads of a row before the exchange, and outputs of a thread after it
const HIGH_STAGES = firstTrailingBit(HIGH);
const KEPT = BITS / LOW; // outputs of a thread that the code keeps
// A row in workgroup memory has the lower quads of all parts, then the upper ones. Each half is a
// quad longer than needed, so that the threads of a subgroup access different banks.
const HALF_ROW = HIGH + 1u; // quads
const LOAD_TURNS = (TILE * HIGH + WORKGROUP - 1u) / WORKGROUP;
const ROW_TURNS = (TILE * LOW + WORKGROUP - 1u) / WORKGROUP;
const WORDS = BITS / 32u; // of a code
const KEY_WIDTH = 4u + 4u * u32(KV_DTYPE != 0u); // values of a 16-byte load of a key
const KEY_LOADS = HEAD_DIM / KEY_WIDTH; // loads of a key
const PART_LOADS = LOW / KEY_WIDTH; // loads of a thread

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read> first_tokens: array<u32>;
@group(0) @binding(2) var<storage, read> keys: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read_write> codes: array<u32>;
@group(0) @binding(4) var<storage, read_write> factors: array<u32>;
@group(0) @binding(5) var<storage, read> key_stats: array<f32>;

// At i * HIGH + part the sign and the norm of element LOW * part + i.
var<workgroup> flips: array<f32, WIDTH>;
var<workgroup> rows: array<vec4f, TILE * 2u * HALF_ROW>;
var<workgroup> signs: array<u32, TILE * LOW>; // bit i of thread c is the sign of output LOW * i + c
var<workgroup> sums: array<vec2f, TILE * LOW>; // of absolute outputs (x), and of their squares (y)

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

/// The token of a tile whose part a thread loads in a turn; past the tile there is none.
fn turn_token(turn: u32, thread: u32) -> u32 {
  return (turn * WORKGROUP + thread) / HIGH;
}

/// Moves bit i of the lowest four bits to bit 8 * i.
fn spread_bits(four: u32) -> u32 {
  return ((four & 15u) * 0x00204081u) & 0x01010101u;
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let length = lengths[wid.z];
  let start = first_tokens[wid.z] / 4u * 4u + wid.x * TILES * TILE;
  let head = wid.z * KV_HEADS + wid.y;
  // A prefix that sequences share is encoded for the first one.
  let own_begin = select(PREFIX, 0u, wid.z == 0u);
  if (start + TILES * TILE <= own_begin) {
    return;
  }
  let part = thread % HIGH; // of a row, the same in all turns

  // 1. Load the first tile, and make the table. The elements past the key are zero.
  var loaded: array<vec4<u32>, LOAD_TURNS * PART_LOADS>;
  for (var turn = 0u; turn < LOAD_TURNS; turn++) { // @unroll
    let token = min(start + turn_token(turn, thread), length - 1u);
    let row = kv_row(head, token);
    for (var load = 0u; load < PART_LOADS; load++) { // @unroll
      let at = min(part * PART_LOADS + load, KEY_LOADS - 1u);
      loaded[turn * PART_LOADS + load] = keys[row + at];
    }
  }
  for (var at = thread; at < WIDTH; at += WORKGROUP) {
    let d = at % HIGH * LOW + at / HIGH;
    flips[at] = select(0.0, select(NORM, -NORM, flips_sign(d)), d < HEAD_DIM);
  }
  workgroupBarrier();
  var flip: array<f32, LOW>;
  var centre: array<f32, LOW>; // of the elements of the part
  for (var i = 0u; i < LOW; i++) { // @unroll
    flip[i] = flips[i * HIGH + part];
    if (CENTRE == 1u) {
      centre[i] = key_stats[head * HEAD_STATS + 2u + min(part * LOW + i, HEAD_DIM - 1u)];
    }
  }

  for (var tile = 0u; tile < TILES; tile++) {
    let begin = start + tile * TILE;
    if (begin >= length) {
      break;
    }

    // 2. Run the stages within a thread.
    for (var turn = 0u; turn < LOAD_TURNS; turn++) { // @unroll
      var x: array<f32, LOW>;
      for (var i = 0u; i < LOW; i++) { // @unroll
        let raw = loaded[turn * PART_LOADS + i / KEY_WIDTH];
        x[i] = (widen(raw, i % KEY_WIDTH / 4u)[i % 4u] - centre[i]) * flip[i];
      }
      if (tile + 1u < TILES) {
        let token = min(begin + TILE + turn_token(turn, thread), length - 1u);
        let row = kv_row(head, token);
        for (var load = 0u; load < PART_LOADS; load++) { // @unroll
          let at = min(part * PART_LOADS + load, KEY_LOADS - 1u);
          loaded[turn * PART_LOADS + load] = keys[row + at];
        }
      }
      for (var stage = 0u; stage < 3u; stage++) { // @unroll
        for (var pair = 0u; pair < LOW / 2u; pair++) { // @unroll
          let low = 2u * pair - (pair & ((1u << stage) - 1u));
          let a = x[low];
          let b = x[low + (1u << stage)];
          x[low] = a + b;
          x[low + (1u << stage)] = a - b;
        }
      }
      let token = turn_token(turn, thread);
      if (token < TILE) {
        let row = token * 2u * HALF_ROW + part;
        rows[row] = vec4f(x[0], x[1], x[2], x[3]);
        rows[row + HALF_ROW] = vec4f(x[4], x[5], x[6], x[7]);
      }
    }
    workgroupBarrier();

    // 3. Run the stages across the parts.
    for (var turn = 0u; turn < ROW_TURNS; turn++) { // @unroll
      let item = turn * WORKGROUP + thread;
      let token = item / LOW;
      let column = item % LOW;
      if (token < TILE) {
        var x: array<f32, HIGH>;
        for (var i = 0u; i < HIGH; i++) { // @unroll
          x[i] = rows[(token * 2u + column / 4u) * HALF_ROW + i][column % 4u];
        }
        for (var stage = 0u; stage < HIGH_STAGES; stage++) { // @unroll
          for (var pair = 0u; pair < HIGH / 2u; pair++) { // @unroll
            let low = 2u * pair - (pair & ((1u << stage) - 1u));
            let a = x[low];
            let b = x[low + (1u << stage)];
            x[low] = a + b;
            x[low + (1u << stage)] = a - b;
          }
        }

        // 4. Collect signs and sums.
        var mask = 0u;
        var sum = vec2f(0.0);
        for (var i = 0u; i < KEPT; i++) { // @unroll
          mask |= u32(x[i] > 0.0) << i;
          sum += vec2f(abs(x[i]), x[i] * x[i]);
        }
        signs[item] = mask;
        sums[item] = sum;
      }
    }
    workgroupBarrier();

    // 5. Store. A word of a code has four signs of each thread of the row.
    for (var i = thread; i < TILE * WORDS; i += WORKGROUP) {
      let token = i / WORDS;
      var word = 0u;
      for (var column = 0u; column < LOW; column++) { // @unroll
        word |= spread_bits(signs[token * LOW + column] >> (4u * (i % WORDS))) << column;
      }
      if (begin + token < length && begin + token >= own_begin) {
        codes[cache_row(head, begin + token) * WORDS + i % WORDS] = word;
      }
    }
    for (var four = thread; four < TILE / 4u; four += WORKGROUP) {
      var packed = 0u;
      for (var i = 0u; i < 4u; i++) { // @unroll
        var sum = vec2f(0.0);
        for (var column = 0u; column < LOW; column++) { // @unroll
          sum += sums[(four * 4u + i) * LOW + column];
        }
        packed |= factor_byte(sum.y, sum.x) << (8u * i);
      }
      if (begin + four * 4u < length && begin + four * 4u >= own_begin) {
        factors[cache_row(head, begin + four * 4u) / 4u] = packed;
      }
    }
  }
}
