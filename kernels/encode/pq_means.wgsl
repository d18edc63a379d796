// pq_means.wgsl: k-means of a prompt's keys, 3 of 3 of an iteration: the means of the keys of each
// code are the new centroids. A centroid without keys stays as it was.
//
// Dispatch (quads of a row, KV heads, batch). A thread makes four elements of a centroid: it adds
// up the chunks in their order.
const HEAD_DIM: u32 = 128u; // @param
const KV_HEADS: u32 = 8u; // @param
const CAPACITY: u32 = 4096u; // @param
const PARTS: u32 = 8u; // @param parts of a key
const CHUNK: u32 = 1024u; // @param tokens

const CENTROIDS = 256u;
const HEAD_QUADS = HEAD_DIM / 4u;
const PART_QUADS = HEAD_QUADS / PARTS;
const CHUNKS = (CAPACITY + CHUNK - 1u) / CHUNK;

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read> chunk_sums: array<f32>;
@group(0) @binding(2) var<storage, read> chunk_counts: array<u32>;
@group(0) @binding(3) var<storage, read> old_means: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> means: array<vec4f>;

@compute @workgroup_size(CENTROIDS)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) c: u32,
) {
  let head = wid.z * KV_HEADS + wid.y;
  var sum = vec4f();
  var count = 0u;
  for (var chunk = 0u; chunk * CHUNK < lengths[wid.z]; chunk++) {
    let place = head * CHUNKS + chunk;
    count += chunk_counts[(place * PARTS + wid.x / PART_QUADS) * CENTROIDS + c];
    for (var i = 0u; i < 4u; i++) { // @unroll
      sum[i] += chunk_sums[(place * HEAD_DIM + 4u * wid.x + i) * CENTROIDS + c];
    }
  }
  let at = (head * HEAD_QUADS + wid.x) * CENTROIDS + c;
  var mean = old_means[at];
  if (count > 0u) {
    mean = sum / f32(count);
  }
  means[at] = mean;
}
