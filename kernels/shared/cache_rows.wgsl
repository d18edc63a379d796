/// Where the rows of a KV head begin in keys and values, in 16-byte loads: in the whole cache, or in
/// each page of a paged one. KV heads are counted over all sequences.
fn head_start(kv_head: u32) -> u32 {
  if (TABLE_BITS == 0u && OUTER_STRIDE == KV_HEADS * HEAD_STRIDE) {
    return kv_head * HEAD_STRIDE;
  }
  let own_start = kv_head % KV_HEADS * HEAD_STRIDE;
  if (TABLE_BITS != 0u) {
    return own_start;
  }
  return kv_head / KV_HEADS * OUTER_STRIDE + own_start;
}

/// How far from there a token's row begins. A page table stands behind the lengths.
fn row_offset(kv_head: u32, token: u32) -> u32 {
  if (TABLE_BITS == 0u) {
    return token * TOKEN_STRIDE;
  }
  let pages = (CAPACITY + (1u << TABLE_BITS) - 1u) >> TABLE_BITS; // of a sequence
  let page = lengths[BATCH + kv_head / KV_HEADS * pages + (token >> TABLE_BITS)];
  return page * OUTER_STRIDE + (token & ((1u << TABLE_BITS) - 1u)) * TOKEN_STRIDE;
}
