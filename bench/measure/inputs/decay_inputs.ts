/**
 * Gates of heads that all remember as many tokens: how far a head remembers is trained, so what is
 * timed has to be chosen.
 */
import { lengthOf } from "../../../kernels/core/problem/derived.ts";
import type { Problem } from "../../../kernels/core/problem/problem.ts";
import { ACP, decayBlocks, TIMED_SUFFIX } from "../../../kernels/attend/decayed.ts";
import { pruneThreshold } from "../../../kernels/attend/decay_reference.ts";

/** Standard deviation of the hashed elements of q and of keys: see `fill.wgsl`. */
const SPREAD = 1.155;

/** About how far above the mean norm the largest norm of 2^22 hashed rows lies, at 128 elements. */
const LARGEST = 1.35;

const { DECAY_BLOCK: BLOCK } = ACP;

/** A bound of the norms of hashed keys. */
function largestNorm(p: Problem): number {
  return SPREAD * Math.sqrt(p.headDim) * (1 + (LARGEST - 1) * Math.sqrt(128 / p.headDim));
}

/** The log gate with which a head remembers {@linkcode TIMED_SUFFIX} tokens of a sequence. */
function logGate(p: Problem, length: number): number {
  const queryNorm = SPREAD * Math.sqrt(p.headDim);
  return pruneThreshold(queryNorm, largestNorm(p), p.headDim, length) / TIMED_SUFFIX;
}

/** The contents of the buffers of decays; undefined for another buffer. */
export function decayInput(p: Problem, name: string): Float32Array<ArrayBuffer> | undefined {
  const make = MAKERS[name];
  if (make === undefined) return undefined;
  const ofHead = Array.from({ length: p.batch }, (_, sequence) => {
    const length = lengthOf(p, sequence);
    return make(p, length, logGate(p, length));
  });
  const size = ofHead[0].length;
  const made = new Float32Array(p.batch * p.qHeads * size);
  for (let row = 0; row < p.batch * p.qHeads; row++) {
    made.set(ofHead[Math.floor(row / p.qHeads)], row * size);
  }
  return made;
}

/** The tokens of a block of a sequence that a step has appended. */
function tokensOf(block: number, tokens: number): number {
  return Math.max(0, Math.min(BLOCK, tokens - block * BLOCK));
}

/** What a head has of each buffer before the step. */
const MAKERS: Readonly<
  Record<string, (p: Problem, length: number, gate: number) => Float32Array<ArrayBuffer>>
> = {
  log_gates: (_p, _length, gate) => Float32Array.of(gate),
  decays: (p, length, gate) =>
    Float32Array.from({ length: p.capacity }, (_, token) => {
      const block = Math.floor(token / BLOCK);
      return gate * (tokensOf(block, length - 1) - 1 - token % BLOCK);
    }),
  block_decays: (p, length, gate) =>
    Float32Array.from(
      { length: decayBlocks(p, ACP) + 2 },
      (_, i) => i < 2 ? 0 : gate * tokensOf(i - 2, length - 1),
    ),
  decay_state: (p, length, gate) => {
    const block = Math.floor((length - 1) / BLOCK);
    const tokens = tokensOf(block, length - 1);
    const half = Array.from({ length: BLOCK + 2 }, (_, i) => gate * Math.max(0, tokens - i));
    half[BLOCK + 1] = largestNorm(p);
    return Float32Array.from([...half, ...half]);
  },
};
