/// The bits of the largest magnitude in a lane's part of a row of floats. A part is two runs of
/// four quads.
fn part_peak(row: u32, lane: u32, sequence: u32) -> u32 {
  var peak = vec4<u32>(0u);
  for (var i = 0u; i < 8u; i++) { // @unroll
    let quad = row_floats(row, (i / 4u * LANES + lane) * 4u + i % 4u, sequence);
    peak = max(peak, bitcast<vec4<u32>>(quad) & vec4<u32>(0x7fffffffu));
  }
  return max(max(peak.x, peak.y), max(peak.z, peak.w));
}

/// The exponent, as f32 stores it, of the largest magnitude of a row.
fn row_exponent(row: u32) -> u32 {
  var peak = 0u;
  for (var lane = 0u; lane < LANES; lane++) { // @unroll
    peak = max(peak, peaks[row * LANES + lane]);
  }
  return max(peak >> 23u, LEAST_EXPONENT);
}

/// Load `half * LANES + lane` of a row of bytes: 16 of its floats, divided by its scale, which is
/// the power of two that brings the largest magnitude to 64 or more and below 128. Both are exact.
fn byte_load(row: u32, half: u32, lane: u32, sequence: u32) -> vec4<u32> {
  let inverse = bitcast<f32>((SCALE_BIAS + 254u - row_exponent(row)) << 23u);
  var load: vec4<u32>;
  for (var i = 0u; i < 4u; i++) { // @unroll
    let quad = row_floats(row, (half * LANES + lane) * 4u + i, sequence) * inverse;
    let bytes = vec4<i32>(clamp(round(quad), vec4f(-127.0), vec4f(127.0)));
    let shifted = (bitcast<vec4<u32>>(bytes) & vec4<u32>(255u)) << vec4<u32>(0u, 8u, 16u, 24u);
    load[i] = shifted.x | shifted.y | shifted.z | shifted.w;
  }
  return load;
}

/// The scale of a row: a float is its byte times this, rounded.
fn row_scale(row: u32) -> f32 {
  return bitcast<f32>((row_exponent(row) - SCALE_BIAS) << 23u);
}
