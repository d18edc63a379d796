/// Query head `h` of the list that begins with `first_head`.
fn list_head(first_head: u32, h: u32) -> u32 {
  return min(first_head + h, first_head / GROUP * GROUP + GROUP - 1u);
}
