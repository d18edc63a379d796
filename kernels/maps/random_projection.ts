/**
 * Random maps to Hamming space: one linear layer with standard normal weights and no bias. Each bit
 * is the side of a random plane through 0 on which the vector lies (SimHash; Charikar, "Similarity
 * estimation techniques from rounding algorithms", 2002). They are the baseline for learned maps.
 */
import { codeHeads, mapLayers } from "../core/problem/derived.ts";
import type { Problem } from "../core/problem/problem.ts";

/** Uniform numbers in (0, 1) from a 32-bit state (splitmix32; Steele et al., 2014). */
function uniforms(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x9e3779b9) | 0;
    let bits = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    bits = Math.imul(bits ^ (bits >>> 15), 0x735a2d97);
    // The added half excludes 0, whose logarithm is infinite.
    return (((bits ^ (bits >>> 15)) >>> 0) + 0.5) / 2 ** 32;
  };
}

/**
 * A random projection for every code head. Write it to both `query_map` and `key_map`: distances
 * are only meaningful if queries and keys have the same planes.
 *
 * @param problem Its map must have one layer.
 * @param seed Equal seeds give equal maps. Only the low 32 bits are used.
 * @returns The bytes of [code heads]: weights [headDim, bits] of N(0, 1), then bias [bits] of 0, as
 * `problem.map.dtype`.
 * @throws {RangeError} one sentence: a map of more than one layer, or a seed that is no whole number.
 */
export function randomProjection(problem: Problem, seed: number): Uint8Array<ArrayBuffer> {
  if (problem.map.layers !== 1) {
    throw new RangeError(`a random projection has 1 layer, not ${problem.map.layers}`);
  }
  if (!Number.isSafeInteger(seed)) {
    throw new RangeError(`the seed must be a whole number, got ${seed}`);
  }
  const [[inputs, outputs]] = mapLayers(problem);
  const heads = codeHeads(problem);
  const numbers = heads * (inputs + 1) * outputs;
  const map = problem.map.dtype === "f16" ? new Float16Array(numbers) : new Float32Array(numbers);
  const uniform = uniforms(seed);
  for (let head = 0; head < heads; head++) {
    const start = head * (inputs + 1) * outputs;
    // Box-Muller makes two numbers at a time, and the number of bits is even.
    for (let i = start; i < start + inputs * outputs; i += 2) {
      const radius = Math.sqrt(-2 * Math.log(uniform()));
      const angle = 2 * Math.PI * uniform();
      // Rounding to f32 first makes the f16 map the rounded f32 map.
      map[i] = Math.fround(radius * Math.cos(angle));
      map[i + 1] = Math.fround(radius * Math.sin(angle));
    }
  }
  return new Uint8Array(map.buffer);
}
