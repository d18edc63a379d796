/// Counts this workgroup's arrival. True if it is the last one of its list to arrive.
fn arrives_last(list: u32, thread: u32) -> bool {
  storageBarrier();
  if (thread == 0u) {
    is_last = u32(atomicAdd(&hand_over.arrivals[list], 1u) == SPLITS - 1u);
  }
  return workgroupUniformLoad(&is_last) != 0u;
}
