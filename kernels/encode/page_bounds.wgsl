// page_bounds.wgsl: bounds of the newest page, which take in the newest token.
//
// Dispatch (KV heads, batch). A workgroup updates the least and the largest element of each channel
// of one KV head. Bounds have the dtype of the keys, so they are exact. A step that is repeated
// computes the same.
const HEAD_DIM: u32 = 128u; // @param
const KV_HEADS: u32 = 8u; // @param
const CAPACITY: u32 = 1024u; // @param tokens a cache row block holds
const KV_DTYPE: u32 = 1u; // @param 0 f32, 1 f16, 2 bf16
const WORKGROUP: u32 = 32u; // @param

const WIDTH = 4u + 4u * u32(KV_DTYPE != 0u); // values of a 16-byte load
const ROW_LOADS = HEAD_DIM / WIDTH; // loads of a row
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

// @shared bound_newest
/// Column `column` of the newest token of a KV head goes into the bounds of its page. The first
/// token of a page begins them.
fn bound_newest(kv_head: u32, token: u32, column: u32) {
  let key = keys[(kv_head * CAPACITY + token) * ROW_LOADS + column];
  let least = (kv_head * PAGES + token / PAGE_TOKENS) * 2u * ROW_LOADS + column;
  if (token % PAGE_TOKENS == 0u) {
    page_bounds[least] = key;
    page_bounds[least + ROW_LOADS] = key;
  } else {
    page_bounds[least] = extreme(page_bounds[least], key, 0u);
    page_bounds[least + ROW_LOADS] = extreme(page_bounds[least + ROW_LOADS], key, 0xffffffffu);
  }
}
// @end

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  for (var column = thread; column < ROW_LOADS; column += WORKGROUP) {
    bound_newest(wid.y * KV_HEADS + wid.x, lengths[wid.y] - 1u, column);
  }
}
