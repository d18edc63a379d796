/**
 * What follows from a problem: its optional fields with their defaults, numbers of tokens, heads,
 * words and bytes, and windows.
 */
import { type Bins, DEFAULT_BINS, type KvDtype, type Problem, type TieRule } from "./problem.ts";

/** The smallest capacity for `tokens` that keeps rows of codes and distances 16-byte aligned. */
export function roundCapacity(tokens: number): number {
  return Math.ceil(tokens / 16) * 16;
}

/** Elements of a row of V and of the output. */
export function valueDimOf(p: Pick<Problem, "headDim" | "valueDim">): number {
  return p.valueDim ?? p.headDim;
}

/** Tokens that all sequences share. */
export function prefixOf(p: Pick<Problem, "prefix">): number {
  return p.prefix ?? 0;
}

/** Tokens of one sequence. */
export function lengthOf(p: Problem, sequence: number): number {
  return p.lengths?.[sequence] ?? p.kvLen;
}

/** Whether sequences may be of unequal lengths, so that workgroups should share out tokens. */
export function isRagged(p: Pick<Problem, "batch" | "kvLen" | "lengths" | "ragged">): boolean {
  return p.batch > 1 && (p.ragged ?? p.lengths?.some((length) => length !== p.kvLen) ?? false);
}

/** Sum of `count(length)` over the sequences. */
export function overSequences(p: Problem, count: (length: number) => number): number {
  return p.lengths?.reduce((sum, length) => sum + count(length), 0) ?? p.batch * count(p.kvLen);
}

/** Tokens of all sequences together, of which those of a shared prefix count for each. */
export function cachedTokens(p: Problem): number {
  return overSequences(p, (length) => length);
}

/** Tokens of all sequences together; those of a shared prefix count once. */
export function distinctTokens(p: Problem): number {
  return prefixOf(p) + overSequences(p, (length) => length - prefixOf(p));
}

/** Query heads per KV head (g). */
export function groupSize(p: Problem): number {
  return p.qHeads / p.kvHeads;
}

/** Heads that own a code of each key: query heads, or KV heads if the group shares it. */
export function codeHeads(p: Problem): number {
  return p.sharing === "head" ? p.qHeads : p.kvHeads;
}

/** Query heads that are compared with one code: 1, or g if the group shares it. */
export function queriesPerCode(p: Problem): number {
  return p.qHeads / codeHeads(p);
}

/** Heads that own a selection: query heads, KV heads if the group shares it, or one for all. */
export function listHeads(p: Problem): number {
  if (p.singleList) return 1;
  return p.sharing === "group" ? p.kvHeads : p.qHeads;
}

/** Query heads that attend one selection: 1, g if the group shares it, or all. */
export function queriesPerList(p: Problem): number {
  return p.qHeads / listHeads(p);
}

/** Query heads that attend the same rows: those of one selection and one KV head. */
export function queriesPerRow(p: Problem): number {
  return Math.min(queriesPerList(p), groupSize(p));
}

/** Magnitude planes of a query code. */
export function planesOf(p: Pick<Problem, "planes">): number {
  return p.planes ?? 0;
}

/** The rule for tokens at the threshold. */
export function tiesOf(p: Pick<Problem, "ties">): TieRule {
  return p.ties ?? "lower";
}

/** The largest weight of a bit: 2^P - 1 with P magnitude planes, 1 without. */
export function maxWeight(p: Pick<Problem, "planes">): number {
  return Math.max(1, 2 ** planesOf(p) - 1);
}

/** Whether codes are rotated keys, scored with a factor for each key. */
export function isRotated(p: Pick<Problem, "map">): boolean {
  return p.map.layers === 0;
}

/** The seed of the rotation's signs. */
export function rotationSeedOf(p: Pick<Problem, "rotationSeed">): number {
  return p.rotationSeed ?? 1;
}

/** Whether rotated codes are of keys less the prompt's mean key. */
export function centresKeys(p: Pick<Problem, "centre">): boolean {
  return p.centre ?? false;
}

/** The bins of rotated codes' scores. */
export function binsOf(p: Pick<Problem, "bins">): Bins {
  return p.bins ?? DEFAULT_BINS;
}

/**
 * Largest distance: the last bin of a rotated code's score; otherwise the weights of all bits,
 * times g when summed over the group.
 */
export function maxDistance(p: Problem): number {
  if (isRotated(p)) return binsOf(p).count - 1;
  return p.bits * maxWeight(p) * queriesPerList(p);
}

/** Bytes of a packed distance: 1 up to 255, else 2. */
export function distanceBytes(p: Problem): number {
  return maxDistance(p) <= 255 ? 1 : 2;
}

/** u32 words of a key's code. */
export function codeWords(p: Problem): number {
  return p.bits / 32;
}

/**
 * u32 words of a query's code: the signs, then the magnitude planes from the lowest up, and of a
 * rotated code the scale of its bins.
 */
export function queryWords(p: Problem): number {
  return codeWords(p) * (1 + planesOf(p)) + Number(isRotated(p));
}

/** Bytes of an element of `q` or `out`. */
export function floatBytes(dtype: "f32" | "f16" = "f32"): number {
  return dtype === "f16" ? 2 : 4;
}

/** What dots are multiplied by to give logits. */
export function scaleOf(p: Pick<Problem, "headDim" | "scale">): number {
  return p.scale ?? 1 / Math.sqrt(p.headDim);
}

/** Bytes of an element of K or V. */
export function kvBytes(dtype: KvDtype): number {
  return dtype === "f32" ? 4 : 2;
}

/** Where a sequence's windows end, and how many middle tokens its selection takes. */
export interface Windows {
  /** Tokens [0, sinkEnd) are the sink. */
  readonly sinkEnd: number;
  /** Tokens [recentStart, length) are the recent window, without tokens of the sink. */
  readonly recentStart: number;
  /** Tokens picked from [sinkEnd, recentStart): min(k, middle). */
  readonly kEff: number;
  /** Tokens attended: sink + picks + recent. */
  readonly attended: number;
}

/** The windows of a sequence of `length` tokens; the kernels compute the same on the GPU. */
export function windowsOf(
  p: Pick<Problem, "sink" | "recent" | "topK">,
  length: number,
): Windows {
  const sinkEnd = Math.min(p.sink, length);
  const recentStart = Math.max(sinkEnd, length - p.recent);
  const k = "count" in p.topK ? p.topK.count : Math.floor(length / p.topK.sparsity);
  const kEff = Math.min(k, recentStart - sinkEnd);
  return { sinkEnd, recentStart, kEff, attended: sinkEnd + kEff + length - recentStart };
}

/** Largest number of tokens in a selection list, at any length up to capacity. */
export function listCapacity(p: Problem): number {
  const k = "count" in p.topK ? p.topK.count : Math.floor(p.capacity / p.topK.sparsity);
  return Math.max(1, Math.min(p.capacity, p.sink + p.recent + k));
}

/** The size [in, out] of each layer of a map. */
export function mapLayers(
  p: Pick<Problem, "headDim" | "bits" | "map">,
): readonly (readonly [number, number])[] {
  if (p.map.layers === 0) return [];
  const widths = [p.headDim, ...Array(p.map.layers - 1).fill(p.map.hidden), p.bits];
  return widths.slice(1).map((out, i) => [widths[i], out] as const);
}

/** How many numbers (weights and biases) one head's map has. */
export function mapNumbers(p: Pick<Problem, "headDim" | "bits" | "map">): number {
  return mapLayers(p).reduce((sum, [rows, columns]) => sum + rows * columns + columns, 0);
}

/** A short name of the shape, e.g. `32x8x128`, or `64x4x192v128` if rows of V are shorter. */
export function shapeName(
  p: Pick<Problem, "qHeads" | "kvHeads" | "headDim" | "valueDim">,
): string {
  const rows = valueDimOf(p) === p.headDim ? "" : `v${p.valueDim}`;
  return `${p.qHeads}x${p.kvHeads}x${p.headDim}${rows}`;
}
