for (var tile = begin; tile < end; tile += stride) {
  // 2. Load the next tile; without PREFETCH, the current one.
  if (PREFETCH == 1u) {
    for (var load = 0u; load < LOADS; load++) { // @unroll
      let token = min(tile + stride + (load / CHUNKS) * ROWS + row, end - 1u);
      let at = lane_base + row_offset(kv_head, token) + chunk_offset(load % CHUNKS, lane);
      next_k[load] = keys[at];
      next_v[load] = values[at];
    }
  } else {
    for (var load = 0u; load < LOADS; load++) { // @unroll
      let token = min(tile + (load / CHUNKS) * ROWS + row, end - 1u);
      let at = lane_base + row_offset(kv_head, token) + chunk_offset(load % CHUNKS, lane);
      k[load] = keys[at];
      v[load] = values[at];
    }
  }

  // 3. Compute the logits of the current tile.
  var logits = array<f32, LOGITS>();
  for (var t = 0u; t < TOKENS; t++) { // @unroll
    for (var part = 0u; part < PARTS; part++) { // @unroll
      let k_quad = widen(k[t * CHUNKS + part / QUADS], part % QUADS);
      for (var h = 0u; h < HEADS; h++) { // @unroll
        logits[t * HEADS + h] += dot(k_quad, query[h * PARTS + part]);
      }
    }
  }
  for (var i = 0u; i < LOGITS; i++) { // @unroll
    for (var step = 0u; step < firstTrailingBit(LANES); step++) { // @unroll
      logits[i] += subgroupShuffleXor(logits[i], 1u << step);
    }
  }

  // 4. Update the running softmax.
  for (var h = 0u; h < HEADS; h++) { // @unroll
    var m_new = m[h];
    for (var t = 0u; t < TOKENS; t++) { // @unroll
      let inside = tile + t * ROWS + row < end;
      logits[t * HEADS + h] = select(NEG_LARGE, capped(logits[t * HEADS + h]), inside);
      m_new = max(m_new, logits[t * HEADS + h]);
    }
    let alpha = exp2(m[h] - m_new);
    m[h] = m_new;
    l[h] *= alpha;
    for (var part = 0u; part < PARTS; part++) { // @unroll
      acc[h * PARTS + part] *= alpha;
    }
    for (var t = 0u; t < TOKENS; t++) { // @unroll
      let inside = tile + t * ROWS + row < end;
      let p = select(0.0, exp2(logits[t * HEADS + h] - m_new), inside);
      l[h] += p;
      for (var part = 0u; part < PARTS; part++) { // @unroll
        acc[h * PARTS + part] += p * widen(v[t * CHUNKS + part / QUADS], part % QUADS);
      }
    }
  }
  if (PREFETCH == 1u) {
    for (var load = 0u; load < LOADS; load++) { // @unroll
      k[load] = next_k[load];
      v[load] = next_v[load];
    }
  }
}
