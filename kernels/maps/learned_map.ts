/**
 * Learned maps to Hamming space as the encode kernels take them: what a map file holds, cut and
 * joined by heads, and packed for a problem.
 */
import { codeHeads, mapLayers, mapNumbers, type MapShape, type Problem } from "../core/problem.ts";

/** What decides the layout of a map; as part of a {@linkcode Problem} it fits that map. */
export interface LearnedMapShape extends Pick<Problem, "headDim" | "bits" | "sharing"> {
  /** Layers, the width between them (64 where one layer has none) and the element type. */
  readonly map: MapShape;
  /** Heads with a map of their own: query heads, or KV heads where `sharing` is `group`. */
  readonly heads: number;
}

/** Weights and biases as a kernel reads them. */
export type MapNumbers = Float16Array<ArrayBuffer> | Float32Array<ArrayBuffer>;

/** A map for queries and one for keys, for each of some heads of one attention layer. */
export interface LearnedMap {
  /** Shapes, dtype and heads. */
  readonly shape: LearnedMapShape;
  /** Maps of queries, [heads][layer]: weights [in, out], then bias [out]. */
  readonly query: MapNumbers;
  /** Maps of keys, in the same layout. */
  readonly key: MapNumbers;
  /** Where the map is from, in free words: `trained_on`, `command` and the like. */
  readonly about: Readonly<Record<string, string>>;
}

/** What goes into the buffers `query_map` and `key_map` of a problem. */
export interface PackedMap {
  /** [code heads][layer]: weights [in, out], then bias [out]. */
  readonly query_map: MapNumbers;
  /** The same for keys. */
  readonly key_map: MapNumbers;
}

/** Zeros for `count` numbers of a map. */
function zeroNumbers(dtype: MapShape["dtype"], count: number): MapNumbers {
  return dtype === "f16" ? new Float16Array(count) : new Float32Array(count);
}

/** Numbers of one dtype, one part behind the other. */
export function joinNumbers(dtype: MapShape["dtype"], parts: readonly MapNumbers[]): MapNumbers {
  const result = zeroNumbers(dtype, parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    result.set(part, at);
    at += part.length;
  }
  return result;
}

/**
 * One head's layers as views of a map's numbers: what is written to a view is written to the map.
 *
 * @param shape Layer count and widths.
 * @param numbers [heads][layer]: weights [in, out], then bias [out].
 * @param head Which head of `numbers`.
 * @returns Of each layer weights [in, out] and bias [out], as `encodeReference` takes them.
 */
export function mapHeadLayers<T extends { subarray(begin: number, end: number): T }>(
  shape: Pick<Problem, "headDim" | "bits" | "map">,
  numbers: T,
  head = 0,
): { readonly weights: T; readonly bias: T }[] {
  let at = head * mapNumbers(shape);
  return mapLayers(shape).map(([inputs, outputs]) => {
    const bias = at + inputs * outputs;
    const layer = {
      weights: numbers.subarray(at, bias),
      bias: numbers.subarray(bias, bias + outputs),
    };
    at = bias + outputs;
    return layer;
  });
}

/**
 * Packs a map for a problem: what `queue.writeBuffer` takes for `query_map` and `key_map`.
 *
 * @param map A map of as many heads as the problem has code heads; {@linkcode takeMapHeads} and
 * {@linkcode joinMapHeads} make one from a map of more or fewer.
 * @param problem Its `map.dtype` is what the numbers are rounded to, to nearest even.
 * @returns The map's own arrays where the dtype is theirs, so they are not to be changed.
 * @throws {RangeError} one sentence that names all that differs between the map's shape and the
 * problem's, or the number that is too large for f16.
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
  // One layer has nothing between layers, so its hidden width means nothing.
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
 * The map of some heads of a larger one, such as one KV head's group of query heads.
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
      `${count} heads from head ${first} on were asked of a map of ${shape.heads}`,
    );
  }
  const perHead = mapNumbers(shape);
  const part = (numbers: MapNumbers) =>
    numbers.subarray(first * perHead, (first + count) * perHead);
  return { ...map, shape: { ...shape, heads: count }, query: part(map.query), key: part(map.key) };
}

/**
 * Joins the maps of a layer's groups of heads, in order, to the map of all its heads.
 *
 * @returns A map with what all say alike in `about`.
 * @throws {RangeError} if there is none, or their shapes differ in more than the heads.
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

/** All of a shape but its heads, in words. */
function kindOf(shape: LearnedMapShape): string {
  const widths = mapLayers(shape).map(([inputs]) => inputs);
  return `${[...widths, shape.bits].join(" to ")} in ${shape.map.dtype} by ${shape.sharing}`;
}
