/// The tokens of the sink or the recent window among the 32 from `first` on, as a mask: bit i is
/// token first + i. Tokens at the length and past it count as recent.
fn window_mask(first: u32, sink_end: u32, recent_start: u32) -> u32 {
  let in_sink = ~bits_from(max(first, sink_end) - first);
  return in_sink | bits_from(max(first, recent_start) - first);
}
