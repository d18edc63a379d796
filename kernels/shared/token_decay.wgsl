/// The decay from a token to the end of its block, or to the newest token.
fn token_decay(head: u32, token: u32, newest: u32) -> f32 {
  var decay = 0.0;
  if (token / DECAY_BLOCK < newest / DECAY_BLOCK) {
    decay = decays[head * CAPACITY + token];
  } else if (token < newest) {
    let at = (2u * head + newest % 2u) * STATE + 1u + token % DECAY_BLOCK;
    decay = decay_state[at] + newest_gate(head);
  }
  return decay;
}
