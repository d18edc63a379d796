for (var column = thread; column < LIST_HEADS * HEAD_QUADS; column += WORKGROUP) {
  let h = column / HEAD_QUADS;
  let first = list * LIST_QUADS + h * SPLITS * PARTIAL_QUADS;
  let own_head = wid.y * LIST_HEADS + h; // of the sequence
  let sink = sink_logits[own_head / 4u][own_head % 4u] * LOG2_E;
  if (HAND_OVER == 2u) {
    store_out(first_head * HEAD_QUADS + column, join_atomic(first, column % HEAD_QUADS, sink));
  } else {
    store_out(first_head * HEAD_QUADS + column, join_plain(first, column % HEAD_QUADS, sink));
  }
}
