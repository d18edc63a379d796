/**
 * Map files: learned maps to Hamming space as safetensors, read from bytes and written to bytes.
 */
import type { CodeSharing } from "../core/problem/problem.ts";
import { mapLayers, mapNumbers } from "../core/problem/derived.ts";
import {
  InvalidFileError,
  readSafetensors,
  type SafetensorsFile,
  type SafetensorsTensor,
  writeSafetensors,
} from "./safetensors.ts";
import {
  dtypeOf,
  joinNumbers,
  type LearnedMap,
  type LearnedMapShape,
  mapHeadLayers,
  type MapNumbers,
} from "./learned_map.ts";
import { findMap, type MapNames, type MapSide } from "./map_names.ts";
import { mapDtype, readNumbers, transposed, writeNumbers } from "./map_tensor.ts";

/** The version of the format. No other version can be read. */
const VERSION = "1";

/** The hidden width of a map of one layer, which has none: the smallest that a problem may have. */
const NO_HIDDEN = 64;

/** Settings of {@linkcode parseMap}. */
export interface ParseMapOptions {
  /**
   * The attention layer to read from a file with the authors' names. It may be left out if the file
   * has only one. Files with this suite's names do not contain the number of the layer.
   */
  readonly layer?: number;
}

/**
 * Reads a map file.
 *
 * A file has the map of one attention layer, or of some of its heads. It has four tensors for each
 * head and linear layer, both counted from 0. All tensors have the same dtype:
 *
 * | tensor | shape | content |
 * |---|---|---|
 * | `q.{head}.{layer}.weight` | [out, in] | weights for queries; a row per output, as in PyTorch |
 * | `q.{head}.{layer}.bias` | [out] | |
 * | `k.{head}.{layer}.weight` | [out, in] | weights for keys |
 * | `k.{head}.{layer}.bias` | [out] | |
 *
 * The metadata `map_version`, `head_dim`, `layers`, `hidden`, `bits` and `heads` repeat facts of
 * the tensors and may be missing. `sharing` defaults to `head`. All other metadata are free text.
 *
 * A file may also have the names that HashAttention's authors use in published maps:
 * `{attention layer}.learning_to_hash_transformation_{q|k}.{head}.{0|2|4}.{weight|bias}`.
 *
 * ```ts
 * import {
 *   createDecoder,
 *   packMap,
 *   parseMap,
 *   type Problem,
 *   requestDecoderDevice,
 * } from "@hashattention/bench";
 *
 * const file = await fetch(new URL("./map.safetensors", import.meta.url));
 * const map = parseMap(new Uint8Array(await file.arrayBuffer()));
 * const { heads, headDim, bits, sharing, map: layers } = map.shape;
 * const problem: Problem = {
 *   batch: 1,
 *   qHeads: heads, // with sharing "head", each query head has a map of its own
 *   kvHeads: heads / 4,
 *   headDim,
 *   kvLen: 1000,
 *   capacity: 1024,
 *   dtype: "f16",
 *   bits,
 *   sharing,
 *   map: layers,
 *   topK: { sparsity: 32 },
 *   sink: 4,
 *   recent: 16,
 * };
 * const { query_map, key_map } = packMap(map, problem);
 *
 * const adapter = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
 * const device = await requestDecoderDevice(adapter!);
 * const decoder = await createDecoder(device, problem);
 * device.queue.writeBuffer(decoder.buffers.query_map, 0, query_map);
 * device.queue.writeBuffer(decoder.buffers.key_map, 0, key_map);
 * ```
 *
 * @param bytes The whole file. Tensors are F16, F32 or BF16; BF16 is widened to f32.
 * @returns The map of all heads in the file, with weights transposed to [in, out].
 * @throws {InvalidFileError} one sentence: an invalid safetensors file, no map or none for that
 * layer, a tensor that is missing, unknown or has a wrong dtype or shape, a number that is not
 * finite, or metadata that contradict the tensors.
 * @throws {TypeError} for anything but a Uint8Array.
 */
export function parseMap(bytes: Uint8Array, options: ParseMapOptions = {}): LearnedMap {
  if (!(bytes instanceof Uint8Array)) throw new TypeError("a map's file must be a Uint8Array");
  const file = readSafetensors(bytes);
  const names = findMap(new Set(file.tensors.keys()), options.layer);
  const shape = shapeOf(file, names);
  const expected = shapeMetadata(shape);
  for (const [name, value] of Object.entries(expected)) {
    const found = file.metadata[name] ?? value;
    if (found !== value) {
      throw new InvalidFileError(`the map's metadata have ${name} ${found} and not ${value}`);
    }
  }
  const about = Object.entries(file.metadata).filter(([name]) => !Object.hasOwn(expected, name));
  return {
    shape,
    query: readSide(file, names, shape, "q"),
    key: readSide(file, names, shape, "k"),
    about: Object.fromEntries(about),
  };
}

/** The shape of the first head's query map. The other tensors are not checked yet. */
function shapeOf({ tensors, metadata }: SafetensorsFile, names: MapNames): LearnedMapShape {
  const { heads, layers } = names;
  const name = (layer: number) => names.nameOf("q", 0, layer, "weight");
  const widths = Array.from({ length: layers }, (_, layer) => {
    const { shape } = tensors.get(name(layer))!;
    if (shape.length !== 2 || shape.includes(0)) {
      throw new InvalidFileError(
        `the map's "${name(layer)}" has shape [${shape}] and not [out, in]`,
      );
    }
    return { inputs: shape[1], outputs: shape[0] };
  });
  return {
    headDim: widths[0].inputs,
    bits: widths[layers - 1].outputs,
    sharing: sharingOf(metadata),
    map: {
      layers,
      hidden: layers > 1 ? widths[0].outputs : NO_HIDDEN,
      dtype: mapDtype(name(0), tensors.get(name(0))!),
    },
    heads,
  };
}

function sharingOf({ sharing = "head" }: SafetensorsFile["metadata"]): CodeSharing {
  if (sharing === "head" || sharing === "kv" || sharing === "group") return sharing;
  throw new InvalidFileError(
    `the map's metadata have sharing ${sharing} and not head, kv or group`,
  );
}

/** The metadata of a shape. */
function shapeMetadata({ headDim, bits, sharing, map, heads }: LearnedMapShape) {
  return {
    map_version: VERSION,
    head_dim: String(headDim),
    layers: String(map.layers),
    hidden: map.layers > 1 ? String(map.hidden) : "none",
    bits: String(bits),
    heads: String(heads),
    sharing,
  };
}

function readSide(
  { tensors }: SafetensorsFile,
  { nameOf }: MapNames,
  shape: LearnedMapShape,
  side: MapSide,
): MapNumbers {
  const { dtype } = tensors.get(nameOf("q", 0, 0, "weight"))!;
  const read = (head: number, layer: number, part: "weight" | "bias", size: readonly number[]) => {
    const name = nameOf(side, head, layer, part);
    return readNumbers(tensors.get(name)!, { name, dtype, shape: size });
  };
  // The result is allocated only after the sizes of all tensors are checked.
  const parts: MapNumbers[] = [];
  for (let head = 0; head < shape.heads; head++) {
    for (const [layer, [inputs, outputs]] of mapLayers(shape).entries()) {
      const weight = read(head, layer, "weight", [outputs, inputs]);
      parts.push(transposed(weight, outputs), read(head, layer, "bias", [outputs]));
    }
  }
  return joinNumbers(shape.map.dtype, parts);
}

/**
 * Writes a map file. {@linkcode parseMap} reads the same map, and equal maps give equal bytes.
 *
 * @param map Entries of `about` with the names of the format's own metadata are replaced.
 * @throws {InvalidFileError} one sentence: a number that is not finite, or numbers whose count or
 * dtype does not match the shape.
 */
export function writeMap(map: LearnedMap): Uint8Array<ArrayBuffer> {
  const { shape, about } = map;
  const tensors = new Map<string, SafetensorsTensor>();
  for (const [side, numbers] of [["q", map.query], ["k", map.key]] as const) {
    checkNumbers(side, numbers, shape);
    for (let head = 0; head < shape.heads; head++) {
      for (const [layer, { weights, bias }] of mapHeadLayers(shape, numbers, head).entries()) {
        const name = `${side}.${head}.${layer}`;
        const [outputs, inputs] = [bias.length, weights.length / bias.length];
        const put = (part: string, values: MapNumbers, size: readonly number[]) =>
          tensors.set(`${name}.${part}`, writeNumbers(`${name}.${part}`, values, size));
        put("weight", transposed(weights, inputs), [outputs, inputs]);
        put("bias", bias, [outputs]);
      }
    }
  }
  return writeSafetensors(tensors, { ...about, ...shapeMetadata(shape) });
}

function checkNumbers(side: MapSide, numbers: MapNumbers, shape: LearnedMapShape): void {
  const wanted = shape.heads * mapNumbers(shape);
  const held = dtypeOf(numbers);
  if (numbers.length !== wanted || held !== shape.map.dtype) {
    throw new InvalidFileError(
      `the map's ${side} has ${numbers.length} numbers of ${held}, but its shape needs ${wanted} of ` +
        shape.map.dtype,
    );
  }
}
