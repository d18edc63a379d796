import { assert, assertEquals } from "@std/assert";
import type { Variant } from "../core/variant.ts";
import { HEAD_DIMS } from "../core/problem/constants.ts";
import { LARGE_LIMITS } from "../core/device_limits.ts";
import { checkFits } from "../core/run/program.ts";
import { testCase } from "../../testing/cases/grid.ts";
import { assertCorrect, testStage } from "../../testing/cases/suite.ts";
import { openTestDevice } from "../../testing/device/test_device.ts";
import { flash } from "./flash.ts";

const testDevice = await openTestDevice();
const { limits } = testDevice;
const small = testCase({ heads: [6, 2], lengths: [37, 90] });

testStage("prefill", testDevice, small, {
  "one token": testCase({ heads: [4, 1], lengths: [1] }),
  "one huge logit at a prime length": testCase({
    heads: [4, 1],
    lengths: [251],
    kind: "one-huge-logit",
  }),
  "whole tiles, and one token more or less": testCase({ heads: [1, 1], lengths: [128, 129, 127] }),
  "rows past the end are NaN": testCase({ heads: [2, 2], lengths: [65, 3], dtype: "bf16" }),
  "tiles with a part of a token's heads": testCase({ heads: [5, 1], lengths: [77] }),
  "the largest group": testCase({ heads: [64, 1], headDim: 112, lengths: [19] }),
});

Deno.test("flash.plan() divides a long prompt into dispatches that cover every tile once", () => {
  const p = (tokens: number) => testCase({ heads: [32, 8], headDim: 128, lengths: [tokens] }).p;
  const parts = (tokens: number) => {
    const params = flash.defaults(p(tokens), LARGE_LIMITS);
    const plan = flash.plan(p(tokens), params);
    checkFits(plan, LARGE_LIMITS);
    return plan.dispatches.map(({ workgroups }) => workgroups);
  };
  const { ROWS } = flash.defaults(p(8192), LARGE_LIMITS);
  assertEquals(parts(8192), [[8, 1, 8192 * 4 / ROWS]]);
  const long = parts(65536);
  assert(long.length > 4);
  assertEquals(long.map(([, y]) => y), long.map((_, part) => part + 1));
  const [, , perPart] = long[0];
  assert(long.every(([x, , z]) => x === 8 && z === perPart));
  assertEquals(Math.ceil(65536 * 4 / ROWS / perPart), long.length);
});

Deno.test("flash gives the right output in several dispatches", async () => {
  const parted: Variant = {
    ...flash,
    plan(p, params) {
      const plan = flash.plan(p, params);
      const [{ workgroups: [heads, , tiles], ...first }] = plan.dispatches;
      const parts = Array.from({ length: Math.ceil(tiles / 2) }, (_, part) => part + 1);
      return { ...plan, dispatches: parts.map((y) => ({ ...first, workgroups: [heads, y, 2] })) };
    },
  };
  await assertCorrect(testDevice, parted, small);
});

Deno.test("flash.defaults() fit 16 KiB of workgroup memory for every head dim", () => {
  const least = { ...limits, maxComputeWorkgroupStorageSize: 16384 };
  for (const headDim of HEAD_DIMS) {
    for (const dtype of ["f16", "f32"] as const) {
      const { p } = testCase({ headDim, dtype });
      for (const device of [least, LARGE_LIMITS]) {
        assertEquals(flash.refuses(p, flash.defaults(p, device), device), undefined);
      }
    }
  }
});
