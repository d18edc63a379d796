/// A word whose bits `count` and up are set.
fn bits_from(count: u32) -> u32 {
  return select(0xffffffffu << min(count, 31u), 0u, count > 31u);
}
