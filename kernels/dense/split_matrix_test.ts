import { assertEquals } from "@std/assert";
import type { Params } from "../core/variant.ts";
import { type Factors, testCase } from "../../testing/testing_grid.ts";
import { emulated, EMULATED_MATRICES } from "../../testing/emulated_matrices.ts";
import { assertCorrect, openTestDevice } from "../../testing/testing_suite.ts";
import { denseSplitMatrix } from "./split_matrix.ts";

const bare = await openTestDevice();
const limits = { ...bare.limits, subgroupMatrices: EMULATED_MATRICES };
const testDevice = { ...bare, limits };
// Eight threads of a subgroup share the softmax of a head.
const ignore = !testDevice.features.has("subgroups") || (limits.subgroupMinSize ?? 0) < 8;
const variant = emulated(denseSplitMatrix);

const CASES: Record<string, [Partial<Factors>, Params?]> = {
  "a group of 8": [{ heads: [16, 2], lengths: [77, 272] }],
};

for (const [name, [factors, own]] of Object.entries(CASES)) {
  Deno.test({
    name: `dense/split_matrix without matrices: ${name}`,
    ignore,
    async fn() {
      const test = testCase({ dtype: "f16", headDim: 128, ...factors });
      const params = { ...denseSplitMatrix.defaults(test.p, limits), ...own };
      assertEquals(denseSplitMatrix.refuses(test.p, params, limits), undefined);
      await assertCorrect(testDevice, variant, test, params);
    },
  });
}
