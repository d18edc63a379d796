for (var h = 0u; h < HEADS; h++) { // @unroll
  if (thread == h) {
    split_m[h] = m[h];
  }
}
for (var turn = 0u; turn < JOIN_TURNS; turn++) { // @unroll
  workgroupBarrier();
  for (var place = 0u; place < JOINED; place++) { // @unroll
    let h = min(turn * JOINED + place, HEADS - 1u);
    if (slice < SLICES) {
      area[(place * SLICES + slice) * VALUE_QUADS + column] = bitcast<vec4<u32>>(acc[h]);
      if (column == 0u) {
        slice_l[place * SLICES + slice] = l[h];
      }
    }
  }
  workgroupBarrier();
  for (var i = thread; i < JOINED * VALUE_QUADS; i += WORKGROUP) {
    let place = i / VALUE_QUADS;
    let h = min(turn * JOINED + place, HEADS - 1u);
    var sum = vec4f(0.0);
    var sum_l = 0.0;
    for (var slot = 0u; slot < SLICES; slot++) { // @unroll
      sum += bitcast<vec4f>(area[(place * SLICES + slot) * VALUE_QUADS + i % VALUE_QUADS]);
      sum_l += slice_l[place * SLICES + slot];
    }
    if (turn * JOINED + place < HEADS) {
      store_partial_of(first_head + h, wid.x, i % VALUE_QUADS, sum, vec2f(split_m[h], sum_l));
    }
  }
}
