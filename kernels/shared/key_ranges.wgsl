/// The keys of a bin as a range.
fn bin_range(bin: u32) -> Range {
  let negative = bin < HALF;
  let step = select(bin - HALF, HALF - 1u - bin, negative);
  if (step == 0u || step == HALF - 1u) {
    return Range(select(0x80000000u, 0u, negative), 31u, 0u, TOKEN_BITS); // all keys of the sign
  }
  let first = (FIRST_STEP + step) << SHIFT;
  let last = first + (1u << SHIFT) - 1u;
  return Range(select(0x80000000u + first, 0x7fffffffu - last, negative), SHIFT, 0u, TOKEN_BITS);
}

/// Orders tokens of one score: the better one has the higher rank.
fn rank_of(token: u32) -> u32 {
  return select((1u << TOKEN_BITS) - 1u - token, token, TIES == 1u);
}

/// Whether a candidate, with its rank, is in a range.
fn is_in(candidate: vec2<u32>, range: Range) -> bool {
  return (candidate.x - range.low_key) >> range.key_bits == 0u &&
    (range.key_bits > 0u || (candidate.y - range.low_rank) >> range.rank_bits == 0u);
}

/// Whether a candidate, with its rank, is at least as good as another one.
fn reaches(candidate: vec2<u32>, other: vec2<u32>) -> bool {
  return candidate.x > other.x || (candidate.x == other.x && candidate.y >= other.y);
}
