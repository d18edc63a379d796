/** Makes the inputs that only the stages of Double Sparsity need: channels and labels. */
import { packKv } from "../../fixtures/half.ts";
import { createRandom } from "../../fixtures/random.ts";
import { LABEL_CHANNELS, type LabelForm, labelHeads } from "../../kernels/core/problem/labels.ts";
import type { Problem } from "../../kernels/core/problem/problem.ts";
import { clampToHalf, packLabel } from "../../kernels/encode/labels_reference.ts";

/** Distinct channels of each label head, [label heads, 16]. */
export function randomChannels(
  form: LabelForm,
  p: Problem,
  seed: number,
): Uint32Array<ArrayBuffer> {
  const random = createRandom(seed, 108);
  const channels = new Uint32Array(labelHeads(form, p) * LABEL_CHANNELS);
  for (let head = 0; head < labelHeads(form, p); head++) {
    const left = Array.from({ length: p.headDim }, (_, d) => d);
    for (let i = 0; i < LABEL_CHANNELS; i++) {
      const [channel] = left.splice(random.uint32() % left.length, 1);
      channels[head * LABEL_CHANNELS + i] = channel;
    }
  }
  return channels;
}

/** Labels of the first `lengths` tokens of keys [B, Hkv, capacity, D], and poison behind them. */
export function labelsOfKeys(
  form: LabelForm,
  p: Problem,
  keys: Float32Array,
  channels: Uint32Array,
  lengths: readonly number[],
): Uint32Array<ArrayBuffer> {
  const heads = labelHeads(form, p);
  const words = form.bytes / 4;
  const labels = new Uint32Array(p.batch * heads * p.capacity * words).fill(0xffffffff);
  for (let head = 0; head < p.batch * heads; head++) {
    const own = (head % heads) * LABEL_CHANNELS;
    const kvHead = Math.floor(head / (heads / p.kvHeads));
    const first = head * p.capacity * words;
    for (let token = 0; token < lengths[Math.floor(head / heads)]; token++) {
      const row = (kvHead * p.capacity + token) * p.headDim;
      const elements = Array.from(
        channels.subarray(own, own + LABEL_CHANNELS),
        (channel) => clampToHalf(keys[row + channel]),
      );
      if (form.bits === 16) {
        labels.set(packKv(Float64Array.from(elements), "f16"), first + token * words);
      } else {
        const [low, high, scale] = packLabel(elements);
        labels.set([low, high], first + 2 * token);
        labels[first + 2 * p.capacity + token] = scale;
      }
    }
  }
  return labels;
}
