/** Packs the outputs of maps as codes, as the encode kernels do. */
import { magnitudeOf, magnitudeUnits, packBits } from "../../../kernels/encode/reference.ts";

/** Codes of rows of outputs: [rows, words], the signs of the outputs. */
export function packKeys(outputs: Float32Array, bits: number): Uint32Array<ArrayBuffer> {
  return packRows(outputs, bits, packBits);
}

/**
 * Query codes of rows of outputs: [rows, 1 + planes, words], the signs and then the magnitude planes
 * from the lowest up.
 */
export function packQueries(
  outputs: Float32Array,
  bits: number,
  planes: number,
): Uint32Array<ArrayBuffer> {
  return packRows(outputs, bits, (row) => weightedCode(row, row.map(Math.tanh), planes));
}

/**
 * The code of one query.
 *
 * @param signs Numbers with the signs of the outputs.
 * @param outputs The numbers whose magnitudes count: of a learned map the tanh of its outputs.
 */
export function weightedCode(
  signs: ArrayLike<number>,
  outputs: ArrayLike<number>,
  planes: number,
): Uint32Array<ArrayBuffer> {
  const words = Math.ceil(signs.length / 32);
  const code = new Uint32Array((1 + planes) * words);
  code.set(packBits(signs));
  if (planes === 0) return code;
  const magnitudes = magnitudeUnits(outputs, planes).map((units) => magnitudeOf(units, planes));
  for (let plane = 0; plane < planes; plane++) {
    code.set(packBits(magnitudes.map((each) => (each >>> plane) & 1)), (1 + plane) * words);
  }
  return code;
}

function packRows(
  outputs: Float32Array,
  bits: number,
  pack: (row: Float32Array) => Uint32Array,
): Uint32Array<ArrayBuffer> {
  const codes = [];
  for (let start = 0; start < outputs.length; start += bits) {
    codes.push(pack(outputs.subarray(start, start + bits)));
  }
  const words = codes[0]?.length ?? 0;
  const packed = new Uint32Array(codes.length * words);
  for (const [row, code] of codes.entries()) packed.set(code, row * words);
  return packed;
}
