/// Compressed rows that a token sees if it is the last of `length`: all their tokens are cached.
fn compressed_rows(length: u32) -> u32 {
  return select(0u, (length - SPAN) / STRIDE + 1u, length >= SPAN);
}
