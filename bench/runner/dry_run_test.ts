import { assertEquals, assertGreater, assertMatch } from "@std/assert";
import { DEFAULT_LIMITS } from "../../kernels/core/device_limits.ts";
import { casesOf } from "../cases/cases.ts";
import { HAND_OVER_CHOICES } from "../measure/device/checked_device.ts";
import { formatPlan, planCases, readDevice } from "./dry_run.ts";
import { openAdapter } from "../edge/open_adapter.ts";
import { parseOptions } from "../run/options.ts";

/** The text of `--dry-run` on a software adapter, or on a GPU. */
function planText(line: string, software = true): string {
  const options = parseOptions(line.split(" "));
  const limits = { ...DEFAULT_LIMITS, maxStorageBufferBindingSize: 2 ** 31 };
  const device = { features: new Set<string>(), limits, software };
  return formatPlan(planCases(device, casesOf(options), options), options.memoryBytes);
}

Deno.test("formatPlan() says why kernels are left out: for the device or for their length", () => {
  const text = planText("--kernels prefill/flash,dense/split,dense/split_subgroup --kv 8k");
  assertMatch(text, /\n +1 +\d\.\d+ +0\.\d +llama-3\.1-8b at 8192 tokens\n/);
  assertEquals(text.match(/^Left out: .*$/gm)?.length, 2);
  assertMatch(text, /^Left out: dense\/split_subgroup: this device has no subgroups\.$/m);
  assertMatch(
    text,
    /^Left out: prefill\/flash: at 8192 tokens a step would take about \d+ s here, /m,
  );
});

Deno.test("formatPlan() says how much memory keeps all steps cold", () => {
  const line =
    "--shape 32x8x128 --kernels dense/split,pipeline/rotated --kv 8k,128k --score rotated";
  const text = planText(`${line} --memory 1`, false).replaceAll("\n", " ");
  const [, gigabytes] = text.match(
    / 2 cases may have hot steps, .+: --memory (\d+) keeps all cold\.$/,
  )!;
  assertGreater(Number(gigabytes), 1);
  for (const other of [`--memory ${gigabytes}`, "--memory 1 --hot"]) {
    assertEquals(planText(`${line} ${other}`, false).includes("keeps all cold"), false, other);
  }
  assertEquals(planText(line).includes("keeps all cold"), false);
});

Deno.test("readDevice() has the hand-over that was asked for", async () => {
  for (const choice of HAND_OVER_CHOICES.filter((each) => each !== "auto")) {
    const { limits } = await readDevice(await openAdapter(), choice);
    assertEquals(limits.handOver, choice);
  }
});
