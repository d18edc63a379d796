const SPARSE_HEADS = Q_HEADS - DENSE_HEADS;
const SLOTS = max(2u, (CAPACITY + MOSA_SPARSITY - 1u) / MOSA_SPARSITY); // of a sparse head
const SEQUENCE_ROWS = DENSE_HEADS * CAPACITY + SPARSE_HEADS * SLOTS; // of K or V of a sequence

/// The first row of a head's K and V. Dense heads come first.
fn first_row(sequence: u32, head: u32) -> u32 {
  let dense = min(head, DENSE_HEADS);
  return sequence * SEQUENCE_ROWS + dense * CAPACITY + (head - dense) * SLOTS;
}
