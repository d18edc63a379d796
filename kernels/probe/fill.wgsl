// fill.wgsl: fills a buffer with hashed data. Zeros would be compressed and read impossibly fast.
//
// Dispatch (workgroups, rows of workgroups). Each thread writes one word. KIND selects what it is:
//   0  random bits
//   1  near-normal f32
//   2  a pair of near-normal f16
//   3  a pair of near-normal bf16
//   4  f32 in [0.5, 1.5)
//   5  near-normal f32 over 16
//   6  a pair of near-normal f16 over 16
const WORKGROUP: u32 = 256u; // @param
const KIND: u32 = 0u; // @param

/// What to fill: the number of words, and a seed for their hash.
struct Range {
  words: u32,
  seed: u32,
}

@group(0) @binding(0) var<storage, read> range: Range;
@group(0) @binding(1) var<storage, read_write> data: array<u32>;

// @shared hash
/// A hash of 32 bits in which every bit of `x` changes about half of the bits.
fn hash(x: u32) -> u32 {
  var h = (x ^ (x >> 16u)) * 0x7feb352du;
  h = (h ^ (h >> 15u)) * 0x846ca68bu;
  return h ^ (h >> 16u);
}
// @end

/// A near-normal value with a standard deviation of 1.15: the sum of the four bytes of a hash, less
/// its mean. The sum is rounded down to even, so that f16 and bf16 hold the value exactly.
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
