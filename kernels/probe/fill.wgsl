// Fills a buffer with hashed data: zeros would be compressed on the way and read impossibly fast.
//
// Dispatch (workgroups, rows): words from a grid-stride loop-free range. KIND 0: random bits.
// KIND 1: f32, 2: f16 pairs, 3: bf16 pairs, all near-normal (sum of four bytes, even, over 128, so
// that every value is exact in each of them). KIND 4: f32 in [0.5, 1.5). KIND 5: f32 near-normal
// over 16. KIND 6: f16 pairs near-normal over 16.
const WORKGROUP: u32 = 256u; // @param
const KIND: u32 = 0u; // @param

struct Range {
  words: u32,
  seed: u32,
}

@group(0) @binding(0) var<storage, read> range: Range;
@group(0) @binding(1) var<storage, read_write> data: array<u32>;

fn hash(x: u32) -> u32 {
  var h = (x ^ (x >> 16u)) * 0x7feb352du;
  h = (h ^ (h >> 15u)) * 0x846ca68bu;
  return h ^ (h >> 16u);
}

/// Near-normal, standard deviation 1.15: the four bytes of a hash, added up.
fn near_normal(bits: u32) -> f32 {
  let sum = (bits & 255u) + ((bits >> 8u) & 255u) + ((bits >> 16u) & 255u) + (bits >> 24u);
  return (f32(sum & 0xfffffffeu) - 510.0) / 128.0;
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let at = (wid.y * grid.x + wid.x) * WORKGROUP + thread;
  if (at >= range.words) {
    return;
  }
  let bits = hash(at ^ hash(range.seed));
  let more = hash(bits + 0x9e3779b9u);
  let low = near_normal(bits);
  let high = near_normal(more);
  var word = bits;
  if (KIND == 1u) {
    word = bitcast<u32>(low);
  } else if (KIND == 2u) {
    word = pack2x16float(vec2f(low, high));
  } else if (KIND == 3u) {
    word = (bitcast<u32>(low) >> 16u) | (bitcast<u32>(high) & 0xffff0000u);
  } else if (KIND == 4u) {
    word = bitcast<u32>(0.5 + f32(bits >> 8u) / 16777216.0);
  } else if (KIND == 5u) {
    word = bitcast<u32>(low / 16.0);
  } else if (KIND == 6u) {
    word = pack2x16float(vec2f(low, high) / 16.0);
  }
  data[at] = word;
}
