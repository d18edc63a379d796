import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { packBits } from "../../../kernels/encode/reference.ts";
import { scoreReference } from "../../../kernels/score/reference.ts";
import { smallContext } from "./testing_context.ts";
import { oncePerContext, weightedCode, weightedDistances } from "./weighted_codes.ts";

const bits = 64;
const rowOf = () => fc.array(fc.integer({ min: -9, max: 9 }), { minLength: bits, maxLength: bits });

Deno.test("weightedDistances() adds up the weights of the bits that differ", () => {
  fc.assert(fc.property(rowOf(), fc.array(rowOf()), fc.nat(3), (query, keys, planes) => {
    const code = weightedCode(query, planes);
    const codes = Uint32Array.from(keys.flatMap((key) => [...packBits(key)]));
    const wanted = keys.map((key) =>
      key.reduce((sum, y, j) => sum + ((y > 0) !== (query[j] > 0) ? code.weights[j] : 0), 0)
    );
    const distances = weightedDistances(code, codes, keys.length);
    assertEquals([...distances], wanted);
    // The kernels have the same code: signs, then the planes from the lowest up.
    const masks = planes === 0 ? [] : code.masks.flatMap((mask) => [...mask]);
    const whole = Uint32Array.of(...code.signs, ...masks);
    assertEquals(distances, scoreReference(whole, codes, bits / 32, planes));
  }));
});

Deno.test("weightedCode() weighs bits by their magnitude in steps of the rms", () => {
  const outputs = [0.1, -1, 1, -9].flatMap((y) => Array<number>(8).fill(y));
  const rms = Math.hypot(0.1, 1, 1, 9) / 2;
  for (const [planes, clip] of [[1, 1.3], [2, 1.8], [3, 2.3]]) {
    const most = 2 ** planes - 1;
    const wanted = outputs.map((y) =>
      Math.min(most, Math.round(Math.abs(y) * most / (clip * rms)))
    );
    assertEquals([...weightedCode(outputs, planes).weights], wanted);
  }
  assertEquals(new Set(weightedCode(outputs, 0).weights), new Set([1]));
});

Deno.test("weightedCode() has no weight for a query of zeros, unless all bits weigh 1", () => {
  const totals = [0, 1, 2, 3].map((planes) =>
    weightedCode(new Float64Array(32), planes).weights.reduce((a, b) => a + b, 0)
  );
  assertEquals(totals, [32, 0, 0, 0]);
});

Deno.test("oncePerContext() computes once for each context and arguments", () => {
  let calls = 0;
  const made = oncePerContext((_context, a: number, b: string) => {
    calls++;
    return { a, b };
  });
  const [one, other] = [smallContext([3]), smallContext([3])];
  assert(made(one, 1, "x") === made(one, 1, "x"));
  assert(made(one, 1, "x") !== made(other, 1, "x"));
  assertEquals(made(one, 2, "x"), { a: 2, b: "x" });
  assertEquals(made(one, 1, "y"), { a: 1, b: "y" });
  assertEquals(calls, 4);
});
