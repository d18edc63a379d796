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
