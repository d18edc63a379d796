/// Loads m and l of a partial that was handed over by atomics.
fn atomic_stats(at: u32) -> vec2f {
  let m = atomicLoad(&hand_over.words[at * 4u]);
  let l = atomicLoad(&hand_over.words[at * 4u + 1u]);
  return bitcast<vec2f>(vec2<u32>(m, l));
}
