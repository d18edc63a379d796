import { assertEquals } from "@std/assert";
import type { Params } from "../core/problem/constants.ts";
import { type Factors, type TestCase, testCase } from "../../testing/cases/grid.ts";
import { assertCorrect } from "../../testing/cases/suite.ts";
import { openTestDevice, runVariant } from "../../testing/device/test_device.ts";
import { makeInputs } from "../../testing/inputs/inputs.ts";
import { verify } from "../verify/verify.ts";
import { denseSplitMatrix } from "./split_matrix.ts";

const testDevice = await openTestDevice();
const { limits } = testDevice;
// Eight threads of a subgroup share the softmax of a head.
const ignore = !testDevice.features.has("subgroups") || (limits.subgroupMinSize ?? 0) < 8;

/** Settings whose shaders compile several times faster on a software adapter. */
const LIGHT: Params = { TILE: 32, WORKGROUP: 64, SLICES: 4 };

async function assertEmulated(test: TestCase, own: Params): Promise<void> {
  const params = { ...denseSplitMatrix.defaults(test.p, limits), ...own };
  assertEquals(denseSplitMatrix.refuses(test.p, params, limits), undefined);
  await assertCorrect(testDevice, denseSplitMatrix, test, params);
}

const CASES: Readonly<Record<string, [Partial<Factors>, Params]>> = {
  "logits that rise over several flushes": [
    { heads: [8, 1], capacity: 1040, lengths: [1031], kind: "rising-logits" },
    { ...LIGHT, SPLITS: 2, FLUSH: 4 },
  ],
  "a group of 16, long after its maximum": [
    { heads: [16, 1], lengths: [1031, 3], capacity: 1040, kind: "falling-logits" },
    { TILE: 32, SPLITS: 2, FLUSH: 4, SLICES: 4 },
  ],
  "a group of 9 in a full cache": [
    { heads: [9, 1], lengths: [272, 1], capacity: 272, kind: "outliers" },
    { TILE: 64, SLICES: 4 },
  ],
  "two subgroups share a dimension's keys": [
    { heads: [5, 1], lengths: [131], kind: "alternating" },
    { TILE: 32, SLICES: 4 },
  ],
  "each subgroup has two blocks of a tile's tokens": [
    { heads: [8, 1], lengths: [150] },
    { ...LIGHT, TILE: 64, SPLITS: 2 },
  ],
  "a group of 4 in one block of each subgroup": [
    { heads: [4, 1], headDim: 128, lengths: [200], kind: "one-huge-logit" },
    { SPLITS: 2 },
  ],
};

for (const [name, [factors, own]] of Object.entries(CASES)) {
  Deno.test({
    name: `dense/split_matrix: without matrices, ${name}`,
    ignore,
    fn: () => assertEmulated(testCase({ dtype: "f16", headDim: 64, ...factors }), own),
  });
}

Deno.test({
  name: "dense/split_matrix: without matrices, one element of a query is large, wherever it lies",
  ignore,
  async fn() {
    const { p, options } = testCase({
      dtype: "f16",
      heads: [16, 1],
      headDim: 128,
      lengths: [40, 33],
    });
    const params = { ...denseSplitMatrix.defaults(p, limits), SPLITS: 1, SLICES: 4 };
    const inputs = makeInputs(denseSplitMatrix, p, params, options);
    const q = (inputs.q as Float32Array<ArrayBuffer>).slice();
    // Each of the 32 rows has it in another quad. Divided by less, it would be no f16.
    for (let row = 0; row < 32; row++) q[row * p.headDim + row * 4] = 1e6;
    const read = await runVariant(testDevice, denseSplitMatrix, p, params, { ...inputs, q });
    assertEquals((await verify(denseSplitMatrix, p, params, read)).ok, true);
  },
});

Deno.test("dense/split_matrix: refuses what it does not serve in a sentence", () => {
  const refusal = (factors: Partial<Factors>, own: Params = {}, device = limits) => {
    const { p } = testCase({ dtype: "f16", heads: [8, 1], headDim: 64, ...factors });
    return denseSplitMatrix.refuses(p, { ...denseSplitMatrix.defaults(p, device), ...own }, device);
  };
  const generous = { ...limits, maxComputeWorkgroupStorageSize: 65536 };
  assertEquals(refusal({}, {}, generous), undefined);
  const expected: [Partial<Factors>, Params, string][] = [
    [{ dtype: "bf16" }, {}, "it takes keys and values in f16, and these are bf16"],
    [{ heads: [3, 1] }, {}, "it serves groups of 4 to 16 query heads, and these have 3"],
    [{ heads: [17, 1] }, {}, "it serves groups of 4 to 16 query heads, and these have 17"],
    [{ headDim: 96 }, {}, "it takes rows of 64, 128 and 256, and these have 96"],
    [{ headDim: 192 }, {}, "it takes rows of 64, 128 and 256, and these have 192"],
    [{}, { WORKGROUP: 256 }, "8 subgroups cannot share 64 dimensions by sixteens"],
    [
      { heads: [9, 1] },
      { WORKGROUP: 64 },
      "64 threads are too few for the softmax of 9 query heads",
    ],
    [
      { headDim: 256 },
      { TILE: 64 },
      "the tile of 64 rows of 256 would take all registers of 128 threads",
    ],
  ];
  for (const [factors, own, sentence] of expected) {
    assertEquals(refusal(factors, own, generous), sentence);
  }
  const none = { ...generous, subgroupMatrices: [] };
  assertEquals(refusal({}, {}, none)?.startsWith("it needs matrices of 16 x 16 x 16"), true);
});
