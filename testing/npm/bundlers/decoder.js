// An engine's part: a decoder with the best sparse and the best dense step alone.
import {
  createDecoderOf,
  denseSplitSubgroup,
  requestDecoderDevice,
  rotateAppend,
  rotatedShort,
  rotatePrompt,
} from "@hashattention/bench/kernels";

export async function decoderOn(adapter, problem, options) {
  const device = await requestDecoderDevice(adapter);
  const variants = [rotatedShort, denseSplitSubgroup, rotatePrompt, rotateAppend];
  return { device, decoder: await createDecoderOf(variants, device, problem, options) };
}
