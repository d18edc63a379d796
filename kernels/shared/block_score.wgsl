/// A query head's part of a block's score: the probabilities of the compressed rows that overlap
/// the block, each times the overlap in strides. Rows 4 block - 1 to 4 block + 3 weigh 1, 2, 2, 2,
/// 1: `before` is the logit of the first one, `own` are those of the others.
///
/// Only the first block and the last two lack some of these rows. They are taken in any case, so
/// their scores may be anything.
fn head_score(before: f32, own: vec4f, lse: f32) -> f32 {
  let p = exp2(own - lse);
  return exp2(before - lse) + 2.0 * (p.x + p.y + p.z) + p.w;
}

/// The score of a block of a KV head, summed over the group.
fn block_score(kv_head: u32, block: u32) -> f32 {
  var score = 0.0;
  for (var h = 0u; h < GROUP; h++) { // @unroll
    let at = (kv_head * GROUP + h) * BLOCKS + block;
    let before = compressed_state.logits[max(at, 1u) - 1u].w;
    score += head_score(before, compressed_state.logits[at], row_lse[h]);
  }
  return score;
}
