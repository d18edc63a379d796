for (var h = 0u; h < LIST_HEADS; h++) { // @unroll
  if (lane == 0u) {
    stats[row * LIST_HEADS + h] = vec2f(m[h], l[h]);
  }
}
workgroupBarrier();
// Each row group rescales its acc to the common maximum, so that a sum joins them.
for (var h = 0u; h < LIST_HEADS; h++) { // @unroll
  let m_new = joined_m(h);
  let alpha = exp2(m[h] - m_new);
  for (var part = 0u; part < PARTS; part++) { // @unroll
    let at = row * HEAD_DIM + row_quad(part, lane) * 4u;
    let quad = acc[h * PARTS + part] * alpha;
    scratch[at] = quad.x;
    scratch[at + 1u] = quad.y;
    scratch[at + 2u] = quad.z;
    scratch[at + 3u] = quad.w;
  }
  workgroupBarrier();
  store_joined((first_head + h) * grid.x + wid.x, h, m_new, thread);
  workgroupBarrier();
}
