/// Elements 4 * at .. 4 * at + 3 of the keys.
fn key_quad(at: u32) -> vec4f {
  if (KV_DTYPE == 0u) {
    return bitcast<vec4f>(vec4<u32>(keys[2u * at], keys[2u * at + 1u]));
  }
  let pair = keys[at];
  if (KV_DTYPE == 1u) {
    return vec4f(unpack2x16float(pair.x), unpack2x16float(pair.y));
  }
  let low = pair << vec2<u32>(16u);
  let high = pair & vec2<u32>(0xffff0000u);
  return bitcast<vec4f>(vec4<u32>(low.x, high.x, low.y, high.y));
}
