for (var h = 0u; h < LIST_HEADS; h++) { // @unroll
  var s = array<f32, TOKENS>();
  var m_new = m[h];
  for (var t = 0u; t < TOKENS; t++) { // @unroll
    let inside = tile + t * ROWS + row < end;
    s[t] = select(NEG_LARGE, logits[(t * ROWS + row) * LIST_HEADS + h], inside);
    m_new = max(m_new, s[t]);
  }
  let alpha = exp2(m[h] - m_new);
  m[h] = m_new;
  l[h] *= alpha;
  for (var part = 0u; part < PARTS; part++) { // @unroll
    acc[h * PARTS + part] *= alpha;
  }
  for (var t = 0u; t < TOKENS; t++) { // @unroll
    let inside = tile + t * ROWS + row < end;
    let p = select(0.0, exp2(s[t] - m_new), inside);
    l[h] += p;
    for (var part = 0u; part < PARTS; part++) { // @unroll
      acc[h * PARTS + part] += p * widen(v[t * CHUNKS + part / QUADS], part % QUADS);
    }
  }
}
