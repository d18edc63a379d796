import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import fc from "fast-check";
import { createRandom } from "../../fixtures/random.ts";
import {
  factorByte,
  factorValue,
  keyFactor,
  rotate,
  rotationSign,
  rotationWidth,
} from "./rotation.ts";

Deno.test("rotate() keeps lengths and dot products if it keeps all outputs", () => {
  const random = createRandom(3);
  for (
    const [headDim, bits] of [[64, 64], [128, 128], [64, 128], [96, 128], [80, 128]]
  ) {
    const [a, b] = [0, 1].map(() => Float64Array.from({ length: headDim }, () => random.normal()));
    const [ya, yb] = [a, b].map((row) => rotate(row, bits, 7));
    const dot = (x: Float64Array, y: Float64Array) =>
      x.reduce((sum, each, i) => sum + each * y[i], 0);
    assertAlmostEquals(dot(ya, yb), dot(a, b), 1e-12);
    assertAlmostEquals(dot(ya, ya), dot(a, a), 1e-12);
  }
});

Deno.test("rotate() is the Hadamard matrix times the signs, element by element", () => {
  const width = rotationWidth(96, 64);
  assertEquals(width, 128);
  for (const d of [0, 1, 50, 95]) {
    const row = new Float64Array(96);
    row[d] = 1;
    rotate(row, 64, 9).forEach((y, j) => {
      let ones = 0;
      for (let both = j & d; both > 0; both >>= 1) ones += both & 1;
      assertAlmostEquals(y, rotationSign(d, 9) * (ones % 2 === 0 ? 1 : -1) / Math.sqrt(128), 1e-15);
    });
  }
});

Deno.test("rotationSign() gives about half of the elements each sign, others for each seed", () => {
  for (const seed of [0, 1, 2, 0xffffffff]) {
    const negative = Array.from({ length: 256 }, (_, d) => rotationSign(d, seed))
      .filter((sign) => sign < 0).length;
    assert(Math.abs(negative - 128) < 40, `${negative} of seed ${seed}`);
  }
  // Codes outlive a session: these signs must never change.
  const first = Array.from({ length: 16 }, (_, d) => rotationSign(d, 1) < 0 ? "-" : "+").join("");
  assertEquals(first, "+-+++--++++++---");
});

Deno.test("keyFactor() is |y|^2 / |y|_1, and 0 for zeros", () => {
  assertEquals(keyFactor([3, -4, 0]), 25 / 7);
  assertEquals(keyFactor([0, 0]), 0);
});

Deno.test("factorByte() rounds to the nearest number that a byte holds", () => {
  const values = Array.from({ length: 256 }, (_, byte) => factorValue(byte));
  values.forEach((value, byte) => {
    if (byte > 0) assert(value > values[byte - 1], `byte ${byte}`);
    assertEquals(factorByte(value / 2048), byte);
  });
  const anyFactor = fc.double({ min: 1e-9, max: 300, noNaN: true });
  // Between 15.5 and 16 bytes change from whole numbers to powers of two.
  const aroundSteps = fc.double({ min: 14 / 2048, max: 17 / 2048, noNaN: true });
  fc.assert(fc.property(fc.oneof(anyFactor, aroundSteps), (factor) => {
    const byte = factorByte(factor);
    const error = Math.abs(values[byte] - factor * 2048);
    const nearest = Math.min(...values.slice(1).map((value) => Math.abs(value - factor * 2048)));
    assert(error <= nearest + 1e-9, `factor ${factor}`);
  }));
});
