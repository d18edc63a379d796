import { assert, assertEquals, assertGreater, assertLess, assertLessOrEqual } from "@std/assert";
import { LARGE_LIMITS } from "../../kernels/core/device_limits.ts";
import { findVariant } from "../../kernels/core/registry.ts";
import { tunableParams, tunedParams } from "../../kernels/core/tuning.ts";
import type { Params } from "../../kernels/core/problem/constants.ts";
import { candidateSpace } from "../tuning/candidates.ts";
import { BATCH, nextCandidates, type Tried } from "../tuning/search.ts";
import { casesOf } from "../cases/cases.ts";
import { parseOptions } from "../run/options.ts";
import { readTuning, SHIPPED_TUNING } from "../edge/files/tuning_file.ts";

const tuning = readTuning(SHIPPED_TUNING)!;
const [{ problem }] = casesOf(parseOptions(["--models", "llama-3.1-8b", "--kv", "32768"]));

Deno.test("SHIPPED_TUNING has entries for any driver, none slower than the defaults", () => {
  assertGreater(tuning.entries.length, 12);
  for (const { driver, backend, us, defaultUs } of tuning.entries) {
    assertEquals([driver, backend], [null, null]);
    assertLess(us, defaultUs! * 1.000001);
  }
});

for (const { adapter, kernel, params } of tuning.entries) {
  Deno.test(`SHIPPED_TUNING fits the current sources of ${kernel}`, async () => {
    const key = { adapter, driver: "any", backend: "any" };
    const variant = findVariant(kernel);
    // The device's own parameters are added; no tuned parameter is overridden.
    assertEquals(params, tunableParams(params));
    assertEquals(await tunedParams(tuning, key, variant, problem, LARGE_LIMITS), {
      params: { ...variant.defaults(problem, LARGE_LIMITS), ...params },
      stale: false,
    });
  });
}

/** Times that grow with every step away from `best`. */
function valleyUs(params: Params, best: Params): number {
  const steps = Object.entries(best)
    .map(([name, value]) => Math.abs(Math.log2((1 + params[name]) / (1 + value))));
  return steps.reduce((sum, each) => sum + each, 10);
}

for (const { kernel, params: shipped } of tuning.entries) {
  Deno.test(`nextCandidates() comes to the shipped parameters of ${kernel}`, () => {
    const space = candidateSpace(findVariant(kernel), problem, LARGE_LIMITS);
    const best = { ...space.defaults, ...shipped };
    assert(space.allows(best));
    const tried: Tried[] = [];
    while (tried.every(({ us }) => us !== 10)) {
      const next = nextCandidates(space, tried, BATCH);
      for (const params of next) tried.push({ params, us: valleyUs(params, best) });
      assert(next.length > 0);
      // The tuner tried this many candidates of the pipeline, and fewer of other kernels.
      assertLessOrEqual(tried.length, 65);
    }
  });
}
