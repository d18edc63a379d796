/**
 * Labels of keys, as Double Sparsity (arXiv 2408.07092) ranks tokens: 16 channels of a key, which
 * are chosen beforehand for each KV head or each query head.
 */
import type { Problem } from "./problem.ts";

/** Channels of a label. */
export const LABEL_CHANNELS = 16;

/** A form of labels. */
export interface LabelForm {
  /** The buffer of the labels. */
  readonly labels: "labels" | "head_labels" | "packed_labels";
  /** The buffer of the channels. */
  readonly channels: "channels" | "head_channels";
  /** Bits of an element: f16, or a code between the least and the largest element of a label. */
  readonly bits: 16 | 4;
  /** Bytes of a label. */
  readonly bytes: number;
}

/** Labels in f16 that the query heads of a KV head share. */
export const SHARED_LABELS: LabelForm = {
  labels: "labels",
  channels: "channels",
  bits: 16,
  bytes: 2 * LABEL_CHANNELS,
};

/** Labels in f16 with channels for each query head. */
export const HEAD_LABELS: LabelForm = {
  labels: "head_labels",
  channels: "head_channels",
  bits: 16,
  bytes: 2 * LABEL_CHANNELS,
};

/** Labels of 4 bits that the query heads of a KV head share. */
export const PACKED_LABELS: LabelForm = {
  labels: "packed_labels",
  channels: "channels",
  bits: 4,
  bytes: LABEL_CHANNELS / 2 + 4,
};

/** All forms. */
export const LABEL_FORMS: readonly LabelForm[] = [SHARED_LABELS, HEAD_LABELS, PACKED_LABELS];

/** Heads of a sequence that have labels of their own. */
export function labelHeads({ channels }: LabelForm, p: Problem): number {
  return channels === "channels" ? p.kvHeads : p.qHeads;
}

/** Values of the parameters that follow from a form of labels. */
export function labelParams(form: LabelForm, p: Problem): Record<string, number> {
  const heads = labelHeads(form, p);
  return { LABEL_HEADS: heads, LABEL_BITS: form.bits, QUERIES: p.qHeads / heads };
}
