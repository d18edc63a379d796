import { assert, assertEquals, assertGreater } from "@std/assert";
import { prepare } from "../../bench/measure/prepared_variant.ts";
import { canRun, openTestDevice } from "../../testing/testing.ts";
import { rotatedCase, type TestCase, testCase } from "../../testing/testing_grid.ts";
import { limitsForHeads, piecedInputs } from "../../testing/testing_pieces.ts";
import { pieceProblem, piecesOf, planOn } from "./pieces.ts";
import { findVariant, VARIANTS } from "./registry.ts";
import type { Variant } from "./variant.ts";

const testDevice = await openTestDevice();

/** Asserts that a variant in pieces computes what the references do, twice on the same scratch. */
async function assertPieces(
  variant: Variant,
  { p, options }: TestCase,
  heads: number,
): Promise<void> {
  const limits = limitsForHeads(testDevice.limits, p, heads);
  const params = variant.defaults(p, limits);
  assertEquals(variant.refuses(p, params, limits), undefined, variant.name);
  const inputs = piecedInputs(testDevice, limits, variant, p, params, options);
  const prepared = await prepare(inputs, variant, params, { hot: true, layers: 1 });
  for (const run of [1, 2]) {
    const found = await prepared.verify(0);
    assert(found.ok, `${variant.name}, run ${run}: ${JSON.stringify(found)}`);
  }
  prepared.destroy();
  inputs.destroy();
}

const BY_MAP = testCase({ heads: [16, 4], headDim: 64, lengths: [700], capacity: 1024, layers: 1 });
const SHARED = testCase({
  heads: [16, 4],
  headDim: 64,
  lengths: [700],
  capacity: 1024,
  layers: 1,
  bits: 128,
  sharing: "group",
});
const ROTATED = rotatedCase({
  heads: [6, 6],
  headDim: 64,
  lengths: [700],
  capacity: 1024,
  centre: true,
});

for (const variant of VARIANTS) {
  const test = [BY_MAP, SHARED, ROTATED].find(({ p }) => {
    const limits = limitsForHeads(testDevice.limits, p, 2);
    return !variant.refuses(p, variant.defaults(p, limits), limits);
  });
  Deno.test({
    name: `${variant.name} computes the same in pieces of two KV heads`,
    ignore: !canRun(testDevice, variant) || !test,
    fn: () => assertPieces(variant, test!, 2),
  });
}
