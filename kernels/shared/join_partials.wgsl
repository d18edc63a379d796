/// Joins the partials of a query head's splits, the first of which begins at quad `first`. Gives a
/// quad of the output, zero for a list of no tokens. `sink` is a logit in log2 units.
fn join_plain(first: u32, column: u32, sink: f32) -> vec4f {
  var m = max(sink, NEG_LARGE);
  for (var s = 0u; s < SPLITS; s++) { // @unroll
    m = max(m, hand_over.partials[first + s * PARTIAL_QUADS + HEAD_QUADS].x);
  }
  var l = 0.0;
  var acc = vec4f(0.0);
  for (var s = 0u; s < SPLITS; s++) { // @unroll
    let split_stats = hand_over.partials[first + s * PARTIAL_QUADS + HEAD_QUADS];
    let alpha = exp2(split_stats.x - m);
    l += split_stats.y * alpha;
    acc += hand_over.partials[first + s * PARTIAL_QUADS + column] * alpha;
  }
  let attends = !(l <= 0.0); // a NaN goes on
  l += select(exp2(sink - m), 0.0, sink <= NEG_LARGE);
  return select(vec4f(0.0), acc / l, attends);
}

/// The same for partials that were handed over by atomics.
fn join_atomic(first: u32, column: u32, sink: f32) -> vec4f {
  var m = max(sink, NEG_LARGE);
  for (var s = 0u; s < SPLITS; s++) { // @unroll
    m = max(m, atomic_stats(first + s * PARTIAL_QUADS + HEAD_QUADS).x);
  }
  var l = 0.0;
  var acc = vec4f(0.0);
  for (var s = 0u; s < SPLITS; s++) { // @unroll
    let split_stats = atomic_stats(first + s * PARTIAL_QUADS + HEAD_QUADS);
    let alpha = exp2(split_stats.x - m);
    l += split_stats.y * alpha;
    acc += atomic_partial(first + s * PARTIAL_QUADS + column) * alpha;
  }
  let attends = !(l <= 0.0); // a NaN goes on
  l += select(exp2(sink - m), 0.0, sink <= NEG_LARGE);
  return select(vec4f(0.0), acc / l, attends);
}
