import { assertEquals, assertMatch } from "@std/assert";
import { MATRIX_FEATURES, refusesMatrices, subgroupMatricesOf } from "./subgroup_matrices.ts";

const PRODUCT = { componentType: "f16", resultComponentType: "f32", M: 16, N: 16, K: 16 };

/** An adapter whose products' properties are not enumerable, as those of Dawn. */
function adapter(
  info: Readonly<Record<string, unknown>>,
  features: readonly string[] = MATRIX_FEATURES,
): GPUAdapter {
  const subgroupMatrixConfigs = [Object.create(PRODUCT)];
  const sizes = { subgroupMinSize: 32, subgroupMaxSize: 32, subgroupMatrixConfigs };
  return { features: new Set(features), info: { ...sizes, ...info } } as unknown as GPUAdapter;
}

Deno.test("subgroupMatricesOf() lists what an adapter offers to subgroups of 32", () => {
  assertEquals(subgroupMatricesOf(adapter({})), [PRODUCT]);
  assertEquals(subgroupMatricesOf(adapter({ subgroupMinSize: 16 })), []);
  assertEquals(subgroupMatricesOf(adapter({ subgroupMaxSize: 64 })), []);
  assertEquals(subgroupMatricesOf(adapter({ subgroupMatrixConfigs: undefined })), []);
  assertEquals(subgroupMatricesOf(adapter({}, ["subgroups", "shader-f16"])), []);
});

Deno.test("refusesMatrices() asks for one product", () => {
  assertEquals(refusesMatrices({ subgroupMatrices: [{ ...PRODUCT, K: 8 }, PRODUCT] }), undefined);
  const others = [{ M: 8 }, { N: 8 }, { K: 8 }, { componentType: "u8" }];
  for (const change of [...others, { resultComponentType: "f16" }]) {
    assertMatch(refusesMatrices({ subgroupMatrices: [{ ...PRODUCT, ...change }] })!, /^it needs/);
  }
  assertMatch(refusesMatrices({})!, /f16 with f32 sums .* this device offers none$/);
});
