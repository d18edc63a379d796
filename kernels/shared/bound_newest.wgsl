/// Column `column` of the newest token of a KV head goes into the bounds of its page. The first
/// token of a page begins them.
fn bound_newest(kv_head: u32, token: u32, column: u32) {
  let key = keys[(kv_head * CAPACITY + token) * ROW_LOADS + column];
  let least = (kv_head * PAGES + token / PAGE_TOKENS) * 2u * ROW_LOADS + column;
  if (token % PAGE_TOKENS == 0u) {
    page_bounds[least] = key;
    page_bounds[least + ROW_LOADS] = key;
  } else {
    page_bounds[least] = extreme(page_bounds[least], key, 0u);
    page_bounds[least + ROW_LOADS] = extreme(page_bounds[least + ROW_LOADS], key, 0xffffffffu);
  }
}
