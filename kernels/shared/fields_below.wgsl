/// Bit i of the result is set if field i of `word`, a distance, is below `limit`.
///
/// One subtraction compares all fields: limit + top - 1 - distance has its top bit set if and only
/// if the distance is below the limit. Fields do not borrow from each other.
fn fields_below(word: u32, limit: u32) -> u32 {
  if (DISTANCE_BYTES == 1u && LAST < 128u) {
    let fields = ((0x7f7f7f7fu + limit * 0x01010101u - word) >> 7u) & 0x01010101u;
    return (fields * 0x10204080u) >> 28u;
  }
  // Distances that need all 8 bits of a field get 16: first the even fields, then the odd ones.
  let wide = 0x7fff7fffu + limit * 0x00010001u;
  let even = (wide - select(word, word & 0x00ff00ffu, DISTANCE_BYTES == 1u)) >> 15u;
  if (DISTANCE_BYTES == 2u) {
    return (even & 1u) | ((even >> 15u) & 2u);
  }
  let odd = (wide - ((word >> 8u) & 0x00ff00ffu)) >> 15u;
  return (even & 1u) | ((even >> 14u) & 4u) | ((odd & 1u) << 1u) | ((odd >> 13u) & 8u);
}
