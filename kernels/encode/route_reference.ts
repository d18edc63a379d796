/** References for the router of a mixture of sparse attention. */

/** A token in a slot. */
export interface SlotToken {
  readonly r: number;
  readonly token: number;
}

/** Slots of a head after `length` tokens. Each head gets its next one at another token. */
export function slotsOf(length: number, sparsity: number, head: number): number {
  return Math.min(length, Math.max(2, Math.floor((length + head % sparsity) / sparsity)));
}

/** The score of a token: the sigmoid of the layer input times a head's row of the router. */
export function routeReference(hidden: ArrayLike<number>, row: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < hidden.length; i++) sum += hidden[i] * row[i];
  return 1 / (1 + Math.exp(-sum));
}

/**
 * The slot that the newest token takes; undefined if its head does not take it.
 *
 * @param slots The tokens before it, in slots; those not older than it are of steps taken back.
 * @param r Its score.
 * @param newest Its index.
 * @param head The head's index in the sequence.
 */
export function slotReference(
  slots: readonly SlotToken[],
  r: number,
  newest: number,
  sparsity: number,
  head: number,
): number | undefined {
  const held = slotsOf(newest, sparsity, head);
  if (slotsOf(newest + 1, sparsity, head) > held) return held;
  const rOf = (i: number) => slots[i].token >= newest ? -1 : slots[i].r;
  let lowest = 0;
  for (let i = 1; i < held; i++) {
    const isEqual = rOf(i) === rOf(lowest);
    if (rOf(i) < rOf(lowest) || (isEqual && slots[i].token > slots[lowest].token)) lowest = i;
  }
  return r > rOf(lowest) ? lowest : undefined;
}
