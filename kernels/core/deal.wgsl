// deal.wgsl: gives each piece of a problem its own lengths and sink logits.
//
// A binding must begin at a multiple of 256 bytes, and those of a piece seldom do: see pieces.ts.
//
// Dispatch (pieces). A workgroup copies those of its piece to where they may be bound.
const Q_HEADS: u32 = 32u; // @param of a sequence
const PIECE_SEQUENCES: u32 = 1u; // @param
const PIECE_HEADS: u32 = 16u; // @param query heads
const WORKGROUP: u32 = 64u; // @param

const ALIGNED = 64u; // words at whose multiples a binding may begin
const LENGTHS_STRIDE = (PIECE_SEQUENCES + ALIGNED - 1u) / ALIGNED * ALIGNED;
const SINKS_STRIDE = (PIECE_HEADS + ALIGNED - 1u) / ALIGNED * ALIGNED;
const SEQUENCE_PIECES = Q_HEADS / PIECE_HEADS; // pieces that have the same sequences

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<uniform> sink_logits: array<vec4f, (Q_HEADS + 3u) / 4u>;
@group(0) @binding(2) var<storage, read_write> piece_lengths: array<u32>;
@group(0) @binding(3) var<storage, read_write> piece_sink_logits: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let piece = wid.x;
  for (var i = thread; i < PIECE_SEQUENCES; i += WORKGROUP) {
    let sequence = piece / SEQUENCE_PIECES * PIECE_SEQUENCES + i;
    piece_lengths[piece * LENGTHS_STRIDE + i] = lengths[sequence];
  }
  for (var i = thread; i < PIECE_HEADS; i += WORKGROUP) {
    let head = piece % SEQUENCE_PIECES * PIECE_HEADS + i;
    piece_sink_logits[piece * SINKS_STRIDE + i] = sink_logits[head / 4u][head % 4u];
  }
}
