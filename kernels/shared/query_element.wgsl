/// An element of the queries.
fn query_element(at: u32) -> f32 {
  return q[at];
}
