// Request the first tile. Rows past its end are loaded and not used.
var k: array<vec4<u32>, K_LOADS>;
var v: array<vec2<u32>, V_LOADS>;
var next_v: array<vec2<u32>, V_LOADS>;
if (is_loaded) {
  let row = cache_row + first_row(begin, wid.x);
  for (var load = 0u; load < K_LOADS; load++) { // @unroll
    k[load] = branch_keys[row * ROW_LOADS + load * WORKGROUP + thread];
  }
  for (var load = 0u; load < V_LOADS; load++) { // @unroll
    let quad = (row + load / V_PAIRS * SLICES + slice) * VALUE_QUADS + column;
    next_v[load] = branch_values[quad * V_PAIRS + load % V_PAIRS];
  }
}
