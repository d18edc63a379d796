/** Fills buffers with hashed data on the device. */
import type { Plan } from "../../../kernels/core/variant.ts";
import { allocate } from "../../../kernels/core/program.ts";
import { runPlan, write } from "../../../kernels/core/run.ts";
import { fillDispatch } from "../../../kernels/probe/probes.ts";

/** Fills a buffer with hashed data of a kind (see `fill.wgsl`). Only the seed decides the data. */
export async function fill(
  device: GPUDevice,
  buffer: GPUBuffer,
  kind: number,
  seed: number,
): Promise<void> {
  const words = buffer.size / 4;
  const buffers = {
    range: { bytes: 8, role: "input" },
    data: { bytes: buffer.size, role: "output" },
  } as const;
  const { range } = allocate(device, { range: buffers.range });
  write(device, range, Uint32Array.of(words, seed >>> 0));
  const plan: Plan = { buffers, dispatches: [fillDispatch(words, kind)] };
  await runPlan(device, plan, { range, data: buffer }, { unroll: false });
  range.destroy();
}
