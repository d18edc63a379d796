/// The token of a slot. Dense heads have every token in its place.
fn slot_token(slot: u32, end: u32, first_slot: u32, is_dense: bool) -> u32 {
  if (is_dense) {
    return slot;
  }
  return slot_tokens[first_slot + min(slot, end - 1u)].y;
}
