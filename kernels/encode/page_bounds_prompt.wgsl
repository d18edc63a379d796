// page_bounds_prompt.wgsl: bounds of all pages of a prompt.
//
// Dispatch (ceil(pages / ROWS), KV heads, batch). A workgroup has ROWS pages of one KV head. A
// thread has a 16-byte column of one page: it loads the page's tokens, and keeps the least and the
// largest element of each channel. Bounds have the dtype of the keys, so they are exact.
const HEAD_DIM: u32 = 128u; // @param
const KV_HEADS: u32 = 8u; // @param
const CAPACITY: u32 = 1024u; // @param tokens a cache row block holds
const KV_DTYPE: u32 = 1u; // @param 0 f32, 1 f16, 2 bf16
const WORKGROUP: u32 = 128u; // @param

const WIDTH = 4u + 4u * u32(KV_DTYPE != 0u); // values of a 16-byte load
const ROW_LOADS = HEAD_DIM / WIDTH; // loads of a row
const ROWS = WORKGROUP / ROW_LOADS; // pages of a workgroup
// @shared page_sizes
const PAGE_TOKENS = 16u;
const PAGES = (CAPACITY / PAGE_TOKENS + 15u) / 16u * 16u; // pages that a KV head has room for
// @end

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read> keys: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read_write> page_bounds: array<vec4<u32>>;

// @shared extreme
/// Keys of elements in the upper halves of words, or of f32. A larger element has a larger key. -0
/// is below +0, and NaN is beyond infinity.
fn element_keys(bits: vec4<u32>) -> vec4<u32> {
  return select(bits | vec4<u32>(0x80000000u), ~bits, bits >= vec4<u32>(0x80000000u));
}

/// Of each element of two loads of keys the smaller one, or with `flip` 0xffffffff the larger one.
fn extreme(a: vec4<u32>, b: vec4<u32>, flip: u32) -> vec4<u32> {
  let flips = vec4<u32>(flip);
  let upper = select(b, a, (element_keys(a) ^ flips) < (element_keys(b) ^ flips));
  if (KV_DTYPE == 0u) {
    return upper;
  }
  let low_a = a << vec4<u32>(16u);
  let low_b = b << vec4<u32>(16u);
  let lower = select(low_b, low_a, (element_keys(low_a) ^ flips) < (element_keys(low_b) ^ flips));
  return (upper & vec4<u32>(0xffff0000u)) | (lower >> vec4<u32>(16u));
}
// @end

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let kv_head = wid.z * KV_HEADS + wid.y;
  let page = wid.x * ROWS + thread / ROW_LOADS;
  let column = thread % ROW_LOADS;
  let length = lengths[wid.z];
  // The last threads have no page where a row is no part of the workgroup.
  if (thread / ROW_LOADS >= ROWS || page * PAGE_TOKENS >= length) {
    return;
  }
  // All loads are in flight before the first use. Tokens past the end repeat the last one.
  var key: array<vec4<u32>, PAGE_TOKENS>;
  for (var i = 0u; i < PAGE_TOKENS; i++) { // @unroll
    let token = min(page * PAGE_TOKENS + i, length - 1u);
    key[i] = keys[(kv_head * CAPACITY + token) * ROW_LOADS + column];
  }
  var least = key[0];
  var largest = key[0];
  for (var i = 0u; i < PAGE_TOKENS - 1u; i++) { // @unroll
    least = extreme(least, key[i + 1u], 0u);
    largest = extreme(largest, key[i + 1u], 0xffffffffu);
  }
  let at = (kv_head * PAGES + page) * 2u * ROW_LOADS + column;
  page_bounds[at] = least;
  page_bounds[at + ROW_LOADS] = largest;
}
