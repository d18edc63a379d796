/// Appends the newest gate of a query head. Entry 0 of a state is the decay of the newest token's
/// block, entry 1 + i that from its token i.
fn append_gate(head: u32, newest: u32, key_norm: f32, thread: u32) {
  let place = newest % DECAY_BLOCK;
  let block = newest / DECAY_BLOCK;
  let before = (2u * head + newest % 2u) * STATE;
  let after = (2u * head + (newest + 1u) % 2u) * STATE;
  let gate = newest_gate(head);
  for (var i = 0u; i < STATE_LOADS; i++) { // @unroll
    let entry = i * WORKGROUP + thread;
    let is_new = entry == place + 1u || place == 0u;
    let old = select(decay_state[before + min(entry, place)], 0.0, is_new);
    let decay = old + select(gate, 0.0, entry == place + 1u);
    if (entry < place + 2u) {
      decay_state[after + entry] = decay;
    }
    if (entry == 0u) {
      decay_state[after + STATE - 1u] = key_norm;
      block_decays[head * (BLOCKS + 2u) + 2u + block] = decay;
    } else if (entry < place + 2u) {
      decays[head * CAPACITY + block * DECAY_BLOCK + entry - 1u] = decay;
    }
  }
}
