/// Candidates whose key is in [low_key, low_key + 2^key_bits) and, if key_bits is 0, whose rank by
/// index is in [low_rank, low_rank + 2^rank_bits).
struct Range {
  low_key: u32,
  key_bits: u32,
  low_rank: u32,
  rank_bits: u32,
}
