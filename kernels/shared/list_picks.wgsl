/// Writes the tokens of the mask `picks`, bit i for token first + i, to the list from `slot` on.
fn list_picks(first: u32, picks: u32, slot: u32) {
  var next = slot;
  for (var left = picks; left != 0u; left &= left - 1u) {
    selected[next] = first + firstTrailingBit(left);
    next += 1u;
  }
}
