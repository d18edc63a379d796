/// Maximum of head `h` over all row groups.
fn joined_m(h: u32) -> f32 {
  var m = NEG_LARGE;
  for (var r = 0u; r < ROWS; r++) { // @unroll
    m = max(m, stats[r * LIST_HEADS + h].x);
  }
  return m;
}
