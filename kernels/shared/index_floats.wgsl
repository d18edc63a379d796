/// Quad `quad` of a row of floats: of an index head, or of the newest key behind them.
fn row_floats(row: u32, quad: u32, sequence: u32) -> vec4f {
  if (row == INDEX_HEADS) {
    return index_keys[sequence * ROW_QUADS + quad];
  }
  return index_queries[(sequence * INDEX_HEADS + row) * ROW_QUADS + quad];
}
