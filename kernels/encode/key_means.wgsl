// key_means.wgsl: the mean key of each KV head of a prompt, from the sums of its chunks.
//
// Dispatch (KV heads, batch). A workgroup makes one mean: thread d that of element d.
//
// key_sums.wgsl makes the sums. The means lie behind the sums of factors in key_stats, where the
// encoders of rotated codes read them. They stay as they are where only a part of the prompt is
// encoded, from a later token on.
const HEAD_DIM: u32 = 128u; // @param
const KV_HEADS: u32 = 8u; // @param
const CAPACITY: u32 = 4096u; // @param
const CENTRE: u32 = 1u; // @param
const CHUNK: u32 = 512u; // @param tokens of a sum
const WORKGROUP: u32 = 128u; // @param

const CHUNKS = (CAPACITY + CHUNK - 1u) / CHUNK;
// @shared key_stats
// Of each KV head: two sums of squared factor values, and with CENTRE = 1 the mean key.
const HEAD_STATS = 2u + CENTRE * HEAD_DIM;
// @end

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read> first_tokens: array<u32>;
@group(0) @binding(2) var<storage, read> chunk_sums: array<f32>;
@group(0) @binding(3) var<storage, read_write> key_stats: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  if (first_tokens[wid.y] > 0u) {
    return;
  }
  let head = wid.y * KV_HEADS + wid.x;
  for (var d = thread; d < HEAD_DIM; d += WORKGROUP) {
    var sum = 0.0;
    for (var chunk = 0u; chunk < CHUNKS; chunk++) {
      sum += chunk_sums[(head * CHUNKS + chunk) * HEAD_DIM + d];
    }
    key_stats[head * HEAD_STATS + 2u + d] = sum / f32(lengths[wid.y]);
  }
}
