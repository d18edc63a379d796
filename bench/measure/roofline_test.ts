import { assertAlmostEquals } from "@std/assert";
import { type Roofline, rooflineUs } from "./roofline.ts";

/** Streaming 1 MB takes 8 us and gathering it 16 us, plus a dispatch of 2 us; 10 TFLOP/s. */
const ladder = [{ bytes: 1e6, us: 10 }];
const roofline: Roofline = {
  stream: ladder,
  gather: [{ bytes: 1e6, us: 18 }],
  dispatchUs: 2,
  flopsPerUs: 1e7,
};
const cost = { streamBytes: 1e6, gatherBytes: 0, writeBytes: 0, flops: 0 };

Deno.test("rooflineUs() takes the longer of bytes and arithmetic, and adds the dispatches", () => {
  assertAlmostEquals(rooflineUs(roofline, cost, 1), 10);
  assertAlmostEquals(rooflineUs(roofline, { ...cost, flops: 5e7 }, 2), 12);
  assertAlmostEquals(rooflineUs(roofline, { ...cost, flops: 5e9 }, 2), 504);
  assertAlmostEquals(rooflineUs(roofline, { ...cost, gatherBytes: 1e6, flops: 2e8 }, 1), 26);
});
