// key_sums.wgsl: sums of the keys of a prompt, element by element, for chunks of tokens.
//
// Dispatch (chunks, KV heads, batch). A workgroup adds up CHUNK tokens of one KV head. A chunk past
// the end of the sequence has the sum 0. There are no sums where a later part of a prompt is
// encoded, whose mean key is that of the first part.
//
// 1. Load tokens, each thread a 16-byte column of every ROWS-th token, and add them up.
// 2. Add up the threads of a column.
// 3. Store the sum of each element.
//
// key_means.wgsl makes means of the sums.
const HEAD_DIM: u32 = 128u; // @param
const BATCH: u32 = 1u; // @param sequences
const KV_HEADS: u32 = 8u; // @param
const CAPACITY: u32 = 4096u; // @param
const KV_DTYPE: u32 = 1u; // @param 0 f32, 1 f16, 2 bf16
const CHUNK: u32 = 512u; // @param tokens of a workgroup
const WORKGROUP: u32 = 256u; // @param

// @shared cache_strides
// Rows of K and V. Strides are in 16-byte loads, or all 0 for [B, KV_HEADS, CAPACITY, HEAD_DIM].
const OUTER_STRIDE: u32 = 0u; // @param from a sequence, or a page, to the next
const HEAD_STRIDE: u32 = 0u; // @param from a KV head to the next
const TOKEN_STRIDE: u32 = 0u; // @param from a token to the next
const TABLE_BITS: u32 = 0u; // @param log2 of the tokens of a page; 0 without a page table
const KV_WIDTH = 4u + 4u * u32(KV_DTYPE != 0u); // values of a load
const KV_LOADS = HEAD_DIM / KV_WIDTH; // loads of a row
// @end
const WIDTH = 4u + 4u * u32(KV_DTYPE != 0u); // values of a 16-byte load
const QUADS = WIDTH / 4u; // vec4f of a load
const ROW_LOADS = HEAD_DIM / WIDTH; // loads of a row
const ROWS = WORKGROUP / ROW_LOADS; // rows that the workgroup reads side by side
const CHUNKS = (CAPACITY + CHUNK - 1u) / CHUNK;
const LOADS = 8u; // loads in flight per thread

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read> first_tokens: array<u32>;
@group(0) @binding(2) var<storage, read> keys: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read_write> chunk_sums: array<vec4f>;

var<workgroup> sums: array<vec4f, ROWS * ROW_LOADS * QUADS>;

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

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  if (first_tokens[wid.z] > 0u) {
    return;
  }
  let head = wid.z * KV_HEADS + wid.y;
  let begin = wid.x * CHUNK;
  let end = min(begin + CHUNK, lengths[wid.z]);
  let row = thread / ROW_LOADS;
  let column = thread % ROW_LOADS;

  // 1. Add up tokens. The last threads have no row where a row is no part of the workgroup.
  var sum: array<vec4f, QUADS>;
  if (row < ROWS) {
    for (var first = begin + row; first < end; first += LOADS * ROWS) {
      var loaded: array<vec4<u32>, LOADS>;
      for (var load = 0u; load < LOADS; load++) { // @unroll
        let token = min(first + load * ROWS, CAPACITY - 1u);
        loaded[load] = keys[head_start(head) + row_offset(head, token) + column];
      }
      for (var load = 0u; load < LOADS; load++) { // @unroll
        for (var quad = 0u; quad < QUADS; quad++) { // @unroll
          let four = widen(loaded[load], quad);
          sum[quad] += select(vec4f(0.0), four, first + load * ROWS < end);
        }
      }
    }
    for (var quad = 0u; quad < QUADS; quad++) { // @unroll
      sums[(row * ROW_LOADS + column) * QUADS + quad] = sum[quad];
    }
  }
  workgroupBarrier();

  // 2. Add up the threads of a column, and 3. store.
  for (var i = thread; i < ROW_LOADS * QUADS; i += WORKGROUP) {
    var all = vec4f(0.0);
    for (var r = 0u; r < ROWS; r++) {
      all += sums[r * ROW_LOADS * QUADS + i];
    }
    chunk_sums[(head * CHUNKS + wid.x) * ROW_LOADS * QUADS + i] = all;
  }
}
