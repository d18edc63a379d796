/** Test support: steps whose workgroups share out the tokens of unequal sequences. */
import type { Variant } from "../core/variant.ts";
import { HAND_OVER_CODE } from "../merge/hand_over.ts";
import type { TestDevice } from "../../testing/device/test_device.ts";
import type { TestCase } from "../../testing/cases/grid.ts";
import { testSetting } from "../../testing/cases/suite.ts";

/** Long and short sequences, more than there are workgroups. */
export const RAGGED: readonly number[] = [
  5000,
  1,
  700,
  1025,
  ...Array.from({ length: 16 }, (_, i) => 1 + 7 * i),
  2049,
];

/** Registers tests of few and many shares, each with another hand-over. */
export function testShares(testDevice: TestDevice, variant: Variant, test: TestCase): void {
  for (const [handOver, shares] of [["dispatch", 16], ["barrier", 3], ["atomics", 40]] as const) {
    const name = `${RAGGED.length} sequences in ${shares} shares, hand-over by ${handOver}`;
    testSetting(testDevice, variant, name, test, {
      "score.WORKGROUP": 128,
      "score.ROUNDS": 1,
      "score.SPLITS": 6,
      "score.SHARES": shares,
      "attend.SPLITS": 5,
      "attend.SHARES": 2 + shares,
      "attend.HAND_OVER": HAND_OVER_CODE[handOver],
    });
  }
}
