import { assertAlmostEquals, assertEquals } from "@std/assert";
import { createRandom } from "../../../../fixtures/random.ts";
import { encodeReference, packBits } from "../../../../kernels/encode/reference.ts";
import { rotate } from "../../../../kernels/encode/rotation.ts";
import { mapHeadLayers } from "../../../../kernels/maps/learned_map.ts";
import { smallRun } from "../../testing_trace.ts";
import { initialParams, toLearnedMap } from "./model.ts";

const START = ["--layers", "1", "--init", "rotation"];

for (const sharing of ["head", "kv"]) {
  for (const bits of [32, 128]) {
    Deno.test(`--init rotation starts at the rotation's ${bits} bits, by ${sharing}`, async () => {
      const run = await smallRun(...START, "--sharing", sharing, "--bits", String(bits));
      const { params } = run.start.state;
      const map = toLearnedMap(run.shape, params, {});
      assertEquals(map.shape.heads, sharing === "kv" ? 1 : 2);
      const random = createRandom(4);
      const row = Float64Array.from({ length: 16 }, () => random.normal());
      const want = rotate(row, bits, 1);
      for (const numbers of [map.query, map.key]) {
        for (let head = 0; head < map.shape.heads; head++) {
          const outputs = encodeReference(row, mapHeadLayers(map.shape, numbers, head));
          assertEquals(packBits(outputs), packBits(want));
          // The start is the rotation up to a factor, so all bits have the same ratio.
          const factor = outputs[0] / want[0];
          for (const [j, y] of want.entries()) assertAlmostEquals(outputs[j], factor * y, 1e-3);
        }
      }
      const scales = [params, initialParams(run.shape, 1)].map((list) => list[list.length - 1]);
      assertEquals(scales[0], scales[1]);
    });
  }
}

Deno.test("--init rotation gives the training rows outputs of root mean square 1/4", async () => {
  const run = await smallRun(...START, "--sharing", "kv", "--bits", "32", "--val", "none");
  const { shape, start } = run;
  const map = toLearnedMap(shape, start.state.params, {});
  for (const [rows, numbers] of [["q", map.query], ["k", map.key]] as const) {
    let [squares, count] = [0, 0];
    for (const context of run.split.training) {
      for (let at = 0; at < context[rows].length; at += 16) {
        const row = context[rows].subarray(at, at + 16);
        const outputs = encodeReference(row, mapHeadLayers(shape, numbers));
        squares += outputs.reduce((sum, y) => sum + y * y, 0);
        count += 32;
      }
    }
    assertAlmostEquals(Math.sqrt(squares / count), 0.25, 0.01);
  }
});
