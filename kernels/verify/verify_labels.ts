/** Verifies the stages of Double Sparsity: labels, and scores by labels. */
import { LABEL_CHANNELS, LABEL_FORMS, type LabelForm, labelHeads } from "../core/problem/labels.ts";
import { clampToHalf, unpackLabel } from "../encode/labels_reference.ts";
import type { Scores } from "../score/reference.ts";
import type { BufferReader } from "./buffer_reader.ts";
import type { ListRef } from "./list_ref.ts";
import type { ErrorTally, ListVerifier } from "./error_tally.ts";
import { encodedTokens } from "./verified_tokens.ts";

/** The form of the labels that a variant has; undefined if it has none. */
export function labelFormOf(hasBuffer: (name: string) => boolean): LabelForm | undefined {
  return LABEL_FORMS.find(({ labels }) => hasBuffer(labels));
}

/** A label: what its elements stand for, and how exact they are. */
interface Label {
  readonly elements: ArrayLike<number>;
  /** The least element and the step of 4 bits; absent in f16. */
  readonly scale?: { readonly least: number; readonly step: number };
}

/** The index of the head of a list's labels among the label heads of a sequence. */
function labelHead(form: LabelForm, reader: BufferReader, ref: ListRef): number {
  return form.channels === "channels" ? ref.kvHead : ref.queryRows[0] % reader.p.qHeads;
}

/** The channels of a list's labels. */
async function channelsOf(
  form: LabelForm,
  reader: BufferReader,
  ref: ListRef,
): Promise<Uint32Array> {
  const first = labelHead(form, reader, ref) * LABEL_CHANNELS;
  return await reader.u32(form.channels, first, LABEL_CHANNELS);
}

/** The labels of tokens `start` to `end` of a list. */
async function labelsOf(
  form: LabelForm,
  reader: BufferReader,
  ref: ListRef,
  start: number,
  end: number,
): Promise<Label[]> {
  const { p } = reader;
  const head = ref.sequence * labelHeads(form, p) + labelHead(form, reader, ref);
  const tokens = end - start;
  if (form.bits === 16) {
    const words = LABEL_CHANNELS / 2;
    const read = await reader.u32(form.labels, (head * p.capacity + start) * words, tokens * words);
    const halves = new Float16Array(read.slice().buffer);
    return Array.from({ length: tokens }, (_, i) => ({
      elements: halves.subarray(i * LABEL_CHANNELS, (i + 1) * LABEL_CHANNELS),
    }));
  }
  const first = 3 * head * p.capacity;
  const [codes, scales] = await Promise.all([
    reader.u32(form.labels, first + 2 * start, 2 * tokens),
    reader.u32(form.labels, first + 2 * p.capacity + start, tokens),
  ]);
  return Array.from({ length: tokens }, (_, i) => {
    const { least, step, codes: own } = unpackLabel(codes.subarray(2 * i, 2 * i + 2), scales[i]);
    return { elements: own.map((code) => least + code * step), scale: { least, step } };
  });
}

/** Relative error of an f16, which may be rounded either way. */
const HALF_ERROR = 2 ** -10;

/** Error of an f16 that a device may flush to zero. */
const HALF_FLUSH = 2 ** -14;

function isHalf(got: number, want: number): boolean {
  return Math.abs(got - want) <= HALF_ERROR * Math.abs(want) + HALF_FLUSH;
}

/** The index of the first element of a label that is wrong; -1 if all are right. */
function wrongElement({ elements, scale }: Label, key: readonly number[], exact: boolean): number {
  const want = key.map(clampToHalf);
  if (!scale) {
    return want.findIndex((each, i) => {
      const flushed = elements[i] === 0 && Math.abs(each) < HALF_FLUSH;
      return exact ? elements[i] !== each && !flushed : !isHalf(elements[i], each);
    });
  }
  const least = Math.min(...want);
  const step = (Math.max(...want) - least) / 15;
  if (!isHalf(scale.least, least) || !isHalf(scale.step, step)) return 0;
  // Each code is the nearest, up to rounding in f32.
  const slack = 0.501 * scale.step + 1e-6 * Math.abs(scale.least);
  const most = scale.least + 15 * scale.step;
  return want.findIndex((each, i) => {
    const inside = Math.min(most, Math.max(scale.least, each));
    return !(Math.abs(elements[i] - inside) <= slack) && scale.step !== 0;
  });
}

/** Verifies the labels of some of a list's tokens, in ascending order. */
async function verifyLabels(
  form: LabelForm,
  tally: ErrorTally,
  reader: BufferReader,
  ref: ListRef,
  tokens: readonly number[],
): Promise<void> {
  const { length } = ref;
  const [start] = tokens;
  const [channels, labels, keys] = await Promise.all([
    channelsOf(form, reader, ref),
    labelsOf(form, reader, ref, start, length),
    reader.cacheRows("keys", ref, start, length),
  ]);
  for (const token of tokens) {
    const key = Array.from(channels, (channel) => keys(token)[channel]);
    const label = labels[token - start];
    const wrong = wrongElement(label, key, reader.p.dtype === "f16");
    if (wrong < 0) continue;
    const index = [ref.sequence, labelHead(form, reader, ref), token, wrong];
    return tally.fail(form.labels, index, label.elements[wrong], key[wrong]);
  }
}

/** Verifies the labels of the newest tokens. */
export const verifyLabelAppend: ListVerifier = async (tally, reader, ref, hasBuffer) => {
  const form = labelFormOf(hasBuffer);
  if (form) await verifyLabels(form, tally, reader, ref, [ref.length - 1]);
};

/** Verifies the labels of a prompt. */
export const verifyLabelPrompt: ListVerifier = async (tally, reader, ref, hasBuffer, scope) => {
  const form = labelFormOf(hasBuffer);
  const tokens = encodedTokens(ref.length, ref, scope);
  if (form) await verifyLabels(form, tally, reader, ref, tokens);
};

/** The scores of a list's tokens by their labels. */
export async function labelScores(
  form: LabelForm,
  reader: BufferReader,
  ref: ListRef,
): Promise<Scores> {
  const [channels, labels, q] = await Promise.all([
    channelsOf(form, reader, ref),
    labelsOf(form, reader, ref, 0, ref.length),
    reader.headRow("q", ref.queryRows[0]),
  ]);
  const scores = new Float64Array(ref.length);
  const magnitudes = new Float64Array(ref.length);
  labels.forEach(({ elements, scale }, token) => {
    channels.forEach((channel, i) => {
      scores[token] += q[channel] * elements[i];
      // A code's product is rounded, then its sum with the least element.
      const size = Math.abs(elements[i]) + 2 * Math.abs(scale?.least ?? 0);
      magnitudes[token] += Math.abs(q[channel]) * size;
    });
  });
  return { scores, magnitudes };
}
