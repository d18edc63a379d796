/// Where a token's row begins in keys and values, in 16-byte loads. Caches of sequences that share
/// a prefix have no strides or pages of their own.
fn kv_row(kv_head: u32, token: u32) -> u32 {
  if (PREFIX != 0u) {
    return cache_row(kv_head, token) * KV_LOADS;
  }
  return head_start(kv_head) + row_offset(kv_head, token);
}
