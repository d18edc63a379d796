import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { InvalidFileError, readSafetensors, writeSafetensors } from "./safetensors.ts";
import { mapHeadLayers } from "./learned_map.ts";
import { parseMap, type ParseMapOptions, writeMap } from "./map_file.ts";
import { encodeReference } from "../encode/reference.ts";
import {
  authorsName,
  fileOf,
  type MadeMaps,
  makeMaps,
  preActivations,
  tensorOf,
  tensorsOf,
} from "../../testing/inputs/maps.ts";

const WIDTHS: readonly (readonly number[])[] = [[5, 4], [5, 3, 4], [5, 3, 3, 4]];

/** Asserts that every head's maps give the pre-activations that are computed by hand. */
function assertMaps(bytes: Uint8Array, maps: MadeMaps, options?: ParseMapOptions): void {
  const { shape, query, key } = parseMap(bytes, options);
  const row = Float32Array.from({ length: shape.headDim }, (_, i) => Math.sin(i + 1));
  for (const [numbers, side] of [[query, maps.q], [key, maps.k]] as const) {
    side.forEach((map, head) => {
      const got = encodeReference(row, mapHeadLayers(shape, numbers, head));
      preActivations(map, row).forEach((want, bit) => assertAlmostEquals(got[bit], want, 1e-12));
    });
  }
}

for (const widths of WIDTHS) {
  for (const dtype of ["F16", "F32"] as const) {
    Deno.test(`parseMap() reads widths ${widths} in ${dtype} into the kernels' layout`, () => {
      const maps = makeMaps(3, widths);
      const bytes = fileOf(maps, dtype, { trained_on: "nothing" });
      const map = parseMap(bytes);
      assertEquals(map.shape, {
        headDim: 5,
        bits: 4,
        sharing: "head",
        map: {
          layers: widths.length - 1,
          hidden: widths.length > 2 ? 3 : 64,
          dtype: dtype === "F16" ? "f16" : "f32",
        },
        heads: 3,
      });
      assertEquals(map.about, { trained_on: "nothing" });
      assertMaps(bytes, maps);
      // The second head's key map follows the first's, and starts with the weights of input 0.
      const perHead = map.key.length / 3;
      const [{ rows }] = maps.k[1];
      assertEquals([...map.key.subarray(perHead, perHead + 2)], [rows[0][0], rows[1][0]]);
    });

    Deno.test(`writeMap() writes widths ${widths} in ${dtype} without a change`, () => {
      const map = parseMap(fileOf(makeMaps(2, widths), dtype, { command: "fit", seed: "1" }));
      const bytes = writeMap(map);
      assertEquals(parseMap(bytes), map);
      assertEquals(writeMap(parseMap(bytes)), bytes);
      const unaligned = new Uint8Array(bytes.length + 1);
      unaligned.set(bytes, 1);
      assertEquals(parseMap(unaligned.subarray(1)), map);
    });
  }
}

Deno.test("writeMap() writes the documented tensors and metadata", () => {
  const maps = makeMaps(2, [5, 3, 4]);
  const read = parseMap(fileOf(maps, "F32"));
  const map = { ...read, shape: { ...read.shape, sharing: "group" as const } };
  const { tensors, metadata } = readSafetensors(writeMap({ ...map, about: { command: "x" } }));
  assertEquals(metadata, {
    command: "x",
    map_version: "1",
    head_dim: "5",
    layers: "2",
    hidden: "3",
    bits: "4",
    heads: "2",
    sharing: "group",
  });
  const wanted = tensorsOf(maps, "F32");
  assertEquals([...tensors.keys()], [...wanted.keys()].sort());
  for (const [name, tensor] of wanted) assertEquals(tensors.get(name), tensor, name);
  assertEquals(parseMap(writeMap(map)).shape.sharing, "group");
});

Deno.test("parseMap() reads one attention layer from a file with the authors' names", () => {
  const [seventh, tenth] = [makeMaps(2, [5, 3, 3, 4], 7), makeMaps(2, [5, 3, 3, 4], 10)];
  const both = writeSafetensors(
    new Map([
      ...tensorsOf(seventh, "F32", authorsName(7)),
      ...tensorsOf(tenth, "F32", authorsName(10)),
    ]),
  );
  assertMaps(both, seventh, { layer: 7 });
  assertMaps(both, tenth, { layer: 10 });
  const names = [...readSafetensors(both).tensors.keys()];
  assert(names.includes("10.learning_to_hash_transformation_k.1.4.weight"));
  const which = "the file has maps of layers 7, 10; choose one with the option layer";
  assertThrows(() => parseMap(both), InvalidFileError, which);
  const none = "the file has no map of layer 1, only of";
  assertThrows(() => parseMap(both, { layer: 1 }), InvalidFileError, none);

  const alone = tensorsOf(seventh, "F32", authorsName(7));
  assertMaps(writeSafetensors(alone), seventh);
  alone.delete("7.learning_to_hash_transformation_q.1.2.bias");
  const missing = 'the map has no tensor "7.learning_to_hash_transformation_q.1.2.bias"';
  assertThrows(() => parseMap(writeSafetensors(alone)), InvalidFileError, missing);
  const odd = new Map([
    ...tensorsOf(seventh, "F32", authorsName(7)),
    ["7.learning_to_hash_transformation_q.1.1.bias", tensorOf("F32", [3], [1, 2, 3])],
  ]);
  const unknown = 'transformation_q.1.1.bias" does not belong to a map of 3 layers';
  assertThrows(() => parseMap(writeSafetensors(odd)), InvalidFileError, unknown);
});

Deno.test("parseMap() widens bf16 to f32 without changing a value", () => {
  const weight = tensorOf("BF16", [2, 1], [1.5, -0.0078125]);
  const bias = tensorOf("BF16", [2], [2 ** 127, 2 ** -133]);
  const tensors = new Map([["q.0.0.weight", weight], ["q.0.0.bias", bias]]);
  tensors.set("k.0.0.weight", weight).set("k.0.0.bias", bias);
  const { shape, key } = parseMap(writeSafetensors(tensors));
  assertEquals(shape.map.dtype, "f32");
  assertEquals([...key], [1.5, -0.0078125, 2 ** 127, 2 ** -133]);
});
