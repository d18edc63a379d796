import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { mapNumbers } from "../core/problem/derived.ts";
import { InvalidFileError, type SafetensorsTensor, writeSafetensors } from "./safetensors.ts";
import { parseMap, writeMap } from "./map_file.ts";
import { makeMaps, tensorOf, tensorsOf } from "../../testing/inputs/maps.ts";

/**
 * A valid file with widths 5, 3, 3, 4 in F32. `changes` replaces tensors, or removes them if null.
 */
function changed(
  changes: Readonly<Record<string, SafetensorsTensor | null>>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  const tensors = tensorsOf(makeMaps(2, [5, 3, 3, 4]), "F32");
  for (const [name, tensor] of Object.entries(changes)) {
    if (tensor) tensors.set(name, tensor);
    else tensors.delete(name);
  }
  return writeSafetensors(tensors, metadata);
}

const zeros = (...shape: number[]) =>
  tensorOf("F32", shape, new Float32Array(shape.reduce((a, b) => a * b, 1)));

const REFUSED: Readonly<Record<string, readonly [Uint8Array, string]>> = {
  "no tensors": [writeSafetensors(new Map()), "the file has no tensors"],
  "a trace": [
    writeSafetensors(new Map([["k", zeros(4, 2)]])),
    'tensor "k" does not belong to a map',
  ],
  "a truncated file": [changed({}).subarray(0, -3), "but the data before it end at"],
  "a truncated header": [changed({}).subarray(0, 100), "the safetensors header claims"],
  "a missing tensor": [changed({ "k.1.2.bias": null }), 'the map has no tensor "k.1.2.bias"'],
  "a head without its query map": [
    changed({ "q.1.0.weight": null }),
    'the map has no tensor "q.1.0.weight"',
  ],
  "a gap between heads": [changed({ "q.9.0.bias": zeros(3) }), 'no tensor "q.2.0.weight"'],
  "four layers": [changed({ "q.0.3.weight": zeros(4, 4) }), "has 4 layers, but at most 3"],
  "integers": [
    changed({ "q.0.0.weight": { dtype: "I32", shape: [3, 5], data: new Uint8Array(60) } }),
    `the map's "q.0.0.weight" is I32 and not F16, F32 or BF16`,
  ],
  "two dtypes": [
    changed({ "k.0.1.bias": tensorOf("F16", [3], [1, 2, 3]) }),
    `the map's "k.0.1.bias" is F16, but others are F32`,
  ],
  "a weight without rows": [
    changed({ "q.0.2.weight": zeros(12) }),
    `the map's "q.0.2.weight" has shape [12] and not [out, in]`,
  ],
  "an empty weight": [changed({ "q.0.0.weight": zeros(3, 0) }), "has shape [3,0] and not [out"],
  "a transposed weight": [
    changed({ "k.1.2.weight": zeros(3, 4) }),
    `the map's "k.1.2.weight" has shape [3,4] and not [4,3]`,
  ],
  "two hidden widths": [
    changed({ "q.0.1.weight": zeros(6, 3) }),
    `the map's "q.0.1.weight" has shape [6,3] and not [3,3]`,
  ],
  "a bias of another length": [
    changed({ "q.1.0.bias": zeros(4) }),
    `the map's "q.1.0.bias" has shape [4] and not [3]`,
  ],
  "NaN": [
    changed({ "k.0.0.bias": tensorOf("F32", [3], [0, NaN, 0]) }),
    `the map's "k.0.0.bias" holds NaN at element 1`,
  ],
  "infinity": [
    changed({ "q.1.1.bias": tensorOf("F32", [3], [0, 0, -Infinity]) }),
    `the map's "q.1.1.bias" holds -Infinity at element 2`,
  ],
  "metadata of other bits": [
    changed({}, { bits: "32" }),
    "the map's metadata have bits 32 and not 4",
  ],
  "another version": [
    changed({}, { map_version: "2" }),
    "the map's metadata have map_version 2 and not 1",
  ],
  "unknown sharing": [
    changed({}, { sharing: "layer" }),
    "the map's metadata have sharing layer and not head, kv or group",
  ],
};
for (const [what, [bytes, message]] of Object.entries(REFUSED)) {
  Deno.test(`parseMap() refuses ${what}`, () => {
    const error = assertThrows(() => parseMap(bytes), InvalidFileError, message);
    assertEquals(error.message.split("\n").length, 1);
  });
}

Deno.test("parseMap() reads a valid map from a damaged file, or refuses it", () => {
  const valid = changed({}, { sharing: "head" });
  const index = fc.nat(valid.length - 1);
  fc.assert(
    fc.property(index, fc.nat(255), fc.option(index), (changedByte, byte, end) => {
      const bytes = valid.slice(0, end ?? valid.length);
      bytes[changedByte] = byte;
      try {
        const { shape, query } = parseMap(bytes);
        assertEquals(query.length, shape.heads * mapNumbers(shape));
        assert(query.every(Number.isFinite));
      } catch (error) {
        if (!(error instanceof InvalidFileError)) throw error;
      }
    }),
    { numRuns: 2000, seed: 4 },
  );
});

Deno.test("writeMap() refuses a map that parseMap() would refuse", () => {
  const map = parseMap(changed({}));
  const broken = map.query.slice();
  broken[17] = NaN;
  // Element 17 follows the 15 weights of layer 0: it is the last of its 3 biases.
  const message = `the map's "q.0.0.bias" holds NaN at element 2`;
  assertThrows(() => writeMap({ ...map, query: broken }), InvalidFileError, message);
  assertThrows(
    () => writeMap({ ...map, key: map.key.subarray(1) }),
    InvalidFileError,
    "the map's k has 91 numbers of f32, but its shape needs 92 of f32",
  );
  assertThrows(
    () => writeMap({ ...map, key: new Float16Array(92) }),
    InvalidFileError,
    "the map's k has 92 numbers of f16, but its shape needs 92 of f32",
  );
});
