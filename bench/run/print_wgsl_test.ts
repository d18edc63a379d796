import { assertEquals } from "@std/assert";
import { findContender } from "../../kernels/core/registry.ts";
import { openTestDevice } from "../../testing/testing.ts";
import { testCase } from "../../testing/testing_grid.ts";
import { wgslText } from "./print_wgsl.ts";

Deno.test("the printed WGSL of subgroup kernels is what this device's compiler takes", async () => {
  const { device, features } = await openTestDevice();
  const { p } = testCase({ lengths: [300] });
  const names = ["select/counting", "select/counting_subgroup"];
  for (const contender of names.map(findContender)) {
    if (!contender.features.every((feature) => features.has(feature))) continue;
    const code = await wgslText(contender, p);
    device.pushErrorScope("validation");
    device.createShaderModule({ code });
    assertEquals(await device.popErrorScope(), null, contender.name);
  }
  device.destroy();
});
