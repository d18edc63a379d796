// rotate_score.wgsl: rotated codes of a decode step and distances of all cached tokens, in one
// dispatch.
//
// rotate_token.wgsl plus rotated.wgsl. Every workgroup that scores rotates the queries of its group
// for itself, since that costs less than a dispatch that depends on another.
//
// Dispatch (SPLITS + 1, query heads / HEADS, batch). The first SPLITS workgroups rotate HEADS
// queries of a KV head, and score every SPLITS-th block of tokens for all of them. Meanwhile one
// more workgroup of each KV head rotates the newest key and appends its code and factor. The newest
// token, length - 1, is therefore in neither distances nor histograms. select_gather.wgsl and
// select_gather_tokens.wgsl add it from list_state.
//
// 1. Load the vectors, and the codes and factors of the first round of tokens.
// 2. Rotate: a team of TEAM threads transforms a vector. Thread t of a team holds elements t, t +
//    TEAM and so on. Distant elements meet in a register, near ones by shuffles.
// 3. Make codes: signs, magnitude planes and the scale of the bins, or the factor of the key.
// 4. Store the codes. The workgroup of the key ends here.
// 5. Score the blocks round by round: distances, a histogram of each block, and the sum of these
//    histograms.
//
// With SHARES > 0 sequences may be of unequal lengths, which the host need not know. Their blocks
// are shared out to about SHARES workgroups of a KV head: a sequence has as many as its length asks
// for. The dispatch is (KV heads, SHARES + 2 * BATCH - 1): the last BATCH workgroups rotate the
// newest keys, and some of the others have no part.
//
// Loads of step 1 are in flight while the queries rotate, and those of the next round while a
// round is scored. Subgroups must be consecutive threads, SUBGROUP_MIN or more. rotate_token.wgsl
// says what a rotated code is.
const HEAD_DIM: u32 = 128u; // @param
const BATCH: u32 = 1u; // @param sequences
const GROUP: u32 = 4u; // @param query heads per KV head
const KV_HEADS: u32 = 8u; // @param
const HEADS: u32 = 4u; // @param query heads of a workgroup, a divisor of GROUP
const CAPACITY: u32 = 4096u; // @param
const KV_DTYPE: u32 = 1u; // @param 0 f32, 1 f16, 2 bf16
const BITS: u32 = 128u; // @param
const PLANES: u32 = 2u; // @param magnitude planes of a query code
const BINS: u32 = 64u; // @param bins of scores
const RANGE: u32 = 6u; // @param standard deviations that the bins cover
const SEED: u32 = 1u; // @param of the signs
const CENTRE: u32 = 0u; // @param 1 to subtract the prompt's mean key from keys
const SINK: u32 = 0u; // @param
const RECENT: u32 = 0u; // @param
const SUBGROUP_MIN: u32 = 4u; // @param smallest subgroup of the device
const WORKGROUP: u32 = 256u; // @param
const SPLITS: u32 = 3u; // @param workgroups that score a KV head, with SHARES > 0 at most
const SHARES: u32 = 0u; // @param workgroups for the blocks of all sequences; 0 to have SPLITS each
const ROUNDS: u32 = 1u; // @param rounds of a block; a thread takes four tokens in each

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
const TEAM = min(SUBGROUP_MIN, 32u); // threads that rotate a vector
const TEAMS = WORKGROUP / TEAM;
const TURNS = (HEADS + TEAMS - 1u) / TEAMS; // vectors of a team
const HELD = WIDTH / TEAM; // elements of a vector in a thread
const KEPT = BITS / TEAM; // outputs of a thread that the code keeps

const WORDS = BITS / 32u; // of a code's signs, and of each plane
const SCALE_WORD = (1u + PLANES) * WORDS; // place of the scale in a query code
const QUERY_WORDS = SCALE_WORD + 1u;
const CODE_QUADS = (QUERY_WORDS + 4u) / 4u; // of a query code and the limit of its scores
const LAST = BINS - 1u;
const BLOCK = 4u * WORKGROUP * ROUNDS; // tokens of a histogram
const BLOCKS = (CAPACITY + BLOCK - 1u) / BLOCK;
const LIST_FOURS = CAPACITY / 4u; // fours of tokens of a list
const PORTION_BOUNDS = vec3<u32>(SHARES, SPLITS, BLOCKS);
const MOST_PORTIONS = SHARES + BATCH - 1u;
// Whether a workgroup may have several rounds.
const HAS_NEXT = BLOCKS > SPLITS || ROUNDS > 1u || SHARES > 0u;
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
const COUNT_TURNS = (HEADS * BINS + WORKGROUP - 1u) / WORKGROUP; // counts of a thread

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read> q: array<f32>;
@group(0) @binding(2) var<storage, read> keys: array<u32>;
@group(0) @binding(3) var<storage, read_write> codes: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read_write> factors: array<u32>;
@group(0) @binding(5) var<storage, read_write> key_stats: array<f32>;
@group(0) @binding(6) var<storage, read_write> distances: array<u32>;
@group(0) @binding(7) var<storage, read_write> list_state: array<u32>;

var<workgroup> codes_of_queries: array<vec4<u32>, HEADS * CODE_QUADS>; // or that of the key
// Blocks alternate between the first two thirds. Tokens of the windows are counted in the last one,
// which nobody reads: that is cheaper than a branch. Memory starts at zero.
var<workgroup> counts: array<atomic<u32>, 3u * HEADS * BINS>;
var<workgroup> own_portion: vec4<u32>; // a Portion

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

/// The most that score_bin multiplies: the largest whole number whose bin is the last.
fn score_limit(scale: u32) -> u32 {
  return min(((BINS << 16u) - 1u) / max(scale & 0xffffu, 1u), 65535u);
}

/// The bin of a token's score, as by score_bin, which bounds the bin instead of the score.
fn limited_score_bin(weighted: u32, value: u32, scale: u32, limit: u32) -> u32 {
  let total = i32(scale >> 21u); // of all weights
  let score = u32(max(total - 2i * i32(weighted), 0i)) * value;
  return (min(score >> ((scale >> 16u) & 31u), limit) * (scale & 0xffffu)) >> 16u;
}

/// Adds up a value over the threads of a team.
fn team_sum(value: vec2f) -> vec2f {
  var sum = value;
  for (var s = 0u; s < firstTrailingBit(TEAM); s++) { // @unroll
    sum += subgroupShuffleXor(sum, 1u << s);
  }
  return sum;
}

/// Bit t of the result says whether `is_set` holds in thread t of the team. `lane` is that of the
/// subgroup, of which a team may be a part.
fn team_ballot(is_set: bool, lane: u32, in_team: u32) -> u32 {
  let ballot = subgroupBallot(is_set);
  let begin = lane - in_team; // lane of the team's first thread
  return (ballot[begin / 32u] >> (begin % 32u)) & (0xffffffffu >> (32u - TEAM));
}

/// Appends the code and the factor of the newest key, and hands both to the select.
fn store_key(head: u32, newest: u32, byte: u32) {
  for (var w = 0u; w < WORDS; w++) {
    let at = (head * CAPACITY + newest) * WORDS + w;
    codes[at / 4u][at % 4u] = codes_of_queries[0][w];
    list_state[NEWEST_CODES + head * (WORDS + 1u) + w] = codes_of_queries[0][w];
  }
  list_state[NEWEST_CODES + head * (WORDS + 1u) + WORDS] = byte;
  let word = (head * CAPACITY + newest) / 4u;
  factors[word] = insertBits(factors[word], byte, 8u * (newest % 4u), 8u);
  let value = f32(factor_value(byte));
  let before = select(0.0, key_stats[head * HEAD_STATS + newest % 2u], newest > 0u);
  key_stats[head * HEAD_STATS + (newest + 1u) % 2u] = before + value * value;
}

// @shared block_units
/// Blocks of a sequence, of which even an empty one has one.
fn units_of(sequence: u32) -> u32 {
  return max((lengths[sequence] + BLOCK - 1u) / BLOCK, 1u);
}
// @end

// @shared find_portion
/// The part of a sequence that a workgroup takes.
struct Portion {
  sequence: u32,
  split: u32, // place of the workgroup among those of the sequence
  splits: u32, // workgroups of the sequence; 0 if the workgroup has no part
  all: u32, // units of all sequences
}

/// The workgroups of a sequence with `units` units, where all sequences have `all`. `bounds` are
/// the workgroups among which these are shared out, the most workgroups of a sequence, and the most
/// units of a workgroup.
fn splits_of(units: u32, all: u32, bounds: vec3<u32>) -> u32 {
  let quota = min((all + bounds.x - 1u) / bounds.x, bounds.z);
  return min((units + quota - 1u) / quota, bounds.y);
}

/// The portion of a workgroup: portions are numbered through all sequences. Every subgroup finds it
/// for itself; a lane has a run of sequences.
fn find_portion(index: u32, thread: u32, lane: u32, lanes: u32) -> Portion {
  let run = (BATCH + lanes - 1u) / lanes;
  let run_begin = min(lane * run, BATCH);
  let run_end = min(run_begin + run, BATCH);
  var units = 0u;
  for (var b = run_begin; b < run_end; b++) {
    units += units_of(b);
  }
  let all = subgroupAdd(units);
  var portions = 0u;
  for (var b = run_begin; b < run_end; b++) {
    portions += splits_of(units_of(b), all, PORTION_BOUNDS);
  }
  let through = subgroupInclusiveAdd(portions);
  // The lane that has the portion looks for its sequence.
  var found = vec2<u32>(0u);
  if (through - portions <= index && index < through) {
    found = vec2<u32>(run_begin, index - (through - portions));
    var splits = splits_of(units_of(found.x), all, PORTION_BOUNDS);
    for (; found.y >= splits;) {
      found = vec2<u32>(found.x + 1u, found.y - splits);
      splits = splits_of(units_of(found.x), all, PORTION_BOUNDS);
    }
  }
  found = subgroupMax(found);
  let has_portion = index < subgroupMax(through);
  let splits = splits_of(units_of(found.x), all, PORTION_BOUNDS);
  if (thread == 0u) {
    own_portion = vec4<u32>(found, select(0u, splits, has_portion), all);
  }
  let own = workgroupUniformLoad(&own_portion);
  return Portion(own.x, own.y, own.z, own.w);
}
// @end

/// The four of tokens of a thread in a round of a block.
fn four_of(block: u32, round: u32, thread: u32) -> u32 {
  return block * (BLOCK / 4u) + round * WORKGROUP + thread;
}

// @shared add_weights
fn xor3(a: u32, b: u32, c: u32) -> u32 {
  return a ^ b ^ c;
}

fn majority(a: u32, b: u32, c: u32) -> u32 {
  return (a & b) | (c & (a | b));
}

/// The weights of the bits that differ, added up. `query` is the code of a query.
///
/// Popcounts are slow, so in codes of four words adders come first: they turn three words of one
/// weight into one of that weight and one of twice the weight.
fn add_weights(code: array<u32, WORDS>, query: array<vec4<u32>, CODE_QUADS>) -> u32 {
  var sum = 0u;
  var carry_a = 0u; // words of the next weight
  var carry_b = 0u;
  for (var plane = 0u; plane < max(PLANES, 1u); plane++) { // @unroll
    var bits: array<u32, WORDS>;
    for (var w = 0u; w < WORDS; w++) { // @unroll
      bits[w] = code[w] ^ query[w / 4u][w % 4u];
      if (PLANES > 0u) {
        let at = (plane + 1u) * WORDS + w;
        bits[w] &= query[at / 4u][at % 4u];
      }
    }
    if (WORDS == 4u) {
      let ones = xor3(bits[0], bits[1 % WORDS], bits[2 % WORDS]);
      let twos = majority(bits[0], bits[1 % WORDS], bits[2 % WORDS]);
      let fourth = bits[3 % WORDS];
      if (plane == 0u) {
        sum += countOneBits(ones) + countOneBits(fourth);
      } else {
        let all = xor3(ones, fourth, carry_a);
        sum += (countOneBits(all) + countOneBits(carry_b)) << plane;
        carry_b = majority(ones, fourth, carry_a);
      }
      carry_a = twos;
    } else {
      for (var w = 0u; w < WORDS; w++) { // @unroll
        sum += countOneBits(bits[w]) << plane;
      }
    }
  }
  return sum + ((countOneBits(carry_a) + countOneBits(carry_b)) << max(PLANES, 1u));
}
// @end

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
  @builtin(subgroup_invocation_id) lane: u32,
  @builtin(subgroup_size) subgroup_size: u32,
) {
  let lanes = min(subgroup_size, WORKGROUP); // a subgroup may be larger than the workgroup
  var portion = Portion(wid.z, wid.x, SPLITS, 0u);
  var own_heads = wid.y;
  var is_key = wid.x == SPLITS;
  if (SHARES > 0u) {
    own_heads = wid.x;
    is_key = wid.y >= MOST_PORTIONS;
    if (is_key) {
      portion.sequence = wid.y - MOST_PORTIONS;
    } else {
      portion = find_portion(wid.y, thread, lane, lanes);
      if (portion.splits == 0u) {
        return;
      }
    }
  }
  let splits = portion.splits;
  let first_list = portion.sequence * KV_HEADS * GROUP + own_heads * HEADS; // one a query head
  let head = first_list / GROUP;
  if (is_key && first_list % GROUP > 0u) {
    return; // a KV head has one key, which the first heads' workgroup encodes
  }
  let team = thread / TEAM;
  let in_team = thread % TEAM;

  // 1. Load. No address but that of the newest key depends on a length.
  let length = lengths[portion.sequence];
  let newest = length - 1u;
  var y: array<f32, TURNS * HELD>;
  var loaded_codes: array<vec4<u32>, WORDS>; // of a round
  var loaded_factors = 0u;
  var squares = vec2f(0.0); // both sums of squared factor values
  if (is_key) {
    for (var i = 0u; i < HELD; i++) { // @unroll
      let d = i * TEAM + in_team;
      if (d < HEAD_DIM) {
        let row = head_start(head) + row_offset(head, newest);
        y[i] = key_element(row * KV_WIDTH + d);
        if (CENTRE == 1u) {
          y[i] -= key_stats[head * HEAD_STATS + 2u + d];
        }
      }
    }
  } else {
    for (var turn = 0u; turn < TURNS; turn++) { // @unroll
      let query = min(turn * TEAMS + team, HEADS - 1u);
      for (var i = 0u; i < HELD; i++) { // @unroll
        let d = i * TEAM + in_team;
        if (d < HEAD_DIM) {
          y[turn * HELD + i] = query_element((first_list + query) * HEAD_DIM + d);
        }
      }
    }
    let four = min(four_of(portion.split, 0u, thread), LIST_FOURS - 1u);
    for (var i = 0u; i < WORDS; i++) { // @unroll
      loaded_codes[i] = codes[(head * LIST_FOURS + four) * WORDS + i];
    }
    loaded_factors = factors[head * LIST_FOURS + four];
    squares = vec2f(key_stats[head * HEAD_STATS], key_stats[head * HEAD_STATS + 1u]);
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
    let is_own = select(query < HEADS, query == 0u, is_key);
    var code: array<vec4<u32>, CODE_QUADS>;
    var sums = vec2f(0.0);
    for (var i = 0u; i < KEPT; i++) { // @unroll
      let word = i * TEAM / 32u;
      sums += vec2f(abs(y[base + i]), y[base + i] * y[base + i]);
      let signs = team_ballot(y[base + i] > 0.0, lane, in_team);
      code[word / 4u][word % 4u] |= signs << (i * TEAM % 32u);
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
        let word = (plane + 1u) * WORDS + i * TEAM / 32u;
        let is_set = ((level >> plane) & 1u) == 1u;
        code[word / 4u][word % 4u] |= team_ballot(is_set, lane, in_team) << (i * TEAM % 32u);
      }
      levels += vec2f(f32(level), f32(level * level));
    }
    levels = team_sum(levels);
    if (is_own && in_team == 0u) {
      let sum = select(squares.x, squares.y, newest % 2u == 1u);
      let scale = bin_scale(sum, newest, u32(levels.x), u32(levels.y));
      code[SCALE_WORD / 4u][SCALE_WORD % 4u] = scale;
      code[QUERY_WORDS / 4u][QUERY_WORDS % 4u] = score_limit(scale);
      for (var i = 0u; i < CODE_QUADS; i++) { // @unroll
        codes_of_queries[select(query, 0u, is_key) * CODE_QUADS + i] = code[i];
      }
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
  if (portion.split == 0u) {
    for (var i = thread; i < HEADS * QUERY_WORDS; i += WORKGROUP) {
      let word = i % QUERY_WORDS;
      let quad = codes_of_queries[i / QUERY_WORDS * CODE_QUADS + word / 4u];
      list_state[first_list * QUERY_WORDS + i] = quad[word % 4u];
    }
  }

  // 5. Score the blocks.
  let recent_start = min(length - min(RECENT, length), newest);
  let blocks = (length + BLOCK - 1u) / BLOCK;
  var sums = array<u32, COUNT_TURNS>(); // of the histograms so far
  for (var block = portion.split; block < blocks; block += splits) {
    let third = block / splits % 2u * (HEADS * BINS);
    for (var round = 0u; round < ROUNDS; round++) { // @unroll
      let round_codes = loaded_codes;
      let round_factors = loaded_factors;
      if (HAS_NEXT) {
        let next_block = block + splits * u32(round + 1u == ROUNDS);
        let next = min(four_of(next_block, (round + 1u) % ROUNDS, thread), newest / 4u);
        for (var i = 0u; i < WORDS; i++) { // @unroll
          loaded_codes[i] = codes[(head * LIST_FOURS + next) * WORDS + i];
        }
        loaded_factors = factors[head * LIST_FOURS + next];
      }

      let first = 4u * four_of(block, round, thread);
      var values: array<u32, 4>; // of the factors
      var last_counts: array<u32, 4>; // places of the counts of the first list's last bin
      for (var t = 0u; t < 4u; t++) { // @unroll
        let is_middle = first + t >= SINK && first + t < recent_start;
        values[t] = factor_value(extractBits(round_factors, 8u * t, 8u));
        last_counts[t] = select(2u * HEADS * BINS, third, is_middle) + LAST;
      }
      for (var h = 0u; h < HEADS; h++) { // @unroll
        var query: array<vec4<u32>, CODE_QUADS>;
        for (var i = 0u; i < CODE_QUADS; i++) { // @unroll
          query[i] = codes_of_queries[h * CODE_QUADS + i];
        }
        let scale = query[SCALE_WORD / 4u][SCALE_WORD % 4u];
        let limit = query[QUERY_WORDS / 4u][QUERY_WORDS % 4u];
        var bins: array<u32, 4>;
        for (var t = 0u; t < 4u; t++) { // @unroll
          var code: array<u32, WORDS>;
          for (var w = 0u; w < WORDS; w++) { // @unroll
            let at = t * WORDS + w;
            code[w] = round_codes[at / 4u][at % 4u];
          }
          bins[t] = limited_score_bin(add_weights(code, query), values[t], scale, limit);
        }
        if (first < CAPACITY) {
          let packed = bins[0] | (bins[1] << 8u) | (bins[2] << 16u) | (bins[3] << 24u);
          let place = (first_list + h) * LIST_FOURS + first / 4u;
          distances[place] = LAST * 0x01010101u - packed;
        }
        for (var t = 0u; t < 4u; t++) { // @unroll
          atomicAdd(&counts[last_counts[t] + h * BINS - bins[t]], 1u);
        }
      }
    }
    workgroupBarrier();
    // Store the histograms, and reset the counts for the block after the next.
    for (var turn = 0u; turn < COUNT_TURNS; turn++) { // @unroll
      let i = turn * WORKGROUP + thread;
      if (i < HEADS * BINS) {
        let count = atomicExchange(&counts[third + i], 0u);
        let list = first_list + i / BINS;
        list_state[HISTOGRAMS + (list * BLOCKS + block) * BINS + i % BINS] = count;
        sums[turn] += count;
      }
    }
  }
  for (var turn = 0u; turn < COUNT_TURNS; turn++) { // @unroll
    let i = turn * WORKGROUP + thread;
    if (i < HEADS * BINS) {
      let list = first_list + i / BINS;
      list_state[SPLIT_SUMS + (list * SPLITS + portion.split) * BINS + i % BINS] = sums[turn];
    }
  }
}
