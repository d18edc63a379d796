var acc = array<vec4f, HEADS>();
var l = array<f32, HEADS>();
var m: array<f32, HEADS>;
for (var h = 0u; h < HEADS; h++) { // @unroll
  m[h] = NEG_LARGE;
}
for (var tile = begin; tile < end; tile += step) {
  // Stage the keys of the tile, and request the next one.
  let rows = count_rows(tile, wid.x, length);
  for (var load = 0u; load < K_LOADS; load++) { // @unroll
    let at = load * WORKGROUP + thread;
    area[at / ROW_LOADS * ROW_SLOTS + at % ROW_LOADS] = k[load];
  }
  for (var load = 0u; load < V_LOADS; load++) { // @unroll
    // What lies past the end may be NaN, which p = 0 does not remove.
    v[load] = select(vec2<u32>(0u), next_v[load], load / V_PAIRS * SLICES + slice < rows);
  }
  workgroupBarrier();
  if (tile + step < end) {
    let row = cache_row + first_row(tile + step, wid.x);
    for (var load = 0u; load < K_LOADS; load++) { // @unroll
      k[load] = branch_keys[row * ROW_LOADS + load * WORKGROUP + thread];
    }
    for (var load = 0u; load < V_LOADS; load++) { // @unroll
      let quad = (row + load / V_PAIRS * SLICES + slice) * VALUE_QUADS + column;
      next_v[load] = branch_values[quad * V_PAIRS + load % V_PAIRS];
    }
  }

  // Compute the logits of a row for some of the heads.
  var s = array<f32, OWN_HEADS>();
  for (var chunk = 0u; chunk < ROW_LOADS; chunk++) { // @unroll
    let raw = area[tile_row * ROW_SLOTS + chunk];
    for (var quad = 0u; quad < QUADS; quad++) { // @unroll
      let k_quad = widen(raw, quad);
      for (var i = 0u; i < OWN_HEADS; i++) { // @unroll
        let h = min(head_lane + i * HEAD_LANES, HEADS - 1u);
        s[i] += dot(k_quad, query[h * HEAD_QUADS + chunk * QUADS + quad]);
      }
    }
  }
  for (var i = 0u; i < OWN_HEADS; i++) { // @unroll
    let h = head_lane + i * HEAD_LANES;
    // A masked logit lies below every m, also below the first: so its p is 0.
    s[i] = select(2.0 * NEG_LARGE, s[i], tile_row < rows);
    if (h < HEADS) {
      row_weights[h * TILE + tile_row] = s[i];
      keep_logit(first_head + h, tile * TILE + tile_row, tile_row < rows, s[i]);
    }
  }
  workgroupBarrier();

  // Find the maximum of each head, in two steps.
  for (var i = thread; i < HEADS * MAX_PARTS; i += WORKGROUP) {
    var most = NEG_LARGE;
    for (var row = 0u; row < PART_ROWS; row++) { // @unroll
      most = max(most, row_weights[i * PART_ROWS + row]);
    }
    maxima[i] = most;
  }
  workgroupBarrier();
  for (var h = 0u; h < HEADS; h++) { // @unroll
    var m_new = m[h];
    for (var part = 0u; part < MAX_PARTS; part++) { // @unroll
      m_new = max(m_new, maxima[h * MAX_PARTS + part]);
    }
    let alpha = exp2(m[h] - m_new);
    m[h] = m_new;
    l[h] *= alpha;
    acc[h] *= alpha;
    if (head_lane == h % HEAD_LANES) {
      row_weights[tile_row * HEADS + h] = exp2(s[h / HEAD_LANES] - m_new);
    }
  }
  workgroupBarrier();

  // Add up the values.
  for (var i = 0u; i < V_ROWS; i++) { // @unroll
    let row = i * SLICES + slice;
    let v_quad = widen_pair(v[i * V_PAIRS], v[i * V_PAIRS + V_PAIRS - 1u]);
    for (var h = 0u; h < HEADS; h++) { // @unroll
      let p = select(0.0, row_weights[min(row, TILE - 1u) * HEADS + h], row < TILE);
      l[h] += p;
      acc[h] += p * v_quad;
    }
  }
}
