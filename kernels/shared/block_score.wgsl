/// The score of a block of a KV head: the probabilities of the compressed rows that overlap it, each
/// times the overlap in strides, summed over the group. Rows 4 block - 1 to 4 block + 3 weigh 1, 2,
/// 2, 2, 1. `rows` are visible.
fn block_score(kv_head: u32, block: u32, rows: u32) -> f32 {
  var score = 0.0;
  for (var h = 0u; h < GROUP; h++) { // @unroll
    let at = (kv_head * GROUP + h) * BLOCKS + block;
    let own = compressed_state.logits[at];
    let before = compressed_state.logits[max(at, 1u) - 1u].w;
    let inside = vec4<u32>(block * 4u) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(rows);
    let p = select(vec4f(0.0), exp2(own - row_lse[h]), inside);
    let p_before = select(0.0, exp2(before - row_lse[h]), block > 0u && block * 4u - 1u < rows);
    score += p_before + 2.0 * (p.x + p.y + p.z) + p.w;
  }
  return score;
}
