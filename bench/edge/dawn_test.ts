import { assert, assertEquals, assertMatch } from "@std/assert";
import { readResults } from "./files/read_files.ts";
import { commandIn, inFolder, outcomeOf } from "../../testing/command.ts";
import { swiftShader } from "../../testing/device/swiftshader.ts";

const ROOT = `${import.meta.dirname}/../..`;
const driver = swiftShader();
const missing = driver === null ? " (SwiftShader is not here)" : "";

/** Runs a command of the package on Dawn over SwiftShader. */
async function onDawn(name: string, ...args: string[]) {
  const program = `${ROOT}/bench/${name}/main.ts`;
  return await outcomeOf(
    commandIn({ VK_DRIVER_FILES: driver! }, program, "--gpu", "dawn", ...args),
  );
}

Deno.test({
  name: `bench --gpu dawn verifies kernels that Tint compiled${missing}`,
  ignore: driver === null,
  fn: () =>
    inFolder(async (folder) => {
      const kernels = "dense/split_subgroup,pipeline/sparse,encode/append";
      const size = ["--shape", "4x1x64", "--kv", "300", "--max-time", "0.2"];
      const out = `${folder}/out`;
      const run = await onDawn("run", ...size, "--kernels", kernels, "--out", out);
      assertEquals(run.code, 0, run.err);
      assertMatch(run.out, /dawn of webgpu \d+\.\d+\.\d+/);
      const { rows } = readResults(`${out}/results.csv`);
      const timed = rows.filter(({ stage }) => stage !== "probe");
      assertEquals(timed.map(({ kernel }) => kernel).sort(), kernels.split(",").sort());
      for (const { kernel, adapter, verified, compiler, toggles, hand_over } of timed) {
        // The GPU's name, and not its driver's.
        assertMatch(adapter, /^swiftshader-device/);
        assertEquals([kernel, verified, compiler, toggles], [kernel, true, "tint", ""]);
        // Nobody has read how Tint orders memory across workgroups.
        assert(hand_over === "" || hand_over === "dispatch", hand_over);
      }
    }),
});

Deno.test({
  name: `a toggle of Dawn without effect is refused in one sentence${missing}`,
  ignore: driver === null,
  async fn() {
    const size = ["--shape", "4x1x64", "--kv", "300"];
    const run = await onDawn("run", ...size, "--dawn-toggles", "vulkan_enable_f16_on_nvidia");
    assertEquals(run.code, 2);
    assertMatch(run.err, /has no effect: the adapter has no shader-f16\.\n$/);
  },
});
