/// The lowest `count` of the bits that are set in `mask`, or all if there are fewer.
fn first_bits(mask: u32, count: u32) -> u32 {
  var kept = select(mask, 0u, count == 0u);
  for (; countOneBits(kept) > count;) {
    kept &= ~(1u << firstLeadingBit(kept));
  }
  return kept;
}
