import { assertAlmostEquals, assertThrows } from "@std/assert";
import { type Roofline, rooflineOf, rooflineUs } from "./roofline.ts";

/** Streaming 1 MB takes 8 us and gathering it 16 us, plus a dispatch of 2 us; 10 TFLOP/s. */
const ladder = [{ bytes: 1e6, us: 10 }];
const roofline: Roofline = {
  stream: ladder,
  gather: [{ bytes: 1e6, us: 18 }],
  dispatchUs: 2,
  flopsPerUs: 1e7,
  popcountsPerUs: 1e6,
};
const cost = { streamBytes: 1e6, gatherBytes: 0, writeBytes: 0, flops: 0 };

Deno.test("rooflineUs() takes the longer of bytes and arithmetic, and adds the dispatches", () => {
  assertAlmostEquals(rooflineUs(roofline, cost, 1), 10);
  assertAlmostEquals(rooflineUs(roofline, { ...cost, flops: 5e7 }, 2), 12);
  assertAlmostEquals(rooflineUs(roofline, { ...cost, flops: 5e9 }, 2), 504);
  assertAlmostEquals(rooflineUs(roofline, { ...cost, gatherBytes: 1e6, flops: 2e8 }, 1), 26);
  assertAlmostEquals(rooflineUs(roofline, { ...cost, flops: 5e7, popcounts: 5e7 }, 1), 52);
});

Deno.test("rooflineUs() takes the rate of matrix units for what they compute", () => {
  const onMatrices = { ...cost, flops: 1e9, onMatrices: true as const };
  const probe = (name: string, us: number, flops?: number) => ({
    name,
    us,
    bytes: 0,
    operations: flops === undefined ? {} : { flops },
  });
  const counter = { ...probe("probe/popcount", 12), operations: { popcounts: 1e7 } };
  const probes = [probe("probe/chain", 2), probe("probe/fma", 12, 1e8), counter];
  const found = rooflineOf([...probes, probe("probe/matrix", 12, 1e9), ...[
    { ...probe("probe/stream 1 KiB", 10), bytes: 1e6 },
    { ...probe("probe/gather 1 KiB of 256 B", 18), bytes: 1e6 },
  ]]);
  assertAlmostEquals(rooflineUs(found, onMatrices, 1), 12);
  assertAlmostEquals(rooflineUs(found, { ...cost, flops: 1e9 }, 1), 102);
  assertAlmostEquals(rooflineUs(found, { ...cost, popcounts: 1e8 }, 1), 102);
  assertThrows(() => rooflineUs(roofline, onMatrices, 1), RangeError, "probe/matrix did not run");
});
