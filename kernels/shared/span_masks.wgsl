let first = start + round * SPAN + thread * TOKENS; // bit i of a mask is token first + i
var below_mask = 0u;
var upto_mask = 0u; // below the threshold or at it
for (var w = 0u; w < WORDS; w++) { // @unroll
  let word = words[w / 4u][w % 4u];
  below_mask |= fields_below(word, threshold) << (w * PER_WORD);
  upto_mask |= fields_below(word, threshold + 1u) << (w * PER_WORD);
}
if (round + 1u < ROUNDS) {
  for (var i = 0u; i < LOADS; i++) { // @unroll
    words[i] = distances[list * ROW_LOADS + distance_place(first + SPAN, i)];
  }
}
let end = min(min(length, start + SHARE), first + TOKENS);
let inside = ~bits_from(max(first, end) - first);
below_mask = (below_mask | window_mask(first, sink_end, recent_start)) & inside;
let tie_mask = upto_mask & inside & ~below_mask;
