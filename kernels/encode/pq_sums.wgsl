// pq_sums.wgsl: k-means of a prompt's keys, 2 of 3 of an iteration: adds up the keys of each code.
//
// Dispatch (chunks, KV heads x HEAD_DIM / COLUMNS, batch). A workgroup adds up COLUMNS columns of
// the keys of a chunk of CHUNK tokens. A thread has a column to itself and takes the tokens in
// their order: sums do not depend on who comes first, as they would with atomics.
//
// 1. Add up the keys, and count them.
// 2. Store the sums, and the counts where the columns are the first of a part.
const HEAD_DIM: u32 = 128u; // @param
const KV_HEADS: u32 = 8u; // @param
const CAPACITY: u32 = 4096u; // @param
const KV_DTYPE: u32 = 1u; // @param 0 f32, 1 f16, 2 bf16
const PARTS: u32 = 8u; // @param parts of a key
const CHUNK: u32 = 1024u; // @param tokens
const COLUMNS: u32 = 8u; // @param columns of a workgroup, all of one part

// @shared pq_sizes
const CENTROIDS = 256u; // of a part
const PART_DIM = HEAD_DIM / PARTS; // elements of a part
const PART_QUADS = PART_DIM / 4u;
const HEAD_QUADS = HEAD_DIM / 4u;
const WORD_PARTS = min(PARTS, 4u); // parts of a token whose codes share a word
const WORD_TOKENS = 4u / WORD_PARTS; // tokens that share a word of codes
const CODE_ROWS = PARTS / WORD_PARTS; // rows of codes of a KV head
// @end
const CHUNKS = (CAPACITY + CHUNK - 1u) / CHUNK;
const COLUMN_GROUPS = HEAD_DIM / COLUMNS;
const AHEAD = 8u; // keys in flight per thread

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read> keys: array<u32>;
@group(0) @binding(2) var<storage, read> pq_codes: array<u32>;
@group(0) @binding(3) var<storage, read_write> chunk_sums: array<f32>;
@group(0) @binding(4) var<storage, read_write> chunk_counts: array<u32>;

var<workgroup> sums: array<f32, CENTROIDS * COLUMNS>; // zero at the start
var<workgroup> counts: array<u32, CENTROIDS>;

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

@compute @workgroup_size(COLUMNS)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let length = lengths[wid.z];
  let begin = wid.x * CHUNK;
  if (begin >= length) {
    return;
  }
  let end = min(begin + CHUNK, length);
  let head = wid.z * KV_HEADS + wid.y / COLUMN_GROUPS;
  let first_column = wid.y % COLUMN_GROUPS * COLUMNS;
  let part = first_column / PART_DIM;
  let row = head * CODE_ROWS + part / WORD_PARTS;

  // 1. Add up and count.
  for (var first = begin; first < end; first += AHEAD) {
    var values: array<f32, AHEAD>;
    var code: array<u32, AHEAD>;
    for (var i = 0u; i < AHEAD; i++) { // @unroll
      let token = min(first + i, end - 1u);
      values[i] = key_element((head * CAPACITY + token) * HEAD_DIM + first_column + thread);
      let byte = token % WORD_TOKENS * WORD_PARTS + part % WORD_PARTS;
      code[i] = extractBits(pq_codes[(row * CAPACITY + token) / WORD_TOKENS], 8u * byte, 8u);
    }
    for (var i = 0u; i < AHEAD; i++) { // @unroll
      if (first + i < end) {
        sums[code[i] * COLUMNS + thread] += values[i];
        if (thread == 0u) {
          counts[code[i]] += 1u;
        }
      }
    }
  }
  workgroupBarrier();

  // 2. Store.
  let chunk = head * CHUNKS + wid.x;
  for (var i = thread; i < CENTROIDS * COLUMNS; i += COLUMNS) {
    let column = i / CENTROIDS;
    let c = i % CENTROIDS;
    chunk_sums[(chunk * HEAD_DIM + first_column + column) * CENTROIDS + c] =
      sums[c * COLUMNS + column];
  }
  if (first_column % PART_DIM == 0u) {
    for (var c = thread; c < CENTROIDS; c += COLUMNS) {
      chunk_counts[(chunk * PARTS + part) * CENTROIDS + c] = counts[c];
    }
  }
}
