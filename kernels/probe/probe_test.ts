import { assert, assertEquals } from "@std/assert";
import { f16BitsToF32 } from "../../fixtures/half.ts";
import type { Dispatch, Plan } from "../core/variant.ts";
import { HEAD_DIMS } from "../core/problem/constants.ts";
import { allocate } from "../core/run/program.ts";
import { readBytes, runPlan, write } from "../core/run/run.ts";
import { openTestDevice } from "../../testing/device/test_device.ts";
import { checkProbes } from "../../bench/measure/probe_check.ts";
import { emulatedDispatch } from "../../testing/device/emulated_matrices.ts";
import { refusesRanges } from "../core/refusals.ts";
import { FILL_KIND, fillDispatch, gatherProbeDispatch, matrixDispatch } from "./probes.ts";
import { hash, matrixReference } from "./reference.ts";

const { device, features, uncaptured } = await openTestDevice();

/** Runs a dispatch over the given words and returns one of its buffers afterwards. */
async function run(
  dispatch: Dispatch,
  contents: Record<string, Uint32Array<ArrayBuffer>>,
  result: string,
): Promise<Uint32Array> {
  const plan: Plan = {
    buffers: Object.fromEntries(
      Object.entries(contents).map(([name, words]) =>
        [name, { bytes: words.byteLength, role: "scratch" }] as const
      ),
    ),
    dispatches: [dispatch],
  };
  const buffers = allocate(device, plan.buffers);
  for (const [name, words] of Object.entries(contents)) write(device, buffers[name], words);
  await runPlan(device, plan, buffers, { unroll: false });
  const { byteLength } = contents[result];
  return new Uint32Array((await readBytes(device, buffers[result], 0, byteLength)).buffer);
}

Deno.test("gatherProbeDispatch() has whole rows in a workgroup for every head dim and dtype", () => {
  for (const headDim of HEAD_DIMS) {
    for (const bytes of [2, 4]) {
      const dispatch = gatherProbeDispatch(1e6, headDim * bytes, 1024);
      assertEquals(refusesRanges({ buffers: {}, dispatches: [dispatch] }), undefined);
      assertEquals(dispatch.params.LANES, headDim * bytes / 16);
      assertEquals(dispatch.params.WORKGROUP % dispatch.params.LANES, 0);
    }
  }
});

function nearNormal(bits: number): number {
  const sum = (bits & 255) + (bits >>> 8 & 255) + (bits >>> 16 & 255) + (bits >>> 24);
  return ((sum & ~1) - 510) / 128;
}

async function filled(
  kind: number,
): Promise<{ words: Uint32Array; low: number[]; high: number[] }> {
  const count = 1000;
  const seed = 7;
  const words = await run(fillDispatch(count, kind), {
    range: new Uint32Array([count, seed]),
    data: new Uint32Array(count + 4).fill(0xffffffff),
  }, "data");
  assertEquals([...words.slice(count)], Array(4).fill(0xffffffff), "words past the end");
  const bits = Array.from({ length: count }, (_, i) => hash((i ^ hash(seed)) >>> 0));
  return {
    words: words.slice(0, count),
    low: bits.map(nearNormal),
    high: bits.map((b) => nearNormal(hash((b + 0x9e3779b9) >>> 0))),
  };
}

Deno.test("fillDispatch() writes the hashed data that the CPU computes", async () => {
  const f16 = await filled(FILL_KIND.f16);
  assertEquals([...f16.words].map((word) => f16BitsToF32(word & 0xffff)), f16.low);
  assertEquals([...f16.words].map((word) => f16BitsToF32(word >>> 16)), f16.high);
  const f32 = await filled(FILL_KIND.f32);
  assertEquals([...new Float32Array(f32.words.buffer)], f32.low);
  const bf16 = await filled(FILL_KIND.bf16);
  const halves = new Float32Array(Uint32Array.from(bf16.words, (word) => word << 16).buffer);
  assertEquals([...halves], bf16.low, "every value is exact in bf16");
  const positive = await filled(FILL_KIND.positive);
  assert(new Float32Array(positive.words.buffer).every((value) => value >= 0.5 && value < 1.5));
});

Deno.test("fillDispatch() writes almost normal data with many different values", async () => {
  const { words } = await filled(FILL_KIND.f32);
  const values = [...new Float32Array(words.buffer)];
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
  assert(Math.abs(mean) < 0.15 && Math.abs(variance - 1.33) < 0.2, `mean ${mean}, ${variance}`);
  assert(new Set(values).size > 300);
});

Deno.test({
  name: "matrixDispatch() adds the products that are counted",
  ignore: !features.has("subgroups"),
  async fn() {
    const params = { WORKGROUP: 64, ROUNDS: 3, UNROLLED: 4, CHAINS: 4 };
    const dispatch: Dispatch = { ...emulatedDispatch(matrixDispatch(128)), params };
    const found = await run(dispatch, { sink: new Uint32Array(8) }, "sink");
    const wanted = [0, 32, 64, 96].map((id) => matrixReference(id, 12, 4));
    assertEquals([...found], [...wanted, 0, 0, 0, 0]);
    assertEquals(wanted[1], 2 * wanted[0]);
  },
});

Deno.test("checkProbes() finds that the probes do the work that is timed", async () => {
  assertEquals(await checkProbes(device, {}), null);
});

Deno.test("probes: no GPU error went uncaught", () => assertEquals(uncaptured, []));
