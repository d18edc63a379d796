/// The place of load i of a thread in the distances of the list, from token `first` on. Past the
/// end of the list its last load repeats.
fn distance_place(first: u32, i: u32) -> u32 {
  return min(first / PER_WORD / 4u + i, ROW_LOADS - 1u);
}
