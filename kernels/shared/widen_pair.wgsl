/// A quad of values, which is one 8-byte load, or two of f32.
fn widen_pair(low: vec2<u32>, high: vec2<u32>) -> vec4f {
  if (KV_DTYPE == 0u) {
    return bitcast<vec4f>(vec4<u32>(low, high));
  }
  if (KV_DTYPE == 1u) {
    return vec4f(unpack2x16float(low.x), unpack2x16float(low.y));
  }
  let even = low << vec2<u32>(16u);
  let odd = low & vec2<u32>(0xffff0000u);
  return bitcast<vec4f>(vec4<u32>(even.x, odd.x, even.y, odd.y));
}
