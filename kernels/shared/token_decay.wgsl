/// The decay from a token to the end of its block, or to the newest token. Both are loaded, since a
/// branch would stand between loads that are in flight together.
fn token_decay(head: u32, token: u32, newest: u32) -> f32 {
  let at = (2u * head + newest % 2u) * STATE + 1u + token % DECAY_BLOCK;
  let of_newest = select(decay_state[at] + newest_gate(head), 0.0, token == newest);
  let is_older = token / DECAY_BLOCK < newest / DECAY_BLOCK;
  return select(of_newest, decays[head * CAPACITY + token], is_older);
}
