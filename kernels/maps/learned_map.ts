/**
 * Learned maps to Hamming space in the layout of the encode kernels. A map can be divided and
 * joined by heads, and packed for a problem.
 */
import { codeHeads, mapLayers, mapNumbers } from "../core/problem/derived.ts";
import type { MapShape, Problem } from "../core/problem/problem.ts";

/** The properties that decide the layout of a map. A {@linkcode Problem} with them fits the map. */
export interface LearnedMapShape extends Pick<Problem, "headDim" | "bits" | "sharing"> {
  /** Layers, the width between them (64 if there is only one layer) and the element type. */
  readonly map: MapShape;
  /** Heads with a map of their own: query heads if `sharing` is `head`, else KV heads. */
  readonly heads: number;
}

/** Weights and biases as a kernel reads them. */
export type MapNumbers = Float16Array<ArrayBuffer> | Float32Array<ArrayBuffer>;

/** Maps for queries and keys, one of each for every head that it covers in an attention layer. */
export interface LearnedMap {
  /** Shapes, dtype and heads. */
  readonly shape: LearnedMapShape;
  /** Maps of queries, [heads][layer]: weights [in, out], then bias [out]. */
  readonly query: MapNumbers;
  /** Maps of keys, in the same layout. */
  readonly key: MapNumbers;
  /** Origin of the map as free text, such as `trained_on` or `command`. */
  readonly about: Readonly<Record<string, string>>;
}

/** The contents of the buffers `query_map` and `key_map` of a problem. */
export interface PackedMap {
  /** [code heads][layer]: weights [in, out], then bias [out]. */
  readonly query_map: MapNumbers;
  /** The same for keys. */
  readonly key_map: MapNumbers;
}

/** `count` zeros. */
function zeroNumbers(dtype: MapShape["dtype"], count: number): MapNumbers {
  return dtype === "f16" ? new Float16Array(count) : new Float32Array(count);
}

/** Concatenates parts of one dtype. */
export function joinNumbers(dtype: MapShape["dtype"], parts: readonly MapNumbers[]): MapNumbers {
  const result = zeroNumbers(dtype, parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    result.set(part, offset);
    offset += part.length;
  }
  return result;
}

/**
 * One head's layers as views of a map's numbers. Writing to a view changes the map.
 *
 * @param shape Layer count and widths.
 * @param numbers [heads][layer]: weights [in, out], then bias [out].
 * @param head Index of the head in `numbers`.
 * @returns For each layer, weights [in, out] and bias [out], as `encodeReference` needs them.
 */
export function mapHeadLayers<T extends { subarray(begin: number, end: number): T }>(
  shape: Pick<Problem, "headDim" | "bits" | "map">,
  numbers: T,
  head = 0,
): { readonly weights: T; readonly bias: T }[] {
  let start = head * mapNumbers(shape);
  return mapLayers(shape).map(([inputs, outputs]) => {
    const bias = start + inputs * outputs;
    const layer = {
      weights: numbers.subarray(start, bias),
      bias: numbers.subarray(bias, bias + outputs),
    };
    start = bias + outputs;
    return layer;
  });
}

/**
 * Packs a map for a problem, for `queue.writeBuffer` to `query_map` and `key_map`.
 *
 * @param map A map with as many heads as the problem has code heads. {@linkcode takeMapHeads} and
 * {@linkcode joinMapHeads} make one from a map with more or fewer heads.
 * @param problem Numbers are rounded to its `map.dtype`, to nearest even.
 * @returns New arrays, or the map's own arrays if they have this dtype: do not change them.
 * @throws {RangeError} one sentence with all differences between the map's shape and the problem's,
 * or with the number that is too large for f16.
 */
export function packMap(map: LearnedMap, problem: Problem): PackedMap {
  const differences = differencesOf(map.shape, problem);
  if (differences.length > 0) {
    throw new RangeError(`the map is for another problem: ${differences.join(", ")}`);
  }
  const { dtype } = problem.map;
  return { query_map: converted(map.query, dtype), key_map: converted(map.key, dtype) };
}

function differencesOf(shape: LearnedMapShape, p: Problem): string[] {
  // A map of one layer has no hidden width.
  const hidden = shape.map.layers === 1 || p.map.layers === 1;
  const pairs: readonly (readonly [string, number | string, number | string])[] = [
    ["head dim", shape.headDim, p.headDim],
    ["layers", shape.map.layers, p.map.layers],
    ["hidden width", hidden ? 0 : shape.map.hidden, hidden ? 0 : p.map.hidden],
    ["bits", shape.bits, p.bits],
    ["sharing by", shape.sharing, p.sharing],
    ["code heads", shape.heads, codeHeads(p)],
  ];
  return pairs
    .filter(([, has, wanted]) => has !== wanted)
    .map(([name, has, wanted]) => `${name} ${has} and not ${wanted}`);
}

function converted(numbers: MapNumbers, dtype: MapShape["dtype"]): MapNumbers {
  if (dtype === dtypeOf(numbers)) return numbers;
  const result = zeroNumbers(dtype, numbers.length);
  result.set(numbers);
  const bad = result.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0) throw new RangeError(`the map holds ${numbers[bad]}, which is too large for f16`);
  return result;
}

/** The element type of a map's numbers. */
export function dtypeOf(numbers: MapNumbers): MapShape["dtype"] {
  return numbers instanceof Float16Array ? "f16" : "f32";
}

/**
 * The map for some heads of a larger map, such as those of one GQA group.
 *
 * @param first First head to take.
 * @param count Heads to take.
 * @returns Views of the map's arrays.
 * @throws {RangeError} if the map has no such heads.
 */
export function takeMapHeads(map: LearnedMap, first: number, count: number): LearnedMap {
  const { shape } = map;
  const whole = Number.isInteger(first) && Number.isInteger(count);
  if (!whole || first < 0 || count < 1 || first + count > shape.heads) {
    throw new RangeError(
      `a map of ${shape.heads} heads has no ${count} heads from head ${first} on`,
    );
  }
  const perHead = mapNumbers(shape);
  const part = (numbers: MapNumbers) =>
    numbers.subarray(first * perHead, (first + count) * perHead);
  return { ...map, shape: { ...shape, heads: count }, query: part(map.query), key: part(map.key) };
}

/**
 * Joins the maps of an attention layer's groups of heads, in order, to the map of all its heads.
 *
 * @returns A map whose `about` has the entries that are the same in all maps.
 * @throws {RangeError} if there are no maps, or their shapes differ in more than the heads.
 */
export function joinMapHeads(maps: readonly LearnedMap[]): LearnedMap {
  if (maps.length === 0) throw new RangeError("there are no maps to join");
  const { shape, about } = maps[0];
  const kind = kindOf(shape);
  const other = maps.findIndex((map) => kindOf(map.shape) !== kind);
  if (other >= 0) {
    throw new RangeError(`map 0 is ${kind}, but map ${other} is ${kindOf(maps[other].shape)}`);
  }
  const heads = maps.reduce((sum, map) => sum + map.shape.heads, 0);
  return {
    shape: { ...shape, heads },
    query: joinNumbers(shape.map.dtype, maps.map(({ query }) => query)),
    key: joinNumbers(shape.map.dtype, maps.map(({ key }) => key)),
    about: Object.fromEntries(
      Object.entries(about).filter(([name, text]) => maps.every((map) => map.about[name] === text)),
    ),
  };
}

/** A description of a shape without its heads. */
function kindOf(shape: LearnedMapShape): string {
  const widths = mapLayers(shape).map(([inputs]) => inputs);
  return `${[...widths, shape.bits].join(" to ")} in ${shape.map.dtype} by ${shape.sharing}`;
}
