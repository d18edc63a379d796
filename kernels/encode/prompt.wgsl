// prompt.wgsl: codes of the keys of a prompt, from a token on.
//
// Dispatch (tiles, code heads, batch). A workgroup encodes TILE tokens of one code head. The first
// tile begins at the sequence's first token to encode. A workgroup ends at once if its tile lies
// past the end of the sequence.
//
// 1. Load the keys of the tile into workgroup memory.
// 2. Run the hidden layers. SiLU follows each of them.
// 3. Run the last layer.
// 4. Set bit j of a code if output j is above zero, and store the codes.
//
// A thread makes OUT_COLUMNS outputs of several tokens in registers, so that each weight it loads
// serves all of its tokens. The outputs of a layer replace its inputs in workgroup memory, once all
// threads have read these.
//
// token.wgsl describes the layout of a map and of a code.
const HEAD_DIM: u32 = 128u; // @param
const BATCH: u32 = 1u; // @param sequences
const GROUP: u32 = 4u; // @param query heads per KV head
const KV_HEADS: u32 = 8u; // @param
const CODE_HEADS: u32 = 32u; // @param
const QUERIES_PER_CODE: u32 = 1u; // @param query heads per code head
const CAPACITY: u32 = 1024u; // @param tokens a cache row block holds
const KV_DTYPE: u32 = 1u; // @param 0 f32, 1 f16, 2 bf16
const BITS: u32 = 32u; // @param
const MAP_LAYERS: u32 = 3u; // @param
const MAP_HIDDEN: u32 = 128u; // @param outputs of every layer but the last
const MAP_DTYPE: u32 = 1u; // @param 0 f32, 1 f16
const TILE: u32 = 32u; // @param tokens of a workgroup
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
const KEY_WIDTH = 4u + 4u * u32(KV_DTYPE != 0u); // values of a 16-byte load of a key
const KEY_QUADS = KEY_WIDTH / 4u; // vec4f of a load
const KEY_LOADS = HEAD_DIM / KEY_WIDTH; // loads of a key
const MAP_WIDTH = 4u + 4u * u32(MAP_DTYPE != 0u); // weights of a 16-byte load
const MAP_QUADS = MAP_WIDTH / 4u;
const OUT_COLUMNS = 8u; // outputs of a thread per token: one load of f16 weights, two of f32
const OUT_QUADS = OUT_COLUMNS / 4u;
const OUT_LOADS = OUT_COLUMNS / MAP_WIDTH;
const HIDDEN_GROUPS = MAP_HIDDEN / OUT_COLUMNS; // threads that make the outputs of a token
const CODE_GROUPS = BITS / OUT_COLUMNS;
const HIDDEN_TOKENS = max(1u, TILE * HIDDEN_GROUPS / WORKGROUP); // tokens of a thread
const CODE_TOKENS = max(1u, TILE * CODE_GROUPS / WORKGROUP);
const HIDDEN_SUMS = HIDDEN_TOKENS * OUT_QUADS; // vec4f of sums of a thread
const CODE_SUMS = CODE_TOKENS * OUT_QUADS;
const HIDDEN = MAP_HIDDEN * u32(MAP_LAYERS > 1u); // 0 if there is no hidden layer
const STRIDE = (max(HEAD_DIM, HIDDEN) + 31u) / 32u * 8u; // vec4f of a token's activations
const LAST_INPUTS = HEAD_DIM * u32(MAP_LAYERS == 1u) + HIDDEN;
const FIRST_SIZE = (HEAD_DIM + 1u) * HIDDEN; // numbers of the first layer, if there are more
const MIDDLE_SIZE = (max(MAP_LAYERS, 2u) - 2u) * (MAP_HIDDEN + 1u) * MAP_HIDDEN;
const MAP_NUMBERS = FIRST_SIZE + MIDDLE_SIZE + (LAST_INPUTS + 1u) * BITS;
const WORDS = BITS / 32u; // of a code
const WORD_PARTS = 32u / OUT_COLUMNS; // threads that make a word of code

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read> first_tokens: array<u32>;
@group(0) @binding(2) var<storage, read> keys: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> key_map: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read_write> codes: array<u32>;

var<workgroup> activations: array<vec4f, TILE * STRIDE>;

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

// @shared widen_map
/// Weights 4 * quad .. 4 * quad + 3 of a 16-byte load of a map.
fn widen_map(raw: vec4<u32>, quad: u32) -> vec4f {
  if (MAP_DTYPE == 0u) {
    return bitcast<vec4f>(raw);
  }
  let pair = select(raw.xy, raw.zw, quad == 1u);
  return vec4f(unpack2x16float(pair.x), unpack2x16float(pair.y));
}
// @end

/// The place of a token's vec4f `quad` of activations. The token rotates it over the banks, since
/// threads read the same quad of different tokens. It stays among the same eight quads.
fn place(token: u32, quad: u32) -> u32 {
  return token * STRIDE + (quad ^ (token % 8u));
}

/// Weights 4 * quad .. 4 * quad + 3 of a thread's outputs in a row of the map that begins at load
/// `row`. The biases of a layer are its last row.
fn weights(row: u32, column: u32, quad: u32) -> vec4f {
  let raw = key_map[row + column * OUT_LOADS + quad / MAP_QUADS];
  return widen_map(raw, quad % MAP_QUADS);
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let begin = first_tokens[wid.z] + wid.x * TILE;
  let length = lengths[wid.z];
  if (begin >= length) {
    return;
  }

  // 1. Load the keys. Rows past the end repeat the last one of the sequence, since the cache may
  // hold anything beyond it.
  let kv_head = wid.y * QUERIES_PER_CODE / GROUP;
  let own_head = wid.z * KV_HEADS + kv_head;
  for (var at = thread; at < TILE * KEY_LOADS; at += WORKGROUP) {
    let token = at / KEY_LOADS;
    let row = row_offset(own_head, min(begin + token, length - 1u));
    let raw = keys[head_start(own_head) + row + at % KEY_LOADS];
    for (var quad = 0u; quad < KEY_QUADS; quad++) { // @unroll
      activations[place(token, at % KEY_LOADS * KEY_QUADS + quad)] = widen(raw, quad);
    }
  }
  workgroupBarrier();

  // 2. Run the hidden layers.
  var row = wid.y * (MAP_NUMBERS / MAP_WIDTH); // the next row of the map, in 16-byte loads
  var inputs = HEAD_DIM;
  for (var layer = 1u; layer < MAP_LAYERS; layer++) {
    let column = thread % HIDDEN_GROUPS;
    let first = thread / HIDDEN_GROUPS * HIDDEN_TOKENS;
    // The value is needed: without one, naga zeroes a variable once and not in every layer.
    var sums = array<vec4f, HIDDEN_SUMS>();
    for (var k = 0u; k < inputs / 4u; k++) {
      var input: array<vec4f, HIDDEN_TOKENS>;
      for (var t = 0u; t < HIDDEN_TOKENS; t++) { // @unroll
        input[t] = activations[place(first + t, k)];
      }
      for (var i = 0u; i < 4u; i++) { // @unroll
        for (var quad = 0u; quad < OUT_QUADS; quad++) { // @unroll
          let weight = weights(row + i * (MAP_HIDDEN / MAP_WIDTH), column, quad);
          for (var t = 0u; t < HIDDEN_TOKENS; t++) { // @unroll
            sums[t * OUT_QUADS + quad] += input[t][i] * weight;
          }
        }
      }
      row += 4u * (MAP_HIDDEN / MAP_WIDTH);
    }
    workgroupBarrier();
    for (var t = 0u; t < HIDDEN_TOKENS; t++) { // @unroll
      for (var quad = 0u; quad < OUT_QUADS; quad++) { // @unroll
        let x = sums[t * OUT_QUADS + quad] + weights(row, column, quad);
        // The bound keeps exp finite, since WGSL promises nothing for infinities.
        let y = x / (1.0 + exp(-max(x, vec4f(-80.0))));
        activations[place(first + t, column * OUT_QUADS + quad)] = y;
      }
    }
    row += MAP_HIDDEN / MAP_WIDTH;
    inputs = MAP_HIDDEN;
    workgroupBarrier();
  }

  // 3. Run the last layer.
  let column = thread % CODE_GROUPS;
  let first = thread / CODE_GROUPS * CODE_TOKENS;
  var sums: array<vec4f, CODE_SUMS>;
  for (var k = 0u; k < LAST_INPUTS / 4u; k++) {
    var input: array<vec4f, CODE_TOKENS>;
    for (var t = 0u; t < CODE_TOKENS; t++) { // @unroll
      input[t] = activations[place(first + t, k)];
    }
    for (var i = 0u; i < 4u; i++) { // @unroll
      for (var quad = 0u; quad < OUT_QUADS; quad++) { // @unroll
        let weight = weights(row + i * (BITS / MAP_WIDTH), column, quad);
        for (var t = 0u; t < CODE_TOKENS; t++) { // @unroll
          sums[t * OUT_QUADS + quad] += input[t][i] * weight;
        }
      }
    }
    row += 4u * (BITS / MAP_WIDTH);
  }
  workgroupBarrier();

  // 4. Set the bits. A thread leaves its OUT_COLUMNS bits of a token as a small number, from which
  // another thread packs words.
  for (var t = 0u; t < CODE_TOKENS; t++) { // @unroll
    let low = vec4<u32>(sums[t * OUT_QUADS] + weights(row, column, 0u) > vec4f(0.0));
    let high = vec4<u32>(sums[t * OUT_QUADS + 1u] + weights(row, column, 1u) > vec4f(0.0));
    let bits = dot(low, vec4<u32>(1u, 2u, 4u, 8u)) + dot(high, vec4<u32>(16u, 32u, 64u, 128u));
    activations[place(first + t, column)] = vec4f(f32(bits));
  }
  workgroupBarrier();
  let code_at = ((wid.z * CODE_HEADS + wid.y) * CAPACITY + begin) * WORDS;
  for (var at = thread; at < min(TILE, length - begin) * WORDS; at += WORKGROUP) {
    var word = 0u;
    for (var i = 0u; i < WORD_PARTS; i++) { // @unroll
      let part = activations[place(at / WORDS, at % WORDS * WORD_PARTS + i)].x;
      word |= u32(part) << (OUT_COLUMNS * i);
    }
    codes[code_at + at] = word;
  }
}
