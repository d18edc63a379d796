// rotate_score.wgsl: rotated codes of a decode step and distances of all cached tokens, in one
// dispatch.
//
// rotate_token.wgsl plus rotated.wgsl. Every workgroup that scores rotates the queries of its group
// for itself, since that costs less than a dispatch that depends on another.
//
// Dispatch (SPLITS + 1, KV heads, batch). The first SPLITS workgroups of a KV head rotate the
// queries of its group, and score every SPLITS-th block of tokens for all of them. Meanwhile the
// last workgroup rotates the newest key and appends its code and factor. The newest token, length -
// 1, is therefore in neither distances nor histograms. select_gather.wgsl adds it from list_state.
//
// 1. Load the vectors, and the codes and factors of a block.
// 2. Rotate: a team of TEAM threads transforms a vector. Thread t of a team holds elements t, t +
//    TEAM and so on. Distant elements meet in a register, near ones by shuffles.
// 3. Make codes: signs, magnitude planes and the scale of the bins, or the factor of the key.
// 4. Store the codes. The workgroup of the key ends here.
// 5. Score the blocks: distances, a histogram of each block, and the sum of these histograms.
//
// Loads of phase 1 are in flight while the queries rotate. Subgroups must be consecutive threads,
// SUBGROUP_MIN or more. rotate_token.wgsl says what a rotated code is.
const HEAD_DIM: u32 = 128u; // @param
const BATCH: u32 = 1u; // @param sequences
const GROUP: u32 = 4u; // @param query heads per KV head
const KV_HEADS: u32 = 8u; // @param
const CAPACITY: u32 = 4096u; // @param
const KV_DTYPE: u32 = 1u; // @param 0 f32, 1 f16, 2 bf16
const BITS: u32 = 128u; // @param
const PLANES: u32 = 2u; // @param magnitude planes of a query code
const BINS: u32 = 64u; // @param bins of scores
const RANGE: u32 = 6u; // @param standard deviations that the bins cover
const SEED: u32 = 1u; // @param of the signs
const SINK: u32 = 0u; // @param
const RECENT: u32 = 0u; // @param
const SUBGROUP_MIN: u32 = 4u; // @param smallest subgroup of the device
const WORKGROUP: u32 = 256u; // @param
const SPLITS: u32 = 3u; // @param workgroups that score a KV head
const FOURS: u32 = 1u; // @param fours of tokens of a thread in a block

// @shared rotation_sizes
// The transform has a power of two of elements, and at least as many as the code has bits.
const WIDTH = max(BITS, HEAD_DIM + 32u * u32(HEAD_DIM == 96u));
const NORM = 1.0 / sqrt(f32(WIDTH)); // makes the transform orthonormal
// @end
const TEAM = min(SUBGROUP_MIN, 32u); // threads that rotate a vector
const TEAMS = WORKGROUP / TEAM;
const TURNS = (GROUP + TEAMS - 1u) / TEAMS; // vectors of a team
const HELD = WIDTH / TEAM; // elements of a vector in a thread
const KEPT = BITS / TEAM; // outputs of a thread that the code keeps

const WORDS = BITS / 32u; // of a code's signs, and of each plane
const SCALE_WORD = (1u + PLANES) * WORDS; // place of the scale in a query code
const QUERY_WORDS = SCALE_WORD + 1u;
const LAST = BINS - 1u;
const BLOCK = 4u * WORKGROUP * FOURS; // tokens of a histogram
const BLOCKS = (CAPACITY + BLOCK - 1u) / BLOCK;
const LIST_FOURS = CAPACITY / 4u; // fours of tokens of a list
const LOADS = FOURS * WORDS; // 16-byte loads of codes in flight per thread
// @shared magnitude_levels
const LEVELS = f32((1u << PLANES) - 1u); // the largest magnitude
// The largest magnitude begins at this many root mean squares, by the number of planes.
const CLIPS = array<f32, 4>(1.0, 1.3, 1.8, 2.3);
// @end

// list_state holds the codes of all queries, then code and factor of the newest keys, then the
// histograms, then for each list and workgroup the sum of the workgroup's histograms.
const NEWEST_CODES = BATCH * KV_HEADS * GROUP * QUERY_WORDS;
const HISTOGRAMS = NEWEST_CODES + BATCH * KV_HEADS * (WORDS + 1u);
const SPLIT_SUMS = HISTOGRAMS + BATCH * KV_HEADS * GROUP * BLOCKS * BINS;
const COUNT_TURNS = (GROUP * BINS + WORKGROUP - 1u) / WORKGROUP; // counts of a thread

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read> q: array<f32>;
@group(0) @binding(2) var<storage, read> keys: array<u32>;
@group(0) @binding(3) var<storage, read_write> codes: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read_write> factors: array<u32>;
@group(0) @binding(5) var<storage, read_write> factor_sums: array<f32>;
@group(0) @binding(6) var<storage, read_write> distances: array<u32>;
@group(0) @binding(7) var<storage, read_write> list_state: array<u32>;

// Memory starts at zero.
var<workgroup> code: array<atomic<u32>, GROUP * QUERY_WORDS>;
var<workgroup> counts: array<atomic<u32>, GROUP * BINS>;

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
  if (value < 15.5) {
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

// @shared score_bin
/// The bin of a token's score, 0 for scores below zero. `weighted` are the weights of the bits that
/// differ from the query's signs, `value` is that of the key's factor.
fn score_bin(weighted: u32, value: u32, scale: u32) -> u32 {
  let total = scale >> 21u; // of all weights
  let score = (max(total, 2u * weighted) - 2u * weighted) * value;
  let bounded = min(score >> ((scale >> 16u) & 31u), 65535u);
  return min((bounded * (scale & 0xffffu)) >> 16u, BINS - 1u);
}
// @end

/// Adds up a value over the threads of a team.
fn team_sum(value: vec2f) -> vec2f {
  var sum = value;
  for (var s = 0u; s < firstTrailingBit(TEAM); s++) { // @unroll
    sum += subgroupShuffleXor(sum, 1u << s);
  }
  return sum;
}

/// Sets bits of a code: those of the outputs `first` + t, t being a thread of the team. `lane` is
/// that of the subgroup, of which a team may be a part.
fn set_bits(word_base: u32, first: u32, is_set: bool, lane: u32, in_team: u32) {
  let ballot = subgroupBallot(is_set);
  let begin = lane - in_team; // lane of the team's first thread
  let of_team = (ballot[begin / 32u] >> (begin % 32u)) & (0xffffffffu >> (32u - TEAM));
  if (in_team == 0u) {
    atomicOr(&code[word_base + first / 32u], of_team << (first % 32u));
  }
}

/// Appends the code and the factor of the newest key, and hands both to the select.
fn store_key(head: u32, newest: u32, byte: u32) {
  for (var w = 0u; w < WORDS; w++) {
    let at = (head * CAPACITY + newest) * WORDS + w;
    codes[at / 4u][at % 4u] = atomicLoad(&code[w]);
    list_state[NEWEST_CODES + head * (WORDS + 1u) + w] = atomicLoad(&code[w]);
  }
  list_state[NEWEST_CODES + head * (WORDS + 1u) + WORDS] = byte;
  let word = (head * CAPACITY + newest) / 4u;
  factors[word] = insertBits(factors[word], byte, 8u * (newest % 4u), 8u);
  let value = f32(factor_value(byte));
  let before = select(0.0, factor_sums[2u * head + newest % 2u], newest > 0u);
  factor_sums[2u * head + (newest + 1u) % 2u] = before + value * value;
}

/// The place of load i of a thread in the codes of a block.
fn key_code_place(head: u32, block: u32, i: u32, thread: u32) -> u32 {
  let four = min(block * (BLOCK / 4u) + i / WORDS * WORKGROUP + thread, LIST_FOURS - 1u);
  return (head * LIST_FOURS + four) * WORDS + i % WORDS;
}

/// The place of the factors of a thread's four tokens in a round of a block.
fn factor_place(head: u32, block: u32, round: u32, thread: u32) -> u32 {
  let four = min(block * (BLOCK / 4u) + round * WORKGROUP + thread, LIST_FOURS - 1u);
  return head * LIST_FOURS + four;
}

fn xor3(a: u32, b: u32, c: u32) -> u32 {
  return a ^ b ^ c;
}

fn majority(a: u32, b: u32, c: u32) -> u32 {
  return (a & b) | (c & (a | b));
}

/// The weights of the bits that differ, added up. `mask` is the query code's planes.
///
/// Popcounts are slow, so with two planes of four words each, adders come first: they turn three
/// words of one weight into one of that weight and one of twice the weight.
fn add_weights(differing: array<u32, WORDS>, planes: array<u32, SCALE_WORD>) -> u32 {
  var sum = 0u;
  if (PLANES == 2u && WORDS == 4u) {
    var a: array<u32, 4>;
    var b: array<u32, 4>;
    for (var w = 0u; w < 4u; w++) { // @unroll
      a[w] = differing[w % WORDS] & planes[(WORDS + w) % SCALE_WORD];
      b[w] = differing[w % WORDS] & planes[(2u * WORDS + w) % SCALE_WORD];
    }
    let twos = majority(a[0], a[1], a[2]);
    let sum_b = xor3(b[0], b[1], b[2]);
    let ones = countOneBits(xor3(a[0], a[1], a[2])) + countOneBits(a[3]);
    let fours = countOneBits(majority(b[0], b[1], b[2])) +
      countOneBits(majority(sum_b, b[3], twos));
    return ones + 2u * countOneBits(xor3(sum_b, b[3], twos)) + 4u * fours;
  }
  for (var w = 0u; w < WORDS; w++) { // @unroll
    if (PLANES == 0u) {
      sum += countOneBits(differing[w]);
    }
    for (var plane = 0u; plane < PLANES; plane++) { // @unroll
      sum += countOneBits(differing[w] & planes[(plane + 1u) * WORDS + w]) << plane;
    }
  }
  return sum;
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let head = wid.z * KV_HEADS + wid.y;
  let is_key = wid.x == SPLITS;
  let team = thread / TEAM;
  let in_team = thread % TEAM;

  // 1. Load. No address but that of the newest key depends on a length.
  let length = lengths[wid.z];
  let newest = length - 1u;
  var y: array<f32, TURNS * HELD>;
  var loaded_codes: array<vec4<u32>, LOADS>;
  var loaded_factors: array<u32, FOURS>;
  var squares = vec2f(0.0); // both sums of squared factor values
  if (is_key) {
    for (var i = 0u; i < HELD; i++) { // @unroll
      let d = i * TEAM + in_team;
      if (d < HEAD_DIM) {
        y[i] = key_element((head * CAPACITY + newest) * HEAD_DIM + d);
      }
    }
  } else {
    for (var turn = 0u; turn < TURNS; turn++) { // @unroll
      let query = min(turn * TEAMS + team, GROUP - 1u);
      for (var i = 0u; i < HELD; i++) { // @unroll
        let d = i * TEAM + in_team;
        if (d < HEAD_DIM) {
          y[turn * HELD + i] = q[(head * GROUP + query) * HEAD_DIM + d];
        }
      }
    }
    for (var i = 0u; i < LOADS; i++) { // @unroll
      loaded_codes[i] = codes[key_code_place(head, wid.x, i, thread)];
    }
    for (var round = 0u; round < FOURS; round++) { // @unroll
      loaded_factors[round] = factors[factor_place(head, wid.x, round, thread)];
    }
    squares = vec2f(factor_sums[2u * head], factor_sums[2u * head + 1u]);
  }

  var key_byte = 0u; // the factor of the newest key, in the threads of the first team
  for (var turn = 0u; turn < TURNS; turn++) { // @unroll
    // 2. Rotate.
    let base = turn * HELD;
    for (var i = 0u; i < HELD; i++) { // @unroll
      let x = y[base + i] * NORM;
      y[base + i] = select(x, -x, flips_sign(i * TEAM + in_team));
    }
    for (var stage = 0u; stage < firstTrailingBit(HELD); stage++) { // @unroll
      for (var pair = 0u; pair < HELD / 2u; pair++) { // @unroll
        let low = 2u * pair - (pair & ((1u << stage) - 1u));
        let a = y[base + low];
        let b = y[base + (low + (1u << stage)) % HELD];
        y[base + low] = a + b;
        y[base + (low + (1u << stage)) % HELD] = a - b;
      }
    }
    for (var stage = 0u; stage < firstTrailingBit(TEAM); stage++) { // @unroll
      let is_upper = (in_team & (1u << stage)) != 0u;
      for (var i = 0u; i < HELD; i++) { // @unroll
        let other = subgroupShuffleXor(y[base + i], 1u << stage);
        y[base + i] = other + select(y[base + i], -y[base + i], is_upper);
      }
    }

    // 3. Make the codes.
    let query = turn * TEAMS + team;
    let is_own = select(query < GROUP, query == 0u, is_key);
    let word_base = select(min(query, GROUP - 1u) * QUERY_WORDS, 0u, is_key);
    var sums = vec2f(0.0);
    for (var i = 0u; i < KEPT; i++) { // @unroll
      sums += vec2f(abs(y[base + i]), y[base + i] * y[base + i]);
      set_bits(word_base, i * TEAM, is_own && y[base + i] > 0.0, lane, in_team);
    }
    sums = team_sum(sums);
    if (is_key && is_own) {
      key_byte = factor_byte(sums.y, sums.x);
    }
    var levels = vec2f(0.0); // sums of magnitudes, and of their squares: whole numbers
    for (var i = 0u; i < KEPT; i++) { // @unroll
      var level = 1u;
      if (PLANES > 0u) {
        level = magnitude(y[base + i], sums.y);
      }
      for (var plane = 0u; plane < PLANES; plane++) { // @unroll
        let is_set = is_own && !is_key && ((level >> plane) & 1u) == 1u;
        set_bits(word_base + (plane + 1u) * WORDS, i * TEAM, is_set, lane, in_team);
      }
      levels += vec2f(f32(level), f32(level * level));
    }
    levels = team_sum(levels);
    if (is_own && !is_key && in_team == 0u) {
      let sum = select(squares.x, squares.y, newest % 2u == 1u);
      let scale = bin_scale(sum, newest, u32(levels.x), u32(levels.y));
      atomicStore(&code[word_base + SCALE_WORD], scale);
    }
  }
  workgroupBarrier();

  // 4. Store the codes.
  if (is_key) {
    if (thread == 0u) { // one thread, since a store to part of a vector may write all of it
      store_key(head, newest, key_byte);
    }
    return;
  }
  if (wid.x == 0u) {
    for (var i = thread; i < GROUP * QUERY_WORDS; i += WORKGROUP) {
      list_state[head * GROUP * QUERY_WORDS + i] = atomicLoad(&code[i]);
    }
  }

  // 5. Score the blocks.
  let recent_start = min(length - min(RECENT, length), newest);
  let blocks = (length + BLOCK - 1u) / BLOCK;
  var sums = array<u32, COUNT_TURNS>(); // of the histograms so far
  for (var block = wid.x; block < blocks; block += SPLITS) {
    if (block != wid.x) {
      for (var i = 0u; i < LOADS; i++) { // @unroll
        loaded_codes[i] = codes[key_code_place(head, block, i, thread)];
      }
      for (var round = 0u; round < FOURS; round++) { // @unroll
        loaded_factors[round] = factors[factor_place(head, block, round, thread)];
      }
      workgroupBarrier(); // all counts have been reset
    }
    for (var h = 0u; h < GROUP; h++) {
      var query: array<u32, SCALE_WORD>;
      for (var w = 0u; w < SCALE_WORD; w++) { // @unroll
        query[w] = atomicLoad(&code[h * QUERY_WORDS + w]);
      }
      let scale = atomicLoad(&code[h * QUERY_WORDS + SCALE_WORD]);
      var last_bin = 0u; // tokens of this thread in the last bin
      for (var round = 0u; round < FOURS; round++) { // @unroll
        let first = block * BLOCK + (round * WORKGROUP + thread) * 4u;
        var packed = 0u;
        for (var t = 0u; t < 4u; t++) { // @unroll
          var differing: array<u32, WORDS>;
          for (var w = 0u; w < WORDS; w++) { // @unroll
            let at = t * WORDS + w;
            differing[w] = loaded_codes[round * WORDS + at / 4u][at % 4u] ^ query[w];
          }
          let byte = extractBits(loaded_factors[round], 8u * t, 8u);
          let bin = score_bin(add_weights(differing, query), factor_value(byte), scale);
          let distance = LAST - bin;
          packed |= distance << (8u * t);
          let is_middle = first + t >= SINK && first + t < recent_start;
          last_bin += u32(is_middle && distance == LAST);
          if (is_middle && distance != LAST) {
            atomicAdd(&counts[h * BINS + distance], 1u);
          }
        }
        if (first < CAPACITY) {
          distances[(head * GROUP + h) * LIST_FOURS + first / 4u] = packed;
        }
      }
      if (last_bin > 0u) {
        atomicAdd(&counts[h * BINS + LAST], last_bin);
      }
    }
    workgroupBarrier();
    // Store the histograms, and reset the counts for the next block.
    for (var turn = 0u; turn < COUNT_TURNS; turn++) { // @unroll
      let i = turn * WORKGROUP + thread;
      if (i < GROUP * BINS) {
        let count = atomicExchange(&counts[i], 0u);
        let list = head * GROUP + i / BINS;
        list_state[HISTOGRAMS + (list * BLOCKS + block) * BINS + i % BINS] = count;
        sums[turn] += count;
      }
    }
  }
  for (var turn = 0u; turn < COUNT_TURNS; turn++) { // @unroll
    let i = turn * WORKGROUP + thread;
    if (i < GROUP * BINS) {
      let list = head * GROUP + i / BINS;
      list_state[SPLIT_SUMS + (list * SPLITS + wid.x) * BINS + i % BINS] = sums[turn];
    }
  }
}
