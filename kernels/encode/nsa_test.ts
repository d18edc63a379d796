import { assertEquals } from "@std/assert";
import { openTestDevice, runVariant } from "../../testing/device/test_device.ts";
import { makeInputs } from "../../testing/inputs/inputs.ts";
import { testCase } from "../../testing/cases/grid.ts";
import { testStage } from "../../testing/cases/suite.ts";
import { nsaCompress } from "./nsa_compress.ts";

const testDevice = await openTestDevice();

// The compressed row of keys that every 16th token completes.
const grid = (["f16", "bf16", "f32"] as const).flatMap((dtype) =>
  [[256], [160, 48]].map((lengths) => testCase({ heads: [2, 1], headDim: 80, dtype, lengths }))
);

testStage("encode_append", testDevice, testCase({ heads: [1, 1], lengths: [48, 64] }), {
  "the first row": testCase({ heads: [1, 1], headDim: 128, lengths: [32] }),
  "rows behind a ring that begins anywhere": testCase({ heads: [2, 2], lengths: [80, 96, 112] }),
}, {
  variants: [nsaCompress],
  grid,
});

Deno.test("encode/nsa_compress: writes one row at every 16th token, and nothing at others", async () => {
  const variant = nsaCompress;
  const lengths = [15, 16, 31, 33, 47, 63, 48];
  const { p, options } = testCase({ heads: [1, 1], lengths });
  const params = variant.defaults(p, testDevice.limits);
  const inputs = makeInputs(variant, p, params, options);
  const read = await runVariant(testDevice, variant, p, params, inputs);
  const rowBytes = 2 * p.headDim;
  const headBytes = rowBytes * (p.capacity + p.capacity / 16 + 512);
  for (const name of ["branch_keys", "branch_values"]) {
    const written: number[][] = [];
    for (let sequence = 0; sequence < lengths.length; sequence++) {
      const rows = await read(name, sequence * headBytes, headBytes);
      const poison = rows.slice(0, rowBytes).join();
      for (let row = 0; row < headBytes / rowBytes; row++) {
        const bytes = rows.slice(row * rowBytes, (row + 1) * rowBytes);
        if (bytes.join() !== poison) written.push([sequence, row]);
      }
    }
    assertEquals(written, [[6, p.capacity + 1]], name);
  }
});
