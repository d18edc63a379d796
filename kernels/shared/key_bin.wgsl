/// The bin of a key. Bins ascend with keys, so any threshold between bins is one between scores. A
/// power of two of magnitudes has 2^(23 - SHIFT) bins, and bins begin with FIRST_EXPONENT.
fn key_bin(key: u32) -> u32 {
  let negative = key < 0x80000000u;
  let magnitude = select(key - 0x80000000u, 0x7fffffffu - key, negative);
  let step = clamp(magnitude >> SHIFT, FIRST_STEP, FIRST_STEP + HALF - 1u) - FIRST_STEP;
  return select(HALF + step, HALF - 1u - step, negative);
}
