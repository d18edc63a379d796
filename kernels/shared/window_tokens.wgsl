/// The number of tokens of [first, after) that lie in the sink or the recent window.
fn window_tokens(first: u32, after: u32, sink_end: u32, recent_start: u32) -> u32 {
  let in_sink = max(min(after, sink_end), first) - first;
  return in_sink + after - clamp(recent_start, first, after);
}
