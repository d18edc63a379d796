// The lanes of a row leave their sums in workgroup memory. Their places are rotated by the
// row, so that threads that add up different dots read from different banks.
for (var t = 0u; t < TOKENS; t++) { // @unroll
  var sums = array<f32, LIST_HEADS>();
  for (var part = 0u; part < PARTS; part++) { // @unroll
    let k_quad = widen(k[t * CHUNKS + part / QUADS], part % QUADS);
    for (var h = 0u; h < LIST_HEADS; h++) { // @unroll
      sums[h] += dot(k_quad, query[h * PARTS + part]);
    }
  }
  for (var h = 0u; h < LIST_HEADS; h++) { // @unroll
    scratch[((t * ROWS + row) * LIST_HEADS + h) * LANES + (lane + row) % LANES] = sums[h];
  }
}
workgroupBarrier();
for (var i = thread; i < TILE * LIST_HEADS; i += WORKGROUP) {
  var logit = 0.0;
  for (var j = 0u; j < LANES; j++) { // @unroll
    logit += scratch[i * LANES + (j + i) % LANES];
  }
  logits[i] = capped(logit);
}
workgroupBarrier();
