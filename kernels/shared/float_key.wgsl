/// A u32 that orders f32 scores by their bits: a larger score has a larger key. -0 equals +0, and
/// NaN is below -inf.
fn float_key(bits: u32) -> u32 {
  let magnitude = bits & 0x7fffffffu;
  let ordered = select(0x80000000u + magnitude, 0x7fffffffu - magnitude, bits > 0x80000000u);
  return select(ordered, 0u, magnitude > 0x7f800000u);
}
