/// A quad of the queries.
fn query_quad(at: u32) -> vec4f {
  return q[at];
}
