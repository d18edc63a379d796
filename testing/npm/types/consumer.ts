// A TypeScript program with strict types, which `tsc` checks against the package's own.
import {
  createDecoder,
  type Decoder,
  type DecoderProblem,
  requestDecoderDevice,
} from "@hashattention/bench";
import {
  createDecoderOf,
  denseSplitSubgroup,
  type Plan,
  rotatedShort,
  type Variant,
} from "@hashattention/bench/kernels";

const problem: DecoderProblem = {
  batch: 1,
  qHeads: 8,
  kvHeads: 2,
  headDim: 64,
  kvLen: 200,
  capacity: 256,
  dtype: "f16",
  topK: { sparsity: 8 },
  sink: 4,
  recent: 16,
};

export async function decoders(adapter: GPUAdapter): Promise<readonly Decoder[]> {
  const device: GPUDevice = await requestDecoderDevice(adapter);
  const variants: readonly Variant[] = [rotatedShort, denseSplitSubgroup];
  const all = await createDecoder(device, problem);
  const few = await createDecoderOf(variants, device, problem, { handOver: "dispatch" });
  const out: GPUBuffer | undefined = few.buffers["out"];
  out?.unmap();
  return [all, few];
}

export function names(plan: Plan): string[] {
  return plan.dispatches.map(({ kernel }) => kernel.name);
}

// @ts-expect-error: a problem needs its sizes.
export const wrong: DecoderProblem = { batch: 1 };
