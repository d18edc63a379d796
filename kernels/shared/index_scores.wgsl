  let slot = thread % SLOTS;
  let slice = thread / SLOTS;
  let begin = wid.x * TILE;
  let length = lengths[wid.z];
  if (begin >= length) {
    return;
  }
  let newest = length - 1u;
  let first_row = wid.z * CAPACITY;

  // 1. Load the rows of the tokens. Those past the end repeat the last one.
  var k: array<vec4<u32>, TOKENS * ROW_LOADS>;
  var k_scales: array<f32, TOKENS>;
  for (var t = 0u; t < TOKENS; t++) { // @unroll
    let row = first_row + min(begin + t * SLOTS + slot, newest);
    k_scales[t] = index_scales[row];
    for (var i = 0u; i < ROW_LOADS; i++) { // @unroll
      k[t * ROW_LOADS + i] = index_codes[row * ROW_LOADS + i];
    }
  }

  // 2. Quantise the queries, and the newest key where it belongs to this workgroup.
  let rows = INDEX_HEADS + u32(newest < begin + TILE);
  for (var part = thread; part < rows * LANES; part += WORKGROUP) {
    peaks[part] = part_peak(part / LANES, part % LANES, wid.z);
  }
  workgroupBarrier();
  for (var part = thread; part < rows * LANES; part += WORKGROUP) {
    let row = part / LANES;
    for (var half = 0u; half < 2u; half++) {
      let place = half * LANES + part % LANES;
      codes[row * ROW_LOADS + place] = byte_load(row, half, part % LANES, wid.z);
    }
    if (part % LANES == 0u) {
      let scale = row_scale(row);
      if (row < INDEX_HEADS) {
        factors[row] = index_weights[wid.z * INDEX_HEADS + row] * scale;
      } else {
        factors[row] = scale;
      }
    }
  }
  workgroupBarrier();

  // 3. Put the newest key in its place, and append it.
  for (var t = 0u; t < TOKENS; t++) { // @unroll
    if (begin + t * SLOTS + slot == newest) {
      for (var i = 0u; i < ROW_LOADS; i++) { // @unroll
        k[t * ROW_LOADS + i] = codes[INDEX_HEADS * ROW_LOADS + i];
      }
      k_scales[t] = factors[INDEX_HEADS];
    }
  }
  if (rows > INDEX_HEADS && thread < ROW_LOADS) {
    let load = codes[INDEX_HEADS * ROW_LOADS + thread];
    index_codes[(first_row + newest) * ROW_LOADS + thread] = load;
    if (thread == 0u) {
      index_scales[first_row + newest] = factors[INDEX_HEADS];
    }
  }

  // 4. Add up the heads of the slice.
  var sums = array<f32, TOKENS>();
  for (var turn = 0u; turn < SLICE_HEADS; turn += TOGETHER) {
    for (var together = 0u; together < TOGETHER; together++) { // @unroll
      let head = slice * SLICE_HEADS + turn + together;
      var dots = array<i32, TOKENS>();
      for (var i = 0u; i < ROW_LOADS; i++) { // @unroll
        let code = codes[head * ROW_LOADS + i];
        for (var part = 0u; part < 4u; part++) { // @unroll
          for (var t = 0u; t < TOKENS; t++) { // @unroll
            dots[t] += dot4I8Packed(code[part], k[t * ROW_LOADS + i][part]);
          }
        }
      }
      for (var t = 0u; t < TOKENS; t++) { // @unroll
        sums[t] += factors[head] * f32(max(dots[t], 0));
      }
    }
  }

  // 5. Add up the slices, and store the scores.
  if (SLICES > 1u) {
    for (var t = 0u; t < TOKENS; t++) { // @unroll
      slice_sums[slice * TILE + t * SLOTS + slot] = sums[t];
    }
    workgroupBarrier();
  }
  for (var t = 0u; t < TOKENS; t++) { // @unroll
    let place = t * SLOTS + slot;
    if (slice == 0u && begin + place < length) {
      var score = sums[t];
      for (var other = 0u; other < SLICES - 1u; other++) { // @unroll
        score += slice_sums[(other + 1u) * TILE + place];
      }
      scores[first_row + begin + place] = score * k_scales[t];
    }
  }
