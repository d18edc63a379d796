/** Checks of a problem: each wrong value gives one sentence with the allowed ones. */
import { hasPlainCache, kvStridesOf, poolPages } from "./cache_layout.ts";
import {
  binsOf,
  centresKeys,
  isRotated,
  kvBytes,
  planesOf,
  prefixOf,
  rotationSeedOf,
  tiesOf,
  valueDimOf,
} from "./derived.ts";
import { type Problem, PROBLEM_FIELDS, type Shape } from "./problem.ts";
import { HEAD_DIMS, KV_PAGE_TOKENS, MOST_GROUP } from "./constants.ts";

function wholeNumber(name: string, value: number, min: number, max: number): void {
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new RangeError(`${name} must be a whole number from ${min} to ${max}, got ${value}`);
  }
}

function numberFrom(name: string, value: number, min: number, max: number): void {
  if (typeof value !== "number" || !(value >= min && value <= max)) {
    throw new RangeError(`${name} must be a number from ${min} to ${max}, got ${value}`);
  }
}

function oneOf<T>(name: string, value: T, allowed: readonly T[]): void {
  if (!allowed.includes(value)) {
    throw new RangeError(`${name} must be one of ${allowed.join(", ")}, got ${value}`);
  }
}

/**
 * Checks that a value is an object with known fields alone, since a misspelt one would be ignored.
 *
 * @throws {RangeError} one sentence with the wrong field and the known ones.
 */
export function onlyFields(name: string, given: object, known: readonly string[]): void {
  if (Object(given) !== given) throw new RangeError(`${name} must be an object, got ${given}`);
  const other = Object.keys(given).find((field) => !known.includes(field));
  if (other !== undefined) {
    throw new RangeError(`${name} has no field ${other}; known are ${known.join(", ")}`);
  }
}

function checkLengths({ batch, kvLen }: Problem, lengths: readonly number[]): void {
  if (lengths.length !== batch) {
    throw new RangeError(`lengths must be one per sequence, got ${lengths.length} for ${batch}`);
  }
  for (const length of lengths) wholeNumber("each of lengths", length, 1, kvLen);
  if (!lengths.includes(kvLen)) {
    throw new RangeError(`the longest of lengths must be kvLen, which is ${kvLen}`);
  }
}

function checkPrefix(p: Problem, prefix: number): void {
  wholeNumber("prefix", prefix, 0, p.capacity - 16);
  if (prefix % 16 !== 0) {
    throw new RangeError(`prefix must be a multiple of 16 tokens, got ${prefix}`);
  }
  const shortest = Math.min(p.kvLen, ...p.lengths ?? []);
  if (shortest <= prefix) {
    throw new RangeError(
      `each sequence must be longer than the prefix of ${prefix} tokens, got ${shortest}`,
    );
  }
  if (!hasPlainCache(p)) {
    throw new RangeError("caches with a shared prefix have no strides or pages of their own");
  }
  if (centresKeys(p)) {
    throw new RangeError("centre takes the mean key of each sequence, and these share a prefix");
  }
}

function checkRotation(p: Problem): void {
  if (p.sharing !== "kv") {
    throw new RangeError(`rotated codes are shared by KV head (kv), got sharing ${p.sharing}`);
  }
  wholeNumber("rotationSeed", rotationSeedOf(p), 0, 0xffffffff);
  oneOf("bins.count", binsOf(p).count, [16, 32, 64, 128, 256]);
  wholeNumber("bins.range", binsOf(p).range, 1, 16);
}

function checkCache(p: Problem): void {
  if (p.kvPages) {
    oneOf("kvPages.tokens", p.kvPages.tokens, KV_PAGE_TOKENS);
    wholeNumber("kvPages.count", poolPages(p), 1, 0xffffffff);
  }
  if (!p.kvStrides) return;
  onlyFields("kvStrides", p.kvStrides, ["outer", "head", "token"]);
  const load = 16 / kvBytes(p.dtype);
  const { outer, head, token } = kvStridesOf(p);
  for (const [name, stride] of Object.entries({ outer, head, token })) {
    wholeNumber(`kvStrides.${name}`, stride, p.headDim, 0xffffffff);
    if (stride % load !== 0) {
      throw new RangeError(
        `kvStrides.${name} must be a multiple of ${load} elements, 16 bytes, got ${stride}`,
      );
    }
  }
  checkOverlap(p);
}

/** Checks that no two rows of K lie in the same place. */
function checkOverlap(p: Problem): void {
  const { outer, head, token } = kvStridesOf(p);
  const { kvPages, batch, kvHeads, capacity, headDim } = p;
  const steps = [
    [outer, kvPages ? poolPages(p) : batch],
    [head, kvHeads],
    [token, kvPages?.tokens ?? capacity],
  ].filter(([, count]) => count > 1).sort(([a], [b]) => a - b);
  let extent = headDim;
  for (const [stride, count] of steps) {
    if (stride < extent) {
      throw new RangeError(
        `kvStrides let rows overlap: a stride of ${stride} elements steps over ${extent}`,
      );
    }
    extent += (count - 1) * stride;
  }
}

/**
 * Checks heads and head dim.
 *
 * @param words Names of the fields in messages, such as the flags that a user typed.
 * @throws {RangeError} one sentence with the wrong value and the allowed ones.
 */
export function checkShape(
  shape: Shape,
  words: Readonly<Record<keyof Shape, string>> = {
    qHeads: "qHeads",
    kvHeads: "kvHeads",
    headDim: "headDim",
  },
): void {
  const { qHeads, kvHeads, headDim } = shape;
  wholeNumber(words.qHeads, qHeads, 1, 65535);
  wholeNumber(words.kvHeads, kvHeads, 1, 65535);
  if (qHeads % kvHeads !== 0) {
    throw new RangeError(
      `${words.qHeads} must be a whole multiple of ${words.kvHeads}, got ${qHeads} and ${kvHeads}`,
    );
  }
  wholeNumber(`the GQA group ${words.qHeads}/${words.kvHeads}`, qHeads / kvHeads, 1, MOST_GROUP);
  oneOf(words.headDim, headDim, HEAD_DIMS);
}

/**
 * Checks a problem.
 *
 * @throws {RangeError} one sentence with the wrong value and the allowed ones.
 */
export function checkProblem(p: Problem): void {
  onlyFields("the problem", p, PROBLEM_FIELDS);
  wholeNumber("batch", p.batch, 1, 65535);
  checkShape(p);
  oneOf("valueDim", valueDimOf(p), HEAD_DIMS);
  wholeNumber("capacity", p.capacity, 16, 1 << 21);
  if (p.capacity % 16 !== 0) {
    throw new RangeError(`capacity must be a multiple of 16 tokens, got ${p.capacity}`);
  }
  wholeNumber("kvLen", p.kvLen, 1, p.capacity);
  if (p.lengths) checkLengths(p, p.lengths);
  if (prefixOf(p) !== 0) checkPrefix(p, prefixOf(p));
  oneOf("dtype", p.dtype, ["f16", "bf16", "f32"]);
  checkCache(p);
  oneOf("qDtype", p.qDtype ?? "f32", ["f32", "f16"]);
  oneOf("outDtype", p.outDtype ?? "f32", ["f32", "f16"]);
  if (p.scale !== undefined) numberFrom("scale", p.scale, 1e-6, 1e6);
  if (p.softCap !== undefined) numberFrom("softCap", p.softCap, 1e-3, 1e6);
  oneOf("bits", p.bits, [32, 64, 128]);
  oneOf("sharing", p.sharing, ["head", "kv", "group"]);
  wholeNumber("planes", planesOf(p), 0, 3);
  oneOf("ties", tiesOf(p), ["lower", "higher"]);
  oneOf("map.layers", p.map.layers, [0, 1, 2, 3]);
  if (isRotated(p)) checkRotation(p);
  else if (centresKeys(p)) throw new RangeError("centre needs rotated codes");
  oneOf("centre", centresKeys(p), [true, false]);
  oneOf("map.hidden", p.map.hidden, [64, 128, 256]);
  oneOf("map.dtype", p.map.dtype, ["f16", "f32"]);
  onlyFields("topK", p.topK, ["count", "sparsity"]);
  if ("count" in p.topK) wholeNumber("k", p.topK.count, 0, 0xffffffff);
  else wholeNumber("sparsity", p.topK.sparsity, 1, 0xffffffff);
  wholeNumber("sink", p.sink, 0, 0xffffffff);
  wholeNumber("recent", p.recent, 0, 0xffffffff);
}
