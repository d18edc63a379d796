/// The bin of a token's score, 0 for scores below zero. `weighted` are the weights of the bits that
/// differ from the query's signs, `value` is that of the key's factor.
fn score_bin(weighted: u32, value: u32, scale: u32) -> u32 {
  let total = scale >> 21u; // of all weights
  let score = (max(total, 2u * weighted) - 2u * weighted) * value;
  let bounded = min(score >> ((scale >> 16u) & 31u), 65535u);
  return min((bounded * (scale & 0xffffu)) >> 16u, BINS - 1u);
}
