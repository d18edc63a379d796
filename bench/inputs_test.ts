import { assertEquals, assertRejects } from "@std/assert";
import { openTestDevice } from "../kernels/testing.ts";
import { testCase } from "../kernels/testing_grid.ts";
import { InputSets } from "./inputs.ts";

const { device, limits } = await openTestDevice();
const { p } = testCase({ heads: [4, 1], lengths: [64] });
const SPEC = { bytes: 4, role: "input" } as const;

Deno.test("a spent budget ends the sets, but never the first", async () => {
  const inputs = new InputSets(device, p, { limits, seed: 1, budgetBytes: 1, unroll: false });
  const first = await inputs.get("lengths", SPEC, {}, 0);
  assertEquals(await inputs.get("lengths", SPEC, {}, 0), first);
  await assertRejects(
    () => inputs.get("lengths", SPEC, {}, 1),
    RangeError,
    "lengths needs 16 bytes beyond the 1 set aside for inputs",
  );
  inputs.destroy();
});
