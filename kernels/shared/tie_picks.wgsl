/// How many of the first `count` ties are picks. Picks are the first `tie_bound` ties, or with
/// TIES = 1 all ties but these.
fn picks_of_ties(count: u32, tie_bound: u32) -> u32 {
  let first = min(count, tie_bound);
  return select(first, count - first, TIES == 1u);
}

/// The picks among the ties of a mask, where `before` ties come before the mask.
fn mask_tie_picks(tie_mask: u32, before: u32, tie_bound: u32) -> u32 {
  let first = first_bits(tie_mask, tie_bound - min(before, tie_bound));
  return select(first, tie_mask & ~first, TIES == 1u);
}
