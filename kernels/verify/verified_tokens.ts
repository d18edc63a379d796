/** Which tokens of a prompt are verified, where all of them would take too long. */
import type { ListRef } from "./list_ref.ts";
import type { VerifyScope } from "./error_tally.ts";

/** Fractions of multiples of these are spread evenly between 0 and 1, alone and in pairs. */
const [HEAD_STEP, STRETCH_STEP] = [0.6180339887, 0.7548776662];

/**
 * The tokens of a prompt to verify, about `most`: the first, the last, and one from each of `most`
 * equal stretches. The position in the stretch differs from stretch to stretch, so that tokens of
 * each place in a kernel's tile are among them, and from head to head.
 */
export function verifiedTokens(length: number, most: number, head: number): number[] {
  if (length <= most) return Array.from({ length }, (_, token) => token);
  const stretch = length / most;
  const middle = Array.from({ length: most }, (_, i) => {
    const within = (head * HEAD_STEP + i * STRETCH_STEP) % 1;
    return Math.floor((i + within) * stretch);
  });
  return [...new Set([0, ...middle, length - 1])];
}

/** Those of `length` tokens, or pages, of a list's prompt whose encoding is verified. */
export function encodedTokens(length: number, { head }: ListRef, scope: VerifyScope): number[] {
  return verifiedTokens(length, scope.promptTokens ?? Infinity, head);
}
