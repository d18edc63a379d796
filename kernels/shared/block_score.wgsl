/// A query head's part of a block's score: the probabilities of the compressed rows that overlap the
/// block, each times the overlap in strides. Rows 4 block - 1 to 4 block + 3 weigh 1, 2, 2, 2, 1.
/// `before` is the logit of the first one, `own` are those of the others; `rows` are visible.
fn head_score(before: f32, own: vec4f, lse: f32, block: u32, rows: u32) -> f32 {
  let inside = vec4<u32>(block * 4u) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(rows);
  let p = select(vec4f(0.0), exp2(own - lse), inside);
  let p_before = select(0.0, exp2(before - lse), block > 0u && block * 4u - 1u < rows);
  return p_before + 2.0 * (p.x + p.y + p.z) + p.w;
}

/// The score of a block of a KV head, summed over the group.
fn block_score(kv_head: u32, block: u32, rows: u32) -> f32 {
  var score = 0.0;
  for (var h = 0u; h < GROUP; h++) { // @unroll
    let at = (kv_head * GROUP + h) * BLOCKS + block;
    let before = compressed_state.logits[max(at, 1u) - 1u].w;
    score += head_score(before, compressed_state.logits[at], row_lse[h], block, rows);
  }
  return score;
}
