import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertGreater,
  assertLess,
  assertMatch,
} from "@std/assert";
import { DEFAULT_LIMITS } from "../../kernels/core/device_limits.ts";
import { casesOf } from "../cases/cases.ts";
import { type CaseEstimate, estimateCase, type EstimateSettings, TimeLeft } from "./estimate.ts";
import { parseOptions } from "../run/options.ts";

const SETTINGS: EstimateSettings = {
  limits: { ...DEFAULT_LIMITS, maxStorageBufferBindingSize: 2 ** 31 },
  software: false,
  hot: false,
  layers: 1,
  maxTimeMs: 10_000,
  inputBytes: 6e9,
};

function estimate(line: string, changes: Partial<EstimateSettings> = {}): CaseEstimate {
  const [{ problem, variants }] = casesOf(parseOptions(line.split(" ")));
  return estimateCase(problem, variants, { ...SETTINGS, ...changes });
}

Deno.test("estimateCase() on a GPU takes the time limit, and a quarter of it for probes", () => {
  const one = estimate("--kernels dense/split --kv 8k");
  assertEquals([one.kernels, one.sampleMs], [1, 12_500]);
  assertEquals(estimate("--kernels dense/split --kv 8k", { maxTimeMs: 1000 }).sampleMs, 1250);
  assertGreater(estimate("--kernels dense --kv 8k").checkMs, one.checkMs);
});

Deno.test("estimateCase() counts the sets of cold inputs, up to the bytes set aside", () => {
  const bytes = (changes: Partial<EstimateSettings>) =>
    estimate("--kernels dense/split --kv 8k", changes).memoryBytes;
  // K and V of 8 heads of 128 in f16, and little else.
  const once = 2 * 8192 * 8 * 128 * 2;
  assertAlmostEquals(bytes({ hot: true }) / once, 1, 0.1);
  assertAlmostEquals(bytes({ layers: 32, inputBytes: 1e12 }) / once, 32, 1);
  assertAlmostEquals(bytes({ software: true }), bytes({ hot: true }));
  assertGreater(bytes({}), 7 * once);
  assertAlmostEquals(bytes({ inputBytes: 3 * once }) / once, 3, 0.2);
});

Deno.test("estimateCase() says how many bytes of inputs keep all steps cold", () => {
  const bytes = (kernels: string, changes: Partial<EstimateSettings> = {}) =>
    estimate(`--kernels ${kernels} --kv 8k`, changes).coldInputBytes;
  const once = 2 * 8192 * 8 * 128 * 2;
  assertGreater(bytes("dense/split", { inputBytes: once }), 7 * once);
  // It reads one row of the keys, of which two copies suffice.
  assertLess(bytes("encode/append"), 1e9);
  assertEquals(bytes("dense/split", { hot: true }), 0);
});

Deno.test("estimateCase() does not count kernels whose steps take too long in software", () => {
  const software = { software: true };
  assertEquals(estimate("--kernels prefill/flash --kv 8k", software).kernels, 0);
  assertEquals(estimate("--kernels prefill/flash --kv 64", software).kernels, 1);
});

Deno.test("estimateCase() names the kernels that take too long and keeps the others", () => {
  const { kernels, refused } = estimate("--kernels prefill/flash,dense --kv 8k", {
    software: true,
  });
  assertEquals([kernels, refused.map(({ name }) => name)], [6, ["prefill/flash"]]);
  assertMatch(refused[0].why, /^at 8192 tokens a step would take about \d+ s here, more than /);
  // A step takes about a second. If that were its roofline, the step would count as ten seconds.
  const batch = estimate("--kernels dense --kv 8k --batch 8", { software: true });
  assertEquals([batch.kernels, batch.refused], [6, []]);
});

Deno.test("TimeLeft falls to nothing and follows the pace of the run", () => {
  const left = new TimeLeft([{ checkMs: 1000, sampleMs: 9000 }, { checkMs: 1000, sampleMs: 9000 }]);
  assertEquals(left.at(0, 0, 0), { fraction: 0, leftMs: 20_000 });
  const half = left.at(1, 0, 10_000);
  assertEquals([half.fraction, half.leftMs], [0.5, 10_000]);
  assertGreater(left.at(1, 0, 30_000).leftMs, 15_000);
  assertLess(left.at(1, 0, 2000).leftMs, 10_000);
  assertEquals(left.at(2, 0, 99_000), { fraction: 1, leftMs: 0 });
  assertEquals(left.at(1, 1, 99_000).leftMs, 0);
  let before = -1;
  for (const [begun, checked] of [[0, 0], [0, 0.5], [0, 0.9], [0, 1], [1, 0], [1, 0.5], [2, 0]]) {
    const { fraction } = left.at(begun, checked, 1000);
    assert(fraction >= before && fraction <= 1);
    before = fraction;
  }
});

Deno.test("TimeLeft of a run without cases is done", () => {
  assertEquals(new TimeLeft([]).at(0, 0, 5), { fraction: 1, leftMs: 0 });
});
