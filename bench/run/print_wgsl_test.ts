import { assertEquals } from "@std/assert";
import { findVariant } from "../../kernels/core/registry.ts";
import { openTestDevice } from "../../testing/device/test_device.ts";
import { testCase } from "../../testing/cases/grid.ts";
import { wgslText } from "./print_wgsl.ts";

Deno.test("wgslText() prints WGSL of subgroup kernels that this device compiles", async () => {
  const { device, features } = await openTestDevice();
  const { p } = testCase({ lengths: [300] });
  const names = ["select/counting", "select/counting_subgroup"];
  for (const variant of names.map(findVariant)) {
    if (!variant.features.every((feature) => features.has(feature))) continue;
    const code = await wgslText(variant, p);
    device.pushErrorScope("validation");
    device.createShaderModule({ code });
    assertEquals(await device.popErrorScope(), null, variant.name);
  }
  device.destroy();
});
