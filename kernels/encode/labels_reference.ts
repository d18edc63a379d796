/** What labels stand for. */
import { LABEL_CHANNELS } from "../core/problem/labels.ts";

/** An element of a label of 4 bits is least + code * step. */
export interface PackedLabel {
  /** What code 0 stands for. */
  readonly least: number;
  /** The difference between two codes. */
  readonly step: number;
  /** [16], 0 to 15. */
  readonly codes: readonly number[];
}

/** The label of 4 bits in two words of codes and a scale. */
export function unpackLabel(codes: ArrayLike<number>, scale: number): PackedLabel {
  const [least, step] = new Float16Array(Uint32Array.of(scale).buffer);
  return {
    least,
    step,
    codes: Array.from({ length: LABEL_CHANNELS }, (_, i) => (codes[i >> 3] >>> (4 * (i & 7))) & 15),
  };
}

/** Two words of codes and a scale, of the elements of a label. */
export function packLabel(elements: ArrayLike<number>): [number, number, number] {
  const all = Array.from(elements, clampToHalf);
  const least = Math.min(...all);
  const halves = Float16Array.of(least, (Math.max(...all) - least) / 15);
  const [stored, step] = halves;
  const words: [number, number, number] = [0, 0, new Uint32Array(halves.buffer)[0]];
  all.forEach((element, i) => {
    const code = step === 0 ? 0 : Math.floor((element - stored) / step + 0.5);
    words[i >> 3] += Math.min(15, Math.max(0, code)) * 2 ** (4 * (i & 7));
  });
  return words;
}

/** An element within the range of f16. */
export function clampToHalf(element: number): number {
  return Math.min(65504, Math.max(-65504, element));
}
