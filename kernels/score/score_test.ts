import { assert, assertEquals } from "@std/assert";
import { POISON } from "../core/run/run.ts";
import { canRun, openTestDevice, runVariant } from "../../testing/device/test_device.ts";
import { makeInputs } from "../../testing/inputs/inputs.ts";
import { rotatedCase, testCase } from "../../testing/cases/grid.ts";
import { testStage, variantsOf } from "../../testing/cases/suite.ts";
import { listHeads, maxDistance } from "../core/problem/derived.ts";
import { histogramReference, scoreReference } from "./reference.ts";

const small = [
  testCase({ heads: [8, 2], sharing: "group", lengths: [600, 37], capacity: 1040 }),
  rotatedCase({ heads: [8, 2], lengths: [600, 37], capacity: 1040 }),
];

const testDevice = await openTestDevice();

testStage("score", testDevice, small, {
  "one token": testCase({ heads: [4, 1], lengths: [1], windows: [0, 0] }),
  "every code all ones": testCase({ heads: [4, 1], lengths: [509], codeKind: "all-ones" }),
  "all distances equal": testCase({ heads: [4, 1], lengths: [509], codeKind: "all-equal" }),
  "a full cache": testCase({ heads: [4, 1], lengths: [1040, 16], capacity: 1040 }),
  "rotated: one token": rotatedCase({ heads: [4, 1], lengths: [1], windows: [0, 0] }),
  "rotated: equal codes and factors": rotatedCase({
    heads: [4, 1],
    lengths: [509],
    codeKind: "all-equal",
  }),
  "rotated: the largest factors and 256 bins": rotatedCase({
    heads: [32, 1],
    planes: 3,
    bins: 256,
    lengths: [509],
    codeKind: "all-ones",
  }),
  "distances of two bytes": testCase({
    heads: [64, 1],
    bits: 64,
    sharing: "group",
    lengths: [509],
  }),
});

for (const variant of variantsOf("score")) {
  Deno.test({
    name: `${variant.name}: no list writes into another's histograms`,
    ignore: !canRun(testDevice, variant),
    async fn() {
      const factors = { heads: [8, 2], lengths: [600, 37], capacity: 4096 } as const;
      const isRotated = variant.name === "score/rotated";
      const { p, options } = isRotated ? rotatedCase(factors) : testCase(factors);
      const params = variant.defaults(p, testDevice.limits);
      const inputs = makeInputs(variant, p, params, options);
      const read = await runVariant(testDevice, variant, p, params, inputs);
      const blockBytes = 4 * (maxDistance(p) + 1);
      const blocks = Math.ceil(p.capacity / params.BLOCK);
      for (let list = 0; list < p.batch * listHeads(p); list++) {
        const written = Math.ceil(options.lengths[Math.floor(list / listHeads(p))] / params.BLOCK);
        assert(written < blocks);
        const unwritten = (list * blocks + written) * blockBytes;
        const bytes = await read("block_histograms", unwritten, (blocks - written) * blockBytes);
        assert(bytes.every((byte) => byte === POISON), `list ${list}`);
      }
    },
  });
}

Deno.test("scoreReference() adds up differing bits over words and queries", () => {
  const queries = Uint32Array.of(0, 0xffffffff, 0b101, 0);
  const codes = Uint32Array.of(0, 0xffffffff, 0x80000000, 0);
  assertEquals([...scoreReference(queries, codes, 2)], [0 + 0 + 2 + 32, 1 + 32 + 3 + 0]);
});

Deno.test("histogramReference() counts only middle tokens, block by block", () => {
  const windows = { sinkEnd: 1, recentStart: 5, kEff: 0, attended: 2 };
  const counts = histogramReference([2, 0, 1, 1, 2, 0], 3, windows, 3);
  assertEquals([...counts], [1, 1, 0, 0, 1, 1]);
});
