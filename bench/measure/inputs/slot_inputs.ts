/** Slots of heads that have taken the tokens with the highest of hashed scores. */
import { createRandom } from "../../../fixtures/random.ts";
import type { Problem } from "../../../kernels/core/problem.ts";
import { MOSA, slotCapacity } from "../../../kernels/encode/route.ts";

/** Standard deviations of the hashed layer input and of the hashed router: see `fill.wgsl`. */
const [INPUT, ROUTER] = [1.155, 1.155 / 16];

/**
 * The contents of `slot_tokens` before a step: of every 32 tokens the one with the highest score is
 * held. A head's router then takes the newest token as often as a trained one: one in 32.
 *
 * @param words u32 words of the buffer, which has as many slots for each head.
 */
export function slotTokens(p: Problem, words: number, seed: number): Uint32Array<ArrayBuffer> {
  const slots = slotCapacity(p, MOSA);
  const random = createRandom(seed, 1);
  const spread = INPUT * ROUTER * Math.sqrt(p.qHeads * p.headDim);
  const scores = Float64Array.from({ length: p.capacity }, () => spread * random.normal());
  const tokens = Uint32Array.from(scores, (_, token) => token);
  tokens.sort((a, b) => scores[b] - scores[a]);
  const held = tokens.subarray(0, slots).sort();
  const bits = new Uint32Array(Float32Array.from(held, (token) => sigmoid(scores[token])).buffer);
  return Uint32Array.from({ length: words }, (_, i) => {
    const slot = (i >>> 1) % slots;
    return i % 2 === 0 ? bits[slot] : held[slot];
  });
}

function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x));
}
