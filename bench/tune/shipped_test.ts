import { assertEquals, assertGreater, assertLess } from "@std/assert";
import { LARGE_LIMITS } from "../../kernels/core/device_limits.ts";
import { findVariant } from "../../kernels/core/registry.ts";
import { tunableParams, tunedParams } from "../../kernels/core/tuning.ts";
import { casesOf } from "../cases/cases.ts";
import { parseOptions } from "../run/options.ts";
import { readTuning, SHIPPED_TUNING } from "../edge/files/tuning_file.ts";

const tuning = readTuning(SHIPPED_TUNING)!;
const [{ problem }] = casesOf(parseOptions(["--models", "llama-3.1-8b", "--kv", "32768"]));

Deno.test("shipped entries are for any driver, and none is slower than the defaults", () => {
  assertGreater(tuning.entries.length, 12);
  for (const { driver, backend, us, defaultUs } of tuning.entries) {
    assertEquals([driver, backend], [null, null]);
    assertLess(us, defaultUs! * 1.000001);
  }
});

for (const { adapter, kernel, params } of tuning.entries) {
  Deno.test(`the shipped parameters of ${kernel} are of the kernel as it is`, async () => {
    const key = { adapter, driver: "any", backend: "any" };
    const variant = findVariant(kernel);
    // What the device decides is filled in; nothing that was tuned is overridden.
    assertEquals(params, tunableParams(params));
    assertEquals(await tunedParams(tuning, key, variant, problem, LARGE_LIMITS), {
      params: { ...variant.defaults(problem, LARGE_LIMITS), ...params },
      stale: false,
    });
  });
}
