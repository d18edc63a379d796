/**
 * Reads and writes the numbers of a map's tensors. WebGPU hosts and the files are little-endian.
 */
import type { MapShape } from "../core/problem/problem.ts";
import { InvalidFileError, type SafetensorsTensor } from "./safetensors.ts";
import { dtypeOf, type MapNumbers } from "./learned_map.ts";

/** The name, dtype and shape that a tensor must have. */
export interface WantedTensor {
  /** Its name in the file, for errors. */
  readonly name: string;
  /** The dtype of the map's other tensors. */
  readonly dtype: SafetensorsTensor["dtype"];
  readonly shape: readonly number[];
}

/** The element type of a tensor's numbers in memory: bf16 is widened to f32, without a change. */
export function mapDtype(
  name: string,
  { dtype }: SafetensorsTensor,
): MapShape["dtype"] {
  if (dtype === "F16") return "f16";
  if (dtype === "F32" || dtype === "BF16") return "f32";
  throw new InvalidFileError(`the map's "${name}" is ${dtype} and not F16, F32 or BF16`);
}

/**
 * The numbers of a tensor in the order of the file.
 *
 * @throws {InvalidFileError} for a wrong dtype or shape, or a number that is not finite.
 */
export function readNumbers(tensor: SafetensorsTensor, wanted: WantedTensor): MapNumbers {
  const { name, dtype, shape } = wanted;
  if (tensor.dtype !== dtype) {
    throw new InvalidFileError(`the map's "${name}" is ${tensor.dtype}, but others are ${dtype}`);
  }
  if (tensor.shape.length !== shape.length || tensor.shape.some((n, i) => n !== shape[i])) {
    throw new InvalidFileError(
      `the map's "${name}" has shape [${tensor.shape}] and not [${shape}]`,
    );
  }
  // The file's bytes may be unaligned.
  const { buffer } = tensor.data.slice();
  const numbers = dtype === "F16"
    ? new Float16Array(buffer)
    : new Float32Array(dtype === "BF16" ? widened(new Uint16Array(buffer)).buffer : buffer);
  checkFinite(name, numbers);
  return numbers;
}

/** The bits of bf16 numbers as f32: the additional low bits are 0. */
function widened(bits: Uint16Array): Uint32Array<ArrayBuffer> {
  return Uint32Array.from(bits, (each) => each << 16);
}

/**
 * The tensor with these numbers.
 *
 * @throws {InvalidFileError} for a number that is not finite.
 */
export function writeNumbers(
  name: string,
  numbers: MapNumbers,
  shape: readonly number[],
): SafetensorsTensor {
  checkFinite(name, numbers);
  const data = new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength);
  return { dtype: dtypeOf(numbers) === "f16" ? "F16" : "F32", shape, data };
}

function checkFinite(name: string, numbers: MapNumbers): void {
  const bad = numbers.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0) {
    throw new InvalidFileError(`the map's "${name}" holds ${numbers[bad]} at element ${bad}`);
  }
}

/** The transpose of a matrix with `rows` rows. */
export function transposed(matrix: MapNumbers, rows: number): MapNumbers {
  const columns = matrix.length / rows;
  const result = matrix.slice();
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      result[column * rows + row] = matrix[row * columns + column];
    }
  }
  return result;
}
