fn xor3(a: u32, b: u32, c: u32) -> u32 {
  return a ^ b ^ c;
}

fn majority(a: u32, b: u32, c: u32) -> u32 {
  return (a & b) | (c & (a | b));
}

/// The weights of the bits that differ, added up. `query` is the code of a query.
///
/// Popcounts are slow, so in codes of four words adders come first: they turn three words of one
/// weight into one of that weight and one of twice the weight.
fn add_weights(code: array<u32, WORDS>, query: array<vec4<u32>, CODE_QUADS>) -> u32 {
  var sum = 0u;
  var carry_a = 0u; // words of the next weight
  var carry_b = 0u;
  for (var plane = 0u; plane < max(PLANES, 1u); plane++) { // @unroll
    var bits: array<u32, WORDS>;
    for (var w = 0u; w < WORDS; w++) { // @unroll
      bits[w] = code[w] ^ query[w / 4u][w % 4u];
      if (PLANES > 0u) {
        let at = (plane + 1u) * WORDS + w;
        bits[w] &= query[at / 4u][at % 4u];
      }
    }
    if (WORDS == 4u) {
      let ones = xor3(bits[0], bits[1 % WORDS], bits[2 % WORDS]);
      let twos = majority(bits[0], bits[1 % WORDS], bits[2 % WORDS]);
      let fourth = bits[3 % WORDS];
      if (plane == 0u) {
        sum += countOneBits(ones) + countOneBits(fourth);
      } else {
        let all = xor3(ones, fourth, carry_a);
        sum += (countOneBits(all) + countOneBits(carry_b)) << plane;
        carry_b = majority(ones, fourth, carry_a);
      }
      carry_a = twos;
    } else {
      for (var w = 0u; w < WORDS; w++) { // @unroll
        sum += countOneBits(bits[w]) << plane;
      }
    }
  }
  return sum + ((countOneBits(carry_a) + countOneBits(carry_b)) << max(PLANES, 1u));
}
