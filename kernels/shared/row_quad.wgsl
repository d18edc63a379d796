/// The quad of a row that a lane holds as its part `part`.
fn row_quad(part: u32, lane: u32) -> u32 {
  return (part / QUADS * LANES + lane) * QUADS + part % QUADS;
}
