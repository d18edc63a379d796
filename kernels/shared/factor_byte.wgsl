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
