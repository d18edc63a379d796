/** Test support: random maps as a trainer writes them, with weights [out, in] by tensor name. */
import { createRandom } from "../../fixtures/random.ts";
import {
  type SafetensorsDtype,
  type SafetensorsTensor,
  writeSafetensors,
} from "../../kernels/maps/safetensors.ts";

/** One head's map: for each layer the rows of weights, a row per output, and the biases. */
export type MadeMap = readonly {
  readonly rows: readonly Float32Array[];
  readonly bias: Float32Array;
}[];

/** The maps of queries and keys of each head. */
export interface MadeMaps {
  readonly q: readonly MadeMap[];
  readonly k: readonly MadeMap[];
}

/** Random maps with these widths: head dim, hidden widths, bits. */
export function makeMaps(heads: number, widths: readonly number[], seed = 1): MadeMaps {
  const random = createRandom(seed, 301);
  // Through f16, so that both dtypes hold the same numbers.
  const normals = (count: number, deviation: number) =>
    Float32Array.from(Float16Array.from({ length: count }, () => deviation * random.normal()));
  const makeSide = () =>
    Array.from({ length: heads }, () =>
      widths.slice(1).map((outputs, layer) => ({
        rows: Array.from({ length: outputs }, () =>
          normals(widths[layer], 1 / Math.sqrt(widths[layer]))),
        bias: normals(outputs, 0.1),
      })));
  return { q: makeSide(), k: makeSide() };
}

/** The pre-activations of a row in f64: a matrix product for each layer, with SiLU between them. */
export function preActivations(map: MadeMap, row: ArrayLike<number>): number[] {
  return map.reduce<number[]>((input, { rows, bias }, layer) => {
    const x = layer === 0 ? input : input.map((value) => value / (1 + Math.exp(-value)));
    return rows.map((weights, out) =>
      weights.reduce((sum, weight, i) => sum + weight * x[i], bias[out])
    );
  }, Array.from(row));
}

/** A tensor of the numbers in the dtype. */
export function tensorOf(
  dtype: SafetensorsDtype,
  shape: readonly number[],
  numbers: Iterable<number>,
): SafetensorsTensor {
  const typed = dtype === "F16"
    ? Float16Array.from(numbers)
    : dtype === "BF16"
    ? Uint16Array.from(new Uint32Array(Float32Array.from(numbers).buffer), (bits) => bits >>> 16)
    : Float32Array.from(numbers);
  return { dtype, shape, data: new Uint8Array(typed.buffer) };
}

/** The name of a layer's tensors, without `.weight` and `.bias`. */
export type LayerName = (side: "q" | "k", head: number, layer: number) => string;

/** Names in this suite's map files. */
export const ownName: LayerName = (side, head, layer) => `${side}.${head}.${layer}`;

/** Names in the files of HashAttention's authors. */
export const authorsName = (attentionLayer: number): LayerName => (side, head, layer) =>
  `${attentionLayer}.learning_to_hash_transformation_${side}.${head}.${2 * layer}`;

/** The maps' tensors by name. */
export function tensorsOf(
  maps: MadeMaps,
  dtype: SafetensorsDtype,
  nameOf: LayerName = ownName,
): Map<string, SafetensorsTensor> {
  const tensors = new Map<string, SafetensorsTensor>();
  for (const side of ["q", "k"] as const) {
    maps[side].forEach((map, head) =>
      map.forEach(({ rows, bias }, layer) => {
        const name = nameOf(side, head, layer);
        const flat = rows.flatMap((row) => [...row]);
        tensors.set(`${name}.weight`, tensorOf(dtype, [rows.length, rows[0].length], flat));
        tensors.set(`${name}.bias`, tensorOf(dtype, [bias.length], bias));
      })
    );
  }
  return tensors;
}

/** The bytes of a file of the maps. */
export function fileOf(
  maps: MadeMaps,
  dtype: SafetensorsDtype,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  return writeSafetensors(tensorsOf(maps, dtype), metadata);
}
