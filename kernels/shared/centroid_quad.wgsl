/// Four elements of a centroid; `at` counts [B, KV heads, HEAD_QUADS, CENTROIDS].
fn centroid_quad(at: u32) -> vec4f {
  if (CENTROID_DTYPE == 0u) {
    return bitcast<vec4f>(vec4<u32>(centroids[2u * at], centroids[2u * at + 1u]));
  }
  let pair = centroids[at];
  return vec4f(unpack2x16float(pair.x), unpack2x16float(pair.y));
}
