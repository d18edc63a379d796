/**
 * Product-quantised keys (PQCache, arXiv 2407.12820): a key is split into parts of equal length, and
 * a part is stored as the number of the nearest of 256 centroids. What every such variant needs: the
 * buffers, their layouts, and the references.
 *
 * Buffers carry the number of parts m in their names, since one problem may run several:
 *
 * | name | layout |
 * |---|---|
 * | `centroids_m` | f16 where K is f16, else f32; [B, KV heads, D / 4, 256, 4]: element d of centroid c of its part at [d / 4][c][d % 4] |
 * | `pq_codes_m` | u32 [B, KV heads, m / 4, capacity]: the codes of four parts of a token, the lowest byte first; of two parts [B, KV heads, capacity / 2]: the codes of two tokens |
 */
import type { BufferRole, BufferSpec } from "../core/variant.ts";
import type { RowOf } from "../attend/reference.ts";
import type { Problem } from "../core/problem/problem.ts";
import { hash } from "./rotation.ts";

/** Parts of a key that the variants are made for. */
export const PQ_PARTS: readonly number[] = [2, 4, 8, 16];

/** Centroids of a part: a code is a byte. */
export const CENTROIDS = 256;

/** Values of the parameters of product quantisation that follow from a problem. */
export const PQ_RANGES = { CENTROID_DTYPE: [0, 1], PARTS: PQ_PARTS } as const;

/** Value of the CENTROID_DTYPE parameter: centroids are f16 where keys are, else f32. */
export function centroidDtype(p: Pick<Problem, "dtype">): 0 | 1 {
  return p.dtype === "f16" ? 1 : 0;
}

/** Values of the parameters of {@linkcode PQ_RANGES}. */
export function pqParams(p: Problem, parts: number): { CENTROID_DTYPE: number; PARTS: number } {
  return { CENTROID_DTYPE: centroidDtype(p), PARTS: parts };
}

/** Bytes of the centroids of a KV head. */
export function centroidBytes(p: Problem): number {
  return CENTROIDS * p.headDim * (centroidDtype(p) === 1 ? 2 : 4);
}

/** Whether a variant of this name works on product-quantised keys. */
export function isPq(name: string): boolean {
  return name.includes("/pq_");
}

/** The binding names of kernels as the names of the buffers. */
export function pqNames(parts: number): { centroids: string; pq_codes: string } {
  return { centroids: `centroids_${parts}`, pq_codes: `pq_codes_${parts}` };
}

/** Spec of `centroids_m`. */
export function centroidSpec(
  p: Problem,
  parts: number,
  role: BufferRole,
): Record<string, BufferSpec> {
  return { [pqNames(parts).centroids]: { bytes: p.batch * p.kvHeads * centroidBytes(p), role } };
}

/** Spec of `pq_codes_m`. */
export function pqCodeSpec(
  p: Problem,
  parts: number,
  role: BufferRole,
): Record<string, BufferSpec> {
  return { [pqNames(parts).pq_codes]: { bytes: p.batch * p.kvHeads * p.capacity * parts, role } };
}

/** The parts of the codes that a plan has; undefined if it has none. */
export function partsOfBuffers(hasBuffer: (name: string) => boolean): number | undefined {
  return PQ_PARTS.find((parts) => hasBuffer(pqNames(parts).pq_codes));
}

/** The reason that rows cannot be split in parts; undefined if they can. */
export function refusesParts(p: Problem, parts: number): string | undefined {
  if (p.headDim % (4 * parts) === 0) return;
  return `${parts} parts of ${p.headDim} elements would not be of whole quads`;
}

/** The token whose key is centroid `c` before the first iteration of k-means. */
export function startToken(c: number, length: number, seed: number): number {
  const first = Math.floor(c * length / CENTROIDS);
  const stretch = Math.max(1, Math.floor((c + 1) * length / CENTROIDS) - first);
  return first + hash((Math.imul(seed, 0x9e3779b9) + c) >>> 0) % stretch;
}

/** Place of element `d` of centroid `c` among the centroids of a KV head. */
export function centroidPlace(d: number, c: number): number {
  return (Math.floor(d / 4) * CENTROIDS + c) * 4 + d % 4;
}

/** Place of the code of a part of a token among the bytes of the codes of a KV head. */
export function codePlace(part: number, token: number, parts: number, capacity: number): number {
  if (parts === 2) return 2 * token + part;
  return (Math.floor(part / 4) * capacity + token) * 4 + part % 4;
}

/** How near each centroid is to a part of a key: `k . c - |c|^2 / 2`, in f64; larger is nearer. */
export interface Nearness {
  /** [256]. */
  readonly near: Float64Array;
  /** [256], the sums of the magnitudes of all terms: the rounding error is in proportion. */
  readonly magnitudes: Float64Array;
}

/** The nearness of all centroids to part `part` of a key. */
export function nearnessReference(
  key: ArrayLike<number>,
  centroids: ArrayLike<number>,
  part: number,
  parts: number,
): Nearness {
  const width = key.length / parts;
  const near = new Float64Array(CENTROIDS);
  const magnitudes = new Float64Array(CENTROIDS);
  for (let d = part * width; d < (part + 1) * width; d++) {
    for (let c = 0; c < CENTROIDS; c++) {
      const element = centroids[centroidPlace(d, c)];
      const product = key[d] * element;
      const half = element * element / 2;
      near[c] += product - half;
      magnitudes[c] += Math.abs(product) + half;
    }
  }
  return { near, magnitudes };
}

/** Means of the keys of each code. */
export interface Means {
  /** Keys of each centroid, [parts, 256]. */
  readonly counts: Uint32Array;
  /** Laid out as the centroids of a KV head; of a centroid without keys the old one. */
  readonly means: Float64Array;
  /** The means of the magnitudes. */
  readonly magnitudes: Float64Array;
}

/** The means of the first `tokens` keys by their codes. */
export function meansReference(
  rowOfK: RowOf,
  codes: Uint8Array,
  old: ArrayLike<number>,
  shape: { readonly tokens: number; readonly parts: number; readonly capacity: number },
): Means {
  const { tokens, parts, capacity } = shape;
  const headDim = old.length / CENTROIDS;
  const width = headDim / parts;
  const counts = new Uint32Array(parts * CENTROIDS);
  const means = new Float64Array(old.length);
  const magnitudes = new Float64Array(old.length);
  for (let token = 0; token < tokens; token++) {
    const row = rowOfK(token);
    for (let part = 0; part < parts; part++) {
      const code = codes[codePlace(part, token, parts, capacity)];
      counts[part * CENTROIDS + code]++;
      for (let d = part * width; d < (part + 1) * width; d++) {
        means[centroidPlace(d, code)] += row[d];
        magnitudes[centroidPlace(d, code)] += Math.abs(row[d]);
      }
    }
  }
  for (let d = 0; d < headDim; d++) {
    for (let c = 0; c < CENTROIDS; c++) {
      const at = centroidPlace(d, c);
      const count = counts[Math.floor(d / width) * CENTROIDS + c];
      means[at] = count > 0 ? means[at] / count : old[at];
      magnitudes[at] /= Math.max(1, count);
    }
  }
  return { counts, means, magnitudes };
}

/** Scores of product-quantised keys for one query, and the magnitudes behind their rounding. */
export interface PqScores {
  /** [tokens]. */
  readonly scores: Float64Array<ArrayBuffer>;
  /** [tokens], the sums of |q_d c_d|. */
  readonly magnitudes: Float64Array<ArrayBuffer>;
  /** [tokens], the sums of the magnitudes of table entries. */
  readonly entries: Float64Array<ArrayBuffer>;
  /** [tokens], the sums of what exceeds the largest f16 of these. */
  readonly excess: Float64Array<ArrayBuffer>;
}

/** The largest f16. */
const MOST_F16 = 65504;

/** The scores of the first `tokens` tokens by their codes: the sums of table entries. */
export function pqScoresReference(
  q: ArrayLike<number>,
  centroids: ArrayLike<number>,
  codes: Uint8Array,
  shape: { readonly tokens: number; readonly parts: number; readonly capacity: number },
): PqScores {
  const { tokens, parts, capacity } = shape;
  const width = q.length / parts;
  const table = new Float64Array(parts * CENTROIDS);
  const magnitude = new Float64Array(parts * CENTROIDS);
  for (let d = 0; d < q.length; d++) {
    const first = Math.floor(d / width) * CENTROIDS;
    for (let c = 0; c < CENTROIDS; c++) {
      const product = q[d] * centroids[centroidPlace(d, c)];
      table[first + c] += product;
      magnitude[first + c] += Math.abs(product);
    }
  }
  const made = () => new Float64Array(tokens);
  const [scores, magnitudes, entries, excess] = [made(), made(), made(), made()];
  for (let token = 0; token < tokens; token++) {
    for (let part = 0; part < parts; part++) {
      const entry = part * CENTROIDS + codes[codePlace(part, token, parts, capacity)];
      scores[token] += table[entry];
      magnitudes[token] += magnitude[entry];
      entries[token] += Math.abs(table[entry]);
      excess[token] += Math.max(0, Math.abs(table[entry]) - MOST_F16);
    }
  }
  return { scores, magnitudes, entries, excess };
}
