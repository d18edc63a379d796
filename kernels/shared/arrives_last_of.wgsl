/// Counts this workgroup's arrival. True if it is the last one of `count` of its list to arrive.
fn arrives_last_of(count: u32, list: u32, thread: u32) -> bool {
  storageBarrier();
  if (thread == 0u) {
    is_last = u32(atomicAdd(&hand_over.arrivals[list], 1u) == count - 1u);
  }
  return workgroupUniformLoad(&is_last) != 0u;
}
