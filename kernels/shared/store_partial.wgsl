/// Stores a quad of a partial for the workgroup that joins the splits.
fn store_partial(at: u32, quad: vec4f) {
  if (HAND_OVER == 2u) {
    let words = bitcast<vec4<u32>>(quad);
    atomicStore(&hand_over.words[at * 4u], words.x);
    atomicStore(&hand_over.words[at * 4u + 1u], words.y);
    atomicStore(&hand_over.words[at * 4u + 2u], words.z);
    atomicStore(&hand_over.words[at * 4u + 3u], words.w);
  } else {
    hand_over.partials[at] = quad;
  }
}

/// Loads a quad of a partial that was handed over by atomics. Plain partials are read where they
/// are needed: compilers issue such loads together only if no branch stands between them.
fn atomic_partial(at: u32) -> vec4f {
  let x = atomicLoad(&hand_over.words[at * 4u]);
  let y = atomicLoad(&hand_over.words[at * 4u + 1u]);
  let z = atomicLoad(&hand_over.words[at * 4u + 2u]);
  let w = atomicLoad(&hand_over.words[at * 4u + 3u]);
  return bitcast<vec4f>(vec4<u32>(x, y, z, w));
}
