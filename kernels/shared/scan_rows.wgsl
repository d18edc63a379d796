/// Sums of `value` over the threads before this one (xy) and over all threads (zw).
///
/// Two calls need no barrier between them. The second barrier of a call separates its reads of
/// `values` from the writes of the next call, whose first barrier does the same for `row_totals`.
fn scan_rows(value: vec2<u32>, thread: u32) -> vec4<u32> {
  let row = thread / ROW;
  let place = thread % ROW;
  values[row * ROW_STRIDE + place] = value;
  workgroupBarrier();
  var before = vec2<u32>(0u);
  for (var i = 0u; i < ROW; i++) { // @unroll
    before += select(vec2<u32>(0u), values[row * ROW_STRIDE + i], i < place);
  }
  if (place == ROW - 1u) {
    row_totals[row] = before + value;
  }
  workgroupBarrier();
  var all = vec2<u32>(0u);
  for (var r = 0u; r < ROWS; r++) { // @unroll
    before += select(vec2<u32>(0u), row_totals[r], r < row);
    all += row_totals[r];
  }
  return vec4<u32>(before, all);
}
