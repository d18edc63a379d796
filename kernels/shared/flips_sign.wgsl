/// Whether the rotation flips the sign of element d.
fn flips_sign(d: u32) -> bool {
  return hash(SEED * 0x9e3779b9u + d) >> 31u == 1u;
}
