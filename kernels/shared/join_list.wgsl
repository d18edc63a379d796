/// Joins the partials of all splits of a list into the output, one output vec4f per thread of a
/// slice. Slice i takes every SLICES-th split, beginning with split i.
fn join_splits(list: u32, first_head: u32, last_head: u32, thread: u32) {
  let slice = thread / SLICE_THREADS;
  for (var turn = 0u; turn < OUT_QUADS; turn += SLICE_THREADS) {
    let column = turn + thread % SLICE_THREADS;
    let h = min(column, OUT_QUADS - 1u) / HEAD_QUADS;
    var m = NEG_LARGE;
    var l = 0.0;
    var acc = vec4f(0.0);
    for (var start = 0u; start < SLICE_SPLITS; start += SPLITS_IN_FLIGHT) {
      // All loads are in flight before the first use: the join is bound by latency.
      var split_acc: array<vec4f, SPLITS_IN_FLIGHT>;
      var split_stats: array<vec2f, SPLITS_IN_FLIGHT>;
      if (HAND_OVER == 2u) {
        for (var i = 0u; i < SPLITS_IN_FLIGHT; i++) { // @unroll
          let split = min((start + i) * SLICES + slice, SPLITS - 1u);
          let first = list * LIST_QUADS + (h * SPLITS + split) * PARTIAL_QUADS;
          split_acc[i] = atomic_partial(first + column % HEAD_QUADS);
          split_stats[i] = atomic_stats(first + HEAD_QUADS);
        }
      } else {
        for (var i = 0u; i < SPLITS_IN_FLIGHT; i++) { // @unroll
          let split = min((start + i) * SLICES + slice, SPLITS - 1u);
          let first = list * LIST_QUADS + (h * SPLITS + split) * PARTIAL_QUADS;
          split_acc[i] = hand_over.partials[first + column % HEAD_QUADS];
          split_stats[i] = hand_over.partials[first + HEAD_QUADS].xy;
        }
      }
      for (var i = 0u; i < SPLITS_IN_FLIGHT; i++) { // @unroll
        let is_split = (start + i) * SLICES + slice < SPLITS;
        split_stats[i] = select(vec2f(NEG_LARGE, 0.0), split_stats[i], is_split);
      }
      let m_old = m;
      for (var i = 0u; i < SPLITS_IN_FLIGHT; i++) { // @unroll
        m = max(m, split_stats[i].x);
      }
      l *= exp2(m_old - m);
      acc *= exp2(m_old - m);
      for (var i = 0u; i < SPLITS_IN_FLIGHT; i++) { // @unroll
        let alpha = select(exp2(split_stats[i].x - m), 0.0, split_stats[i].y == 0.0);
        l += split_stats[i].y * alpha;
        acc += split_acc[i] * alpha;
      }
    }

    scratch[thread] = acc;
    stats[thread] = vec2f(m, l);
    workgroupBarrier();
    let head = first_head + h;
    if (slice == 0u && column < OUT_QUADS && head <= last_head) {
      store_out(
        head * HEAD_QUADS + column % HEAD_QUADS,
        joined_output(head % Q_HEADS, thread),
      );
    }
    workgroupBarrier();
  }
}

/// Joins what the slices left in scratch and stats into a vec4f of the output, with the sink logit
/// of head `own_head` of the sequence. The output is zero where a sequence has no tokens.
fn joined_output(own_head: u32, thread: u32) -> vec4f {
  let sink = sink_logits[own_head / 4u][own_head % 4u] * LOG2_E;
  var m = max(sink, NEG_LARGE);
  for (var s = 0u; s < SLICES; s++) { // @unroll
    m = max(m, stats[s * SLICE_THREADS + thread].x);
  }
  var l = 0.0;
  var acc = vec4f(0.0);
  for (var s = 0u; s < SLICES; s++) { // @unroll
    let alpha = exp2(stats[s * SLICE_THREADS + thread].x - m);
    l += stats[s * SLICE_THREADS + thread].y * alpha;
    acc += scratch[s * SLICE_THREADS + thread] * alpha;
  }
  let attends = !(l <= 0.0); // a NaN goes on
  l += select(exp2(sink - m), 0.0, sink <= NEG_LARGE);
  return select(vec4f(0.0), acc / l, attends);
}
