// join_ragged.wgsl: joins the partials that dense/split_ragged.wgsl leaves with HAND_OVER 0.
// join_splits.wgsl for a number of partials that depends on the lengths.
//
// Dispatch (query heads, batch). A workgroup computes one row of the output, unless the sequence
// has a single portion, which is then stored already. Its threads form SLICES rows of head dim / 4
// columns. Logits are in log2 units.
//
// 1. Add up the tiles of all sequences and of those before the own one.
// 2. Each slice joins every SLICES-th portion.
// 3. The first slice joins the slices and the sink logit, divides and stores the row.
const HEAD_DIM: u32 = 128u; // @param
const BATCH: u32 = 1u; // @param sequences
const GROUP: u32 = 4u; // @param query heads per KV head
const Q_HEADS: u32 = 32u; // @param
const HEADS: u32 = 1u; // @param query heads of a list
const TILE: u32 = 32u; // @param tokens of a tile
const SPLITS: u32 = 8u; // @param shares of a list's tiles of all sequences
const SLICES: u32 = 8u; // @param

const HEAD_QUADS = HEAD_DIM / 4u;
const WORKGROUP = HEAD_QUADS * SLICES;
const GROUP_LISTS = (GROUP + HEADS - 1u) / HEADS;
const SEQUENCE_LISTS = Q_HEADS / GROUP * GROUP_LISTS;
const LISTS = BATCH * SEQUENCE_LISTS;
const LIST_HEADS = HEADS; // query heads of a list
// @shared ragged_slots
const PARTIAL_QUADS = HEAD_QUADS + 1u; // acc, then (m, l, 0, 0)
const LINE_QUADS = 8u; // of a cache line
const SLOT_LINES = (LIST_HEADS * PARTIAL_QUADS + LINE_QUADS - 1u) / LINE_QUADS;
const SLOT_QUADS = SLOT_LINES * LINE_QUADS; // of the partials of a portion
const LIST_SLOTS = SPLITS + BATCH - 1u; // of a list of every sequence
const ALL_QUADS = SEQUENCE_LISTS * LIST_SLOTS * SLOT_QUADS;
// @end
// @shared softmax
const NEG_LARGE = -1e30; // in place of minus infinity, for which WGSL promises nothing
const LOG2_E = 1.4426950408889634; // logits are in log2 units
// @end

/// Partials of all lists, as dense/split_ragged.wgsl declares them.
struct HandOver {
  arrivals: array<u32, LISTS>,
  words: array<u32, 64u - LISTS % 64u>,
  partials: array<vec4f, ALL_QUADS>,
}

@group(0) @binding(0) var<storage, read> lengths: array<u32>;
@group(0) @binding(1) var<storage, read> hand_over: HandOver;
@group(0) @binding(2) var<uniform> sink_logits: array<vec4f, (Q_HEADS + 3u) / 4u>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4f>;

var<workgroup> slice_stats: array<vec2f, SLICES>; // (m, l)
var<workgroup> slice_acc: array<vec4f, WORKGROUP>;
var<workgroup> tiles_before: atomic<u32>; // of the sequences before the own one; zero at first
var<workgroup> all_tiles: atomic<u32>;

// @shared store_out
/// Stores a quad of the output.
fn store_out(at: u32, quad: vec4f) {
  out[at] = quad;
}
// @end

// @shared share_tiles
/// Tiles of a sequence. A sequence without tokens has an empty one, which gives its output.
fn tiles_of(sequence: u32) -> u32 {
  return max((lengths[min(sequence, BATCH - 1u)] + TILE - 1u) / TILE, 1u);
}

/// The first tile of share `share`, counted over all sequences, which have `all` tiles together.
/// The first `all` % SPLITS shares have a tile more than the others.
fn share_begin(share: u32, all: u32) -> u32 {
  return share * (all / SPLITS) + min(share, all % SPLITS);
}

/// The share that has the tile.
fn share_of(tile: u32, all: u32) -> u32 {
  let few = all / SPLITS; // tiles of a smaller share
  let larger = all % SPLITS * (few + 1u); // tiles of all larger shares
  let in_smaller = all % SPLITS + (tile - larger) / max(few, 1u);
  return select(in_smaller, tile / (few + 1u), tile < larger);
}
// @end

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let column = thread % HEAD_QUADS;
  let slice = thread / HEAD_QUADS;
  let row = wid.y * Q_HEADS + wid.x;

  // 1. Add up the tiles.
  var before = 0u;
  var others = 0u;
  for (var b = thread; b < BATCH; b += WORKGROUP) {
    let tiles = tiles_of(b);
    before += select(0u, tiles, b < wid.y);
    others += select(tiles, 0u, b < wid.y);
  }
  atomicAdd(&tiles_before, before);
  atomicAdd(&all_tiles, before + others);
  workgroupBarrier();
  let begin = atomicLoad(&tiles_before);
  let all = atomicLoad(&all_tiles);
  let first_share = share_of(begin, all);
  let count = share_of(begin + tiles_of(wid.y) - 1u, all) - first_share + 1u;

  // 2. Join every SLICES-th portion.
  let list = wid.x / GROUP * GROUP_LISTS + wid.x % GROUP / HEADS;
  let first_slot = list * LIST_SLOTS + wid.y + first_share;
  let first = first_slot * SLOT_QUADS + wid.x % GROUP % HEADS * PARTIAL_QUADS;
  var m = NEG_LARGE;
  var l = 0.0;
  var acc = vec4f(0.0);
  if (count > 1u) {
    for (var portion = slice; portion < count; portion += SLICES) {
      let at = first + portion * SLOT_QUADS;
      let portion_stats = hand_over.partials[at + HEAD_QUADS].xy;
      let portion_acc = hand_over.partials[at + column];
      let m_new = max(m, portion_stats.x);
      let alpha = exp2(m - m_new);
      let beta = exp2(portion_stats.x - m_new);
      m = m_new;
      l = l * alpha + portion_stats.y * beta;
      acc = acc * alpha + portion_acc * beta;
    }
  }
  if (column == 0u) {
    slice_stats[slice] = vec2f(m, l);
  }
  slice_acc[thread] = acc;
  workgroupBarrier();

  // 3. Join the slices and the sink logit, divide and store the row.
  if (slice == 0u && count > 1u) {
    let sink = sink_logits[wid.x / 4u][wid.x % 4u] * LOG2_E;
    m = max(sink, NEG_LARGE);
    for (var s = 0u; s < SLICES; s++) {
      m = max(m, slice_stats[s].x);
    }
    l = 0.0;
    acc = vec4f(0.0);
    for (var s = 0u; s < SLICES; s++) {
      let beta = exp2(slice_stats[s].x - m);
      l += slice_stats[s].y * beta;
      acc += slice_acc[s * HEAD_QUADS + column] * beta;
    }
    let attends = !(l <= 0.0); // a NaN goes on
    l += select(exp2(sink - m), 0.0, sink <= NEG_LARGE);
    store_out(row * HEAD_QUADS + column, select(vec4f(0.0), acc / l, attends));
  }
}
