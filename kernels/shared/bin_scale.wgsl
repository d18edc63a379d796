/// The scale of a query's bins, as a word. `squares` is the sum of the squared factor values of the
/// `cached` tokens. `total` and `level_squares` are sums over the query's magnitudes.
fn bin_scale(squares: f32, cached: u32, total: u32, level_squares: u32) -> u32 {
  let mean = select(0.0, squares / f32(max(cached, 1u)), cached > 0u);
  let reach = max(1.0, f32(RANGE) * sqrt(mean * f32(level_squares)));
  let exponent = (bitcast<u32>(reach) >> 23u) - 127u;
  let shift = max(exponent, 14u) - 14u;
  let multiplier = u32(65536.0 * f32(BINS) * f32(1u << shift) / reach + 0.5);
  return (total << 21u) | (shift << 16u) | min(multiplier, 65535u);
}
