for (var first = 0u; first < OUT_QUADS; first += JOIN_THREADS) {
  // All loads are in flight before the first use: the join is bound by latency.
  let quad = first + thread % JOIN_THREADS;
  let join_slice = thread / JOIN_THREADS;
  let h = min(quad, OUT_QUADS - 1u) / VALUE_QUADS;
  var loaded: array<vec4f, SLICE_SPLITS>;
  for (var i = 0u; i < SLICE_SPLITS; i++) { // @unroll
    let split = min(i * JOIN_SLICES + join_slice, SPLITS - 1u);
    let partial = list * LIST_QUADS + (h * SPLITS + split) * PARTIAL_QUADS;
    loaded[i] = hand_over.partials[partial + quad % VALUE_QUADS];
  }

  // The weight of a split in the output: its gate, and its share of the branch.
  if (first == 0u) {
    for (var i = thread; i < HEADS * SPLITS; i += WORKGROUP) {
      let at = list * LIST_QUADS + i * PARTIAL_QUADS + VALUE_QUADS;
      area[STATS + i] = bitcast<vec4<u32>>(hand_over.partials[at]);
    }
    workgroupBarrier();
    for (var i = thread; i < HEADS * SPLITS; i += WORKGROUP) {
      let split = i % SPLITS;
      let selected = split < GATHER_SPLITS;
      let compressed = split == SPLITS - 1u;
      let own_first = select(i - split, i - split + GATHER_SPLITS, !selected);
      let own_count = select(select(WINDOW_SPLITS, GATHER_SPLITS, selected), 1u, compressed);
      let begin = select(own_first, i, compressed);
      var m = NEG_LARGE;
      for (var each = 0u; each < BRANCH_SPLITS; each++) { // @unroll
        m = max(m, bitcast<f32>(area[STATS + begin + min(each, own_count - 1u)].x));
      }
      var l = 0.0;
      for (var each = 0u; each < BRANCH_SPLITS; each++) { // @unroll
        let stats = bitcast<vec4f>(area[STATS + begin + min(each, own_count - 1u)]);
        l += select(0.0, stats.y * exp2(stats.x - m), each < own_count);
      }
      let attends = !(l <= 0.0); // a NaN goes on
      let branch = select(select(2u, 1u, selected), 0u, compressed);
      let gate = gates[(list * HEADS + i / SPLITS) * 3u + branch];
      let share = exp2(bitcast<f32>(area[STATS + i].x) - m) / l;
      area[WEIGHTS + i] = bitcast<vec4<u32>>(vec4f(select(0.0, gate * share, attends)));
    }
    workgroupBarrier();
  }

  var sum = vec4f(0.0);
  for (var i = 0u; i < SLICE_SPLITS; i++) { // @unroll
    let split = i * JOIN_SLICES + join_slice;
    let weight = bitcast<f32>(area[WEIGHTS + h * SPLITS + min(split, SPLITS - 1u)].x);
    sum += select(vec4f(0.0), weight * loaded[i], split < SPLITS);
  }
  area[thread] = bitcast<vec4<u32>>(sum);
  workgroupBarrier();
  if (join_slice == 0u && quad < OUT_QUADS) {
    sum = vec4f(0.0);
    for (var other = 0u; other < JOIN_SLICES; other++) { // @unroll
      sum += bitcast<vec4f>(area[other * JOIN_THREADS + thread]);
    }
    out[list * OUT_QUADS + quad] = sum;
  }
  workgroupBarrier();
}
