/** Slots of heads of which as many take the newest token as by the streaming rule do on average. */
import { lengthOf } from "../../../kernels/core/problem/derived.ts";
import type { Problem } from "../../../kernels/core/problem/problem.ts";
import { MOSA, slotCapacity } from "../../../kernels/encode/route.ts";

const { MOSA_SPARSITY: SPARSITY } = MOSA;

/** The bits of r = 0, 0.5 and 1 as f32. */
const [LOWEST, HALF, HIGHEST] = [0, 0x3f000000, 0x3f800000];

/**
 * The contents of `slot_tokens` before a step. Of 32 heads one grows at each token. Another one,
 * which differs from set to set, holds a token of the lowest score and takes the newest one for it.
 * The others hold tokens of the highest score.
 *
 * @param words u32 words of the buffer, which has as many slots for each head.
 */
export function slotTokens(p: Problem, words: number, set: number): Uint32Array<ArrayBuffer> {
  const slots = slotCapacity(p, MOSA);
  const heads = Math.floor(words / (2 * slots * p.batch)); // sparse ones of a sequence
  const made = new Uint32Array(words);
  const takers = Array.from({ length: p.batch }, (_, i) => takerOf(p, heads, lengthOf(p, i), set));
  for (let i = 0; i < p.batch * heads * slots; i++) {
    const sequence = Math.floor(i / (heads * slots));
    const head = p.qHeads - heads + Math.floor(i / slots) % heads;
    const slot = i % slots;
    const takes = head % SPARSITY === takers[sequence];
    made[2 * i] = !takes ? HIGHEST : slot === Math.floor(slots / 2) ? LOWEST : HALF;
    made[2 * i + 1] = slot * SPARSITY;
  }
  return made;
}

/** Of 32 heads the one that takes the newest token by its score: not the one that grows. */
function takerOf(p: Problem, heads: number, length: number, set: number): number {
  const growing = (SPARSITY - length % SPARSITY) % SPARSITY;
  const sparse = Array.from({ length: heads }, (_, i) => (p.qHeads - heads + i) % SPARSITY);
  const others = [...new Set(sparse)].filter((head) => head !== growing);
  return others[set % others.length] ?? SPARSITY;
}
