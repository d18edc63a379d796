/// Which quad of a row a thread holds as its vec4f number `part`. The quads of a load are adjacent.
fn row_quad(lane: u32, part: u32) -> u32 {
  return ((part / QUADS) * LANES + lane) * QUADS + part % QUADS;
}
