import { assertEquals } from "@std/assert";
import { createRandom } from "../../../fixtures/random.ts";
import { magnitudeOf, magnitudeUnits } from "../../../kernels/encode/reference.ts";
import { scoreReference } from "../../../kernels/score/reference.ts";
import { packKeys, packQueries } from "./query_codes.ts";

const BITS = 64;

for (const planes of [0, 1, 2, 3]) {
  Deno.test(`codes of ${planes} planes score the weights of the bits that differ`, () => {
    const random = createRandom(planes);
    const rows = (count: number) =>
      Float32Array.from({ length: count * BITS }, () => 0.7 * random.normal());
    const [queries, keys] = [rows(3), rows(20)];
    const queryCodes = packQueries(queries, BITS, planes);
    const keyCodes = packKeys(keys, BITS);
    const words = BITS / 32;
    assertEquals([queryCodes.length, keyCodes.length], [3 * (1 + planes) * words, 20 * words]);
    for (let query = 0; query < 3; query++) {
      const row = queries.subarray(query * BITS, (query + 1) * BITS);
      const units = magnitudeUnits(row.map(Math.tanh), planes);
      const weights = row.map((_, j) => planes === 0 ? 1 : magnitudeOf(units[j], planes));
      const want = Array.from({ length: 20 }, (_, key) =>
        row.reduce(
          (sum, x, j) => sum + ((x > 0) !== (keys[key * BITS + j] > 0) ? weights[j] : 0),
          0,
        ));
      const code = queryCodes.subarray(query * (1 + planes) * words);
      const got = scoreReference(code.subarray(0, (1 + planes) * words), keyCodes, words, planes);
      assertEquals([...got], want);
    }
  });
}

Deno.test("a query of zeros weighs no bit", () => {
  assertEquals([...packQueries(new Float32Array(BITS), BITS, 2)], [0, 0, 0, 0, 0, 0]);
});
