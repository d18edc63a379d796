/// Adds up what the row groups left in scratch, rescaled to `m`, and stores the partial of head `h`
/// of the list in slot `slot`.
fn store_joined(slot: u32, h: u32, m: f32, thread: u32) {
  for (var d = thread; d < HEAD_DIM; d += WORKGROUP) {
    var acc = 0.0;
    for (var r = 0u; r < ROWS; r++) { // @unroll
      acc += scratch[r * HEAD_DIM + d];
    }
    partial_out[slot * HEAD_DIM + d] = acc;
  }
  if (thread == 0u) {
    var l = 0.0;
    for (var r = 0u; r < ROWS; r++) { // @unroll
      l += stats[r * LIST_HEADS + h].y * exp2(stats[r * LIST_HEADS + h].x - m);
    }
    partial_stats[slot] = vec2f(m, l);
  }
}
