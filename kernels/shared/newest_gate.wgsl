/// The newest log gate of a query head.
fn newest_gate(head: u32) -> f32 {
  return log_gates[head / 4u][head % 4u];
}
