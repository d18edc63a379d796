/// What the compressed branch leaves to the others.
struct CompressedState {
  partials: array<vec4f, BATCH * Q_HEADS * COMPRESSED_SPLITS * VALUE_QUADS>,
  logits: array<vec4f, BATCH * Q_HEADS * BLOCKS>, // of the rows that begin in a block
  block_scores: array<f32, (BATCH * KV_HEADS * BLOCKS + 3u) / 4u * 4u>,
  split_stats: array<vec2f, BATCH * Q_HEADS * COMPRESSED_SPLITS>, // (m, l) of the partials
}
