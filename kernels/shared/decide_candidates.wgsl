// Repeat rounds until few finalists are left, or all of them are taken.
var range = bin_range(place.z);
var left = found; // finalists
var missing = picks_wanted - place.x; // finalists to take
for (; left > FINALISTS && missing < left;) {
  for (var digit = thread; digit < DIGITS; digit += WORKGROUP) {
    atomicStore(&digit_counts[digit], 0u);
  }
  workgroupBarrier();
  let by_key = range.key_bits > 0u;
  let bits = select(range.rank_bits, range.key_bits, by_key);
  let shift = bits - min(bits, DIGIT_BITS);
  for (var first = 0u; first < found; first += TILE) {
    var own: array<vec2<u32>, AHEAD>;
    for (var i = 0u; i < AHEAD; i++) { // @unroll
      own[i] = candidates[begin + min(first + i * WORKGROUP + thread, found - 1u)];
    }
    for (var i = 0u; i < AHEAD; i++) { // @unroll
      let candidate = vec2<u32>(own[i].x, rank_of(own[i].y));
      if (first + i * WORKGROUP + thread < found && is_in(candidate, range)) {
        let offset = select(candidate.y - range.low_rank, candidate.x - range.low_key, by_key);
        atomicAdd(&digit_counts[offset >> shift], 1u);
      }
    }
  }
  workgroupBarrier();
  // A thread adds up its digits, from the largest digit of all down.
  var own = 0u;
  for (var i = 0u; i < THREAD_DIGITS; i++) { // @unroll
    own += atomicLoad(&digit_counts[DIGITS - 1u - thread * THREAD_DIGITS - i]);
  }
  var above = scan_rows(vec2<u32>(own, 0u), thread).x;
  for (var i = 0u; i < THREAD_DIGITS; i++) { // @unroll
    let digit = DIGITS - 1u - thread * THREAD_DIGITS - i;
    let here = atomicLoad(&digit_counts[digit]);
    if (above < missing && missing <= above + here) {
      cut_part = vec3<u32>(digit, above, here);
    }
    above += here;
  }
  let part = workgroupUniformLoad(&cut_part);
  missing -= part.y;
  left = part.z;
  if (by_key) {
    range.low_key += part.x << shift;
    range.key_bits = shift;
  } else {
    range.low_rank += part.x << shift;
    range.rank_bits = shift;
  }
}

// Rank the finalists, which gives the cut. If all are taken, the range begins at the cut.
if (thread == 0u) {
  cut = vec2<u32>(range.low_key, range.low_rank);
}
workgroupBarrier();
if (missing < left) {
  for (var first = 0u; first < found; first += TILE) {
    var own: array<vec2<u32>, AHEAD>;
    for (var i = 0u; i < AHEAD; i++) { // @unroll
      own[i] = candidates[begin + min(first + i * WORKGROUP + thread, found - 1u)];
    }
    for (var i = 0u; i < AHEAD; i++) { // @unroll
      let candidate = vec2<u32>(own[i].x, rank_of(own[i].y));
      if (first + i * WORKGROUP + thread < found && is_in(candidate, range)) {
        finalists[atomicAdd(&finalist_count, 1u)] = candidate;
      }
    }
  }
  workgroupBarrier();
  if (thread < left) {
    var better = 0u; // finalists that are at least as good as this thread's one
    for (var i = 0u; i < left; i++) {
      better += u32(reaches(finalists[i], finalists[thread]));
    }
    if (better == missing) {
      cut = finalists[thread];
    }
  }
  workgroupBarrier();
}

// Write the candidates down to the cut.
let slots = list * LIST_CAPACITY + sink_end + place.x;
for (var first = 0u; first < found; first += TILE) {
  var own: array<vec2<u32>, AHEAD>;
  for (var i = 0u; i < AHEAD; i++) { // @unroll
    own[i] = candidates[begin + min(first + i * WORKGROUP + thread, found - 1u)];
  }
  for (var i = 0u; i < AHEAD; i++) { // @unroll
    let candidate = vec2<u32>(own[i].x, rank_of(own[i].y));
    if (first + i * WORKGROUP + thread < found && reaches(candidate, cut)) {
      selected[slots + atomicAdd(&taken, 1u)] = own[i].y;
    }
  }
}
