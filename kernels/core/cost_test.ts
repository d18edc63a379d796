import { assert, assertEquals } from "@std/assert";
import { costBytes, type DeviceLimits, type Variant } from "./variant.ts";
import { EVERY_VARIANT, findVariant, RIVALS } from "./registry.ts";
import { testCase } from "../../testing/cases/grid.ts";

const LIMITS: DeviceLimits = {
  maxStorageBufferBindingSize: 2 ** 30,
  maxBufferSize: 2 ** 30,
  maxComputeWorkgroupStorageSize: 32768,
  maxComputeInvocationsPerWorkgroup: 1024,
  maxComputeWorkgroupsPerDimension: 65535,
  maxStorageBuffersPerShaderStage: 16,
  maxUniformBufferBindingSize: 65536,
  subgroupMinSize: 32,
};

const { p: equal } = testCase({ heads: [8, 2], lengths: [4096, 4096], windows: [8, 16] });
const { lengths: _none, ...plain } = equal;
const { p: unequal } = testCase({ heads: [8, 2], lengths: [4096, 16], windows: [8, 16] });

/**
 * Encoding one token and joining partials cost the same for every sequence length within one
 * capacity, and so does a dense kernel that reads the cache to its capacity.
 */
const dependsOnLength = ({ name, stage }: Variant) =>
  !["encode_query", "encode_append", "merge"].includes(stage) && name !== "dense/gpt_fast";

for (const variant of EVERY_VARIANT) {
  Deno.test(`${variant.name}: its cost depends on the length of each sequence`, () => {
    const params = variant.defaults(plain, LIMITS);
    assertEquals(variant.cost(equal, params), variant.cost(plain, params));
    const [all, fewer] = [plain, unequal].map((p) => variant.cost(p, params));
    if (!dependsOnLength(variant)) assertEquals(fewer, all);
    else {
      assert(
        costBytes(fewer) < costBytes(all) && fewer.flops <= all.flops,
        "fewer tokens must cost fewer bytes, and no more FLOPs",
      );
    }
  });
}

/** Bytes per token and KV head that a score reads, of f16 keys of 128 elements, 4 query heads each. */
const INDEX_BYTES: Readonly<Record<string, number>> = {
  "score/dot": 256,
  "score/dot_subgroup": 256,
  "score/pages": 32,
  "score/labels": 32,
  "score/head_labels": 32 * 4,
  "score/packed_labels": 12,
  "score/pq_2": 2,
  "score/pq_4": 4,
  "score/pq_8": 8,
  "score/pq_16": 16,
  // 132 bytes, which all KV heads share; here are two.
  "score/index": 66,
  "score/index_unpacked": 66,
};

Deno.test("scores of rivals read the bytes per token and KV head that docs/methods.md says", () => {
  const scores = RIVALS.filter(({ stage }) => stage === "score");
  assertEquals(scores.map(({ name }) => name).sort(), Object.keys(INDEX_BYTES).sort());
  const problemOf = (kvLen: number) =>
    testCase({ heads: [8, 2], headDim: 128, lengths: [kvLen], capacity: 8192 }).p;
  for (const variant of scores) {
    const [half, whole] = [4096, 8192].map((kvLen) => {
      const p = problemOf(kvLen);
      return variant.cost(p, variant.defaults(p, LIMITS)).streamBytes;
    });
    assertEquals((whole - half) / (4096 * 2), INDEX_BYTES[variant.name], variant.name);
  }
});

Deno.test("a code of 128 bits that a group shares costs 16 bytes per token and KV head, as HATA's", () => {
  const hamming = findVariant("score/hamming");
  const [half, whole] = [4096, 8192].map((kvLen) => {
    const lengths = [kvLen];
    const factors = {
      heads: [8, 2],
      bits: 128,
      sharing: "group",
      lengths,
      capacity: 8192,
    } as const;
    const { p } = testCase(factors);
    return hamming.cost(p, hamming.defaults(p, LIMITS)).streamBytes;
  });
  assertEquals((whole - half) / (4096 * 2), 16);
});
