/// Where a lane's chunk `chunk` lies in a row, in loads from place `lane`. Lanes that are left over
/// at the end of a row repeat its last load. They make of it what the lane makes that owns it, but
/// their part of the query is zero, so that dots count the load once.
fn chunk_offset(chunk: u32, lane: u32) -> u32 {
  if (ROW_LOADS % LANES == 0u) {
    return chunk * LANES;
  }
  return min(chunk * LANES + lane, ROW_LOADS - 1u) - lane; // may wrap around below zero
}

/// The quad of a row that a lane holds as its part `part`.
fn row_quad(part: u32, lane: u32) -> u32 {
  return (chunk_offset(part / QUADS, lane) + lane) * QUADS + part % QUADS;
}
