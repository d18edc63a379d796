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
  return packRows(outputs, bits, (row) => weightedCode(row, planes));
}

/** The code of one query; the magnitudes are those of the outputs' tanh. */
function weightedCode(outputs: Float32Array, planes: number): Uint32Array<ArrayBuffer> {
  const signs = packBits(outputs);
  if (planes === 0) return signs;
  const words = signs.length;
  const code = new Uint32Array((1 + planes) * words);
  code.set(signs);
  const magnitudes = magnitudeUnits(outputs.map(Math.tanh), planes)
    .map((units) => magnitudeOf(units, planes));
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
