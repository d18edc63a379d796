// nsa_blocks.wgsl: scores of NSA's blocks, from the logits of the compressed rows.
//
// Dispatch (shares, KV heads, batch). A thread scores one block. Large groups and long caches need
// it: elsewhere attend/nsa_branches.wgsl computes the scores itself.
//
// 1. Find the logarithm of the softmax's denominator for each head of the group.
// 2. Score the blocks.
const VALUE_DIM: u32 = 128u; // @param elements of a row of V
const BATCH: u32 = 1u; // @param sequences
const GROUP: u32 = 4u; // @param query heads per KV head
const KV_HEADS: u32 = 8u; // @param
const CAPACITY: u32 = 1024u; // @param tokens that a cache has room for
const WORKGROUP: u32 = 64u; // @param
const COMPRESSED_SPLITS: u32 = 8u; // @param

const VALUE_QUADS = VALUE_DIM / 4u;
// @shared block_sizes
const BLOCK = 64u; // tokens of a block
const BLOCKS = (CAPACITY + BLOCK - 1u) / BLOCK; // blocks of a full cache
const Q_HEADS = KV_HEADS * GROUP;
// @end
// @shared softmax
const NEG_LARGE = -1e30; // in place of minus infinity, for which WGSL promises nothing
const LOG2_E = 1.4426950408889634; // logits are in log2 units
// @end

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read_write> compressed_state: CompressedState;

// @shared compressed_state
/// What the compressed branch leaves to the others.
struct CompressedState {
  partials: array<vec4f, BATCH * Q_HEADS * COMPRESSED_SPLITS * VALUE_QUADS>,
  logits: array<vec4f, BATCH * Q_HEADS * BLOCKS>, // of the rows that begin in a block
  block_scores: array<f32, (BATCH * KV_HEADS * BLOCKS + 3u) / 4u * 4u>,
  split_stats: array<vec2f, BATCH * Q_HEADS * COMPRESSED_SPLITS>, // (m, l) of the partials
}
// @end

var<workgroup> group_stats: array<vec2f, GROUP * COMPRESSED_SPLITS>;
var<workgroup> row_lse: array<f32, GROUP>; // in log2 units

// @shared block_score
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
// @end

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let kv_head = wid.z * KV_HEADS + wid.y;
  let length = lengths[wid.z];
  if (wid.x * WORKGROUP * BLOCK >= length) {
    return;
  }

  // 1. Find the logarithm of the softmax's denominator for each head of the group.
  // @shared row_lse
  for (var i = thread; i < GROUP * COMPRESSED_SPLITS; i += WORKGROUP) {
    group_stats[i] = compressed_state.split_stats[kv_head * GROUP * COMPRESSED_SPLITS + i];
  }
  workgroupBarrier();
  // No group has more heads than a workgroup has threads.
  if (thread < GROUP) {
    var m = NEG_LARGE;
    for (var split = 0u; split < COMPRESSED_SPLITS; split++) { // @unroll
      m = max(m, group_stats[thread * COMPRESSED_SPLITS + split].x);
    }
    var l = 0.0;
    for (var split = 0u; split < COMPRESSED_SPLITS; split++) { // @unroll
      let stats = group_stats[thread * COMPRESSED_SPLITS + split];
      l += stats.y * exp2(stats.x - m);
    }
    row_lse[thread] = m + log2(l);
  }
  workgroupBarrier();
  // @end

  // 2. Score the blocks.
  let block = wid.x * WORKGROUP + thread;
  if (block < BLOCKS) {
    let score = block_score(kv_head, block);
    compressed_state.block_scores[kv_head * BLOCKS + block] = score;
  }
}
