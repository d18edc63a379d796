import { assertEquals } from "@std/assert";
import type { Params } from "../core/variant.ts";
import { type Factors, testCase } from "../../testing/testing_grid.ts";
import { emulated, EMULATED_MATRICES } from "../../testing/emulated_matrices.ts";
import { assertCorrect, openTestDevice } from "../../testing/testing_suite.ts";
import { flashMatrix } from "./flash_matrix.ts";

const bare = await openTestDevice();
const limits = { ...bare.limits, subgroupMatrices: EMULATED_MATRICES };
const testDevice = { ...bare, limits };
const ignore = !testDevice.features.has("subgroups");
const variant = emulated(flashMatrix);

const CASES: Record<string, [Partial<Factors>, Params?]> = {
  "D 64": [{ heads: [4, 1], headDim: 64, lengths: [77] }],
  "D 128": [{ heads: [4, 1], headDim: 128, lengths: [77] }],
  "one token": [{ heads: [4, 1], headDim: 64, lengths: [1] }],
};

for (const [name, [factors, own]] of Object.entries(CASES)) {
  Deno.test({
    name: `prefill/flash_matrix without matrices: ${name}`,
    ignore,
    async fn() {
      const test = testCase({ dtype: "f16", ...factors });
      const params = { ...flashMatrix.defaults(test.p, limits), ...own };
      assertEquals(flashMatrix.refuses(test.p, params, limits), undefined);
      await assertCorrect(testDevice, variant, test, params);
    },
  });
}
