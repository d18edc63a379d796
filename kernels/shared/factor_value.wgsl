/// The whole number that a factor's byte stands for.
fn factor_value(byte: u32) -> u32 {
  return select((16u + (byte & 15u)) << (max(byte >> 4u, 1u) - 1u), byte, byte < 16u);
}
