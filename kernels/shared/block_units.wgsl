/// Blocks of a sequence, of which even an empty one has one.
fn units_of(sequence: u32) -> u32 {
  return max((lengths[sequence] + BLOCK - 1u) / BLOCK, 1u);
}
