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
