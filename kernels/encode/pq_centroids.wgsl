// pq_centroids.wgsl: k-means of a prompt's keys, last: the means as centroids, in the type that the
// cache of centroids has.
//
// Dispatch (quads of a row, KV heads, batch). A thread stores four elements of a centroid.
const HEAD_DIM: u32 = 128u; // @param
const KV_HEADS: u32 = 8u; // @param
const CENTROID_DTYPE: u32 = 1u; // @param 0 f32, 1 f16

const CENTROIDS = 256u;
const HEAD_QUADS = HEAD_DIM / 4u;

@group(0) @binding(0) var<storage, read> means: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> centroids: array<vec2<u32>>;

@compute @workgroup_size(CENTROIDS)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) c: u32,
) {
  let at = ((wid.z * KV_HEADS + wid.y) * HEAD_QUADS + wid.x) * CENTROIDS + c;
  let mean = means[at];
  if (CENTROID_DTYPE == 1u) {
    centroids[at] = vec2<u32>(pack2x16float(mean.xy), pack2x16float(mean.zw));
  } else {
    centroids[2u * at] = bitcast<vec2<u32>>(mean.xy);
    centroids[2u * at + 1u] = bitcast<vec2<u32>>(mean.zw);
  }
}
