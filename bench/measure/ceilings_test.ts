import { assertAlmostEquals } from "@std/assert";
import { type Ceilings, floorUs } from "./ceilings.ts";

/** 1 MB takes 8 us beyond a dispatch of 2 us, in any order; 10 TFLOP/s. */
const ladder = [{ bytes: 1e6, us: 10 }];
const ceilings: Ceilings = {
  stream: ladder,
  gather: [{ bytes: 1e6, us: 18 }],
  dispatchUs: 2,
  flopsPerUs: 1e7,
};
const cost = { streamBytes: 1e6, gatherBytes: 0, writeBytes: 0, flops: 0 };

Deno.test("the floor is bytes or arithmetic, whichever takes longer, and the dispatches", () => {
  assertAlmostEquals(floorUs(ceilings, cost, 1), 10);
  assertAlmostEquals(floorUs(ceilings, { ...cost, flops: 5e7 }, 2), 12);
  assertAlmostEquals(floorUs(ceilings, { ...cost, flops: 5e9 }, 2), 504);
  assertAlmostEquals(floorUs(ceilings, { ...cost, gatherBytes: 1e6, flops: 2e8 }, 1), 26);
});
