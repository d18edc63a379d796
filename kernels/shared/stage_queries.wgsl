for (var i = thread; i < HEADS * HEAD_QUADS; i += WORKGROUP) {
  let quad = q[(first_head + i / HEAD_QUADS) * HEAD_QUADS + i % HEAD_QUADS];
  query[i] = quad * (LOG2_E / sqrt(f32(HEAD_DIM)));
}
