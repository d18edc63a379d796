/** Makes labels of keys (Double Sparsity, arXiv 2408.07092). */
import type { Cost, Kernel, Plan, Variant } from "../core/variant.ts";
import { type Params, PROBLEM_RANGES, ranges } from "../core/problem/constants.ts";
import { dispatch } from "../core/dispatch.ts";
import { systemSpecs } from "../core/system_layout.ts";
import {
  HEAD_LABELS,
  LABEL_CHANNELS,
  type LabelForm,
  labelHeads,
  labelParams,
  PACKED_LABELS,
  SHARED_LABELS,
} from "../core/problem/labels.ts";
import { cachedTokens, kvBytes } from "../core/problem/derived.ts";
import type { Problem } from "../core/problem/problem.ts";
import { defineKernel, defineVariant } from "../core/define.ts";
import source from "./labels.wgsl" with { type: "text" };

const WORKGROUP: readonly number[] = [32, 64, 128, 256];

/** `labels.wgsl`. */
export const labelsKernel: Kernel = defineKernel({
  name: "encode/labels",
  source,
  params: {
    ...ranges("HEAD_DIM", "KV_HEADS", "CAPACITY", "KV_DTYPE"),
    LABEL_HEADS: PROBLEM_RANGES.Q_HEADS,
    LABEL_BITS: [4, 16],
    APPEND: [0, 1],
    WORKGROUP,
  },
});

/** Reads a label's channels of each key, and writes the label. */
export function labelsCost(p: Problem, form: LabelForm, tokens: number): Cost {
  const labels = labelHeads(form, p) * tokens;
  return {
    streamBytes: labels * LABEL_CHANNELS * kvBytes(p.dtype) +
      4 * LABEL_CHANNELS * labelHeads(form, p),
    gatherBytes: 0,
    writeBytes: labels * form.bytes,
    flops: 0,
  };
}

function labelsPlan(p: Problem, params: Params, form: LabelForm, APPEND: 0 | 1): Plan {
  const values = { ...params, ...labelParams(form, p), APPEND };
  const rows = params.WORKGROUP / LABEL_CHANNELS;
  const blocks = APPEND ? 1 : Math.ceil(p.capacity / rows);
  return {
    buffers: {
      ...systemSpecs(p, "input", "lengths", "keys", form.channels),
      // The labels of older tokens are kept between steps.
      ...systemSpecs(p, APPEND ? "input" : "output", form.labels),
    },
    dispatches: [
      dispatch(labelsKernel, p, values, [blocks, labelHeads(form, p), p.batch], {
        channels: form.channels,
        labels: form.labels,
      }),
    ],
  };
}

function labelsAppend(name: string, what: string, form: LabelForm): Variant {
  return defineVariant({
    name,
    stage: "encode_append",
    description: `appends the label of the newest key: ${what}`,
    tunables: { WORKGROUP: [32, 64] },
    features: [],
    defaults: () => ({ WORKGROUP: 32 }),
    refuses: () => undefined,
    plan: (p, params) => labelsPlan(p, params, form, 1),
    cost: (p) => labelsCost(p, form, p.batch),
  });
}

function labelsPrompt(name: string, what: string, form: LabelForm): Variant {
  return defineVariant({
    name,
    stage: "encode_prompt",
    description: `labels of all keys: ${what}`,
    tunables: { WORKGROUP },
    features: [],
    defaults: () => ({ WORKGROUP: 128 }),
    refuses: () => undefined,
    plan: (p, params) => labelsPlan(p, params, form, 0),
    cost: (p) => labelsCost(p, form, cachedTokens(p)),
  });
}

const SHARED = "16 channels of each KV head in f16";
const HEAD = "16 channels of each query head in f16";
const PACKED = "16 channels of each KV head in 4 bits with a scale";

/** Labels of the newest keys, shared by the query heads of a KV head. */
export const sharedLabels: Variant = labelsAppend("encode/labels", SHARED, SHARED_LABELS);

/** Labels of the newest keys for each query head. */
export const headLabels: Variant = labelsAppend("encode/head_labels", HEAD, HEAD_LABELS);

/** Labels of the newest keys in 4 bits. */
export const packedLabels: Variant = labelsAppend("encode/packed_labels", PACKED, PACKED_LABELS);

/** Labels of a prompt, shared by the query heads of a KV head. */
export const sharedLabelsPrompt: Variant = labelsPrompt(
  "encode/labels_prompt",
  SHARED,
  SHARED_LABELS,
);

/** Labels of a prompt for each query head. */
export const headLabelsPrompt: Variant = labelsPrompt(
  "encode/head_labels_prompt",
  HEAD,
  HEAD_LABELS,
);

/** Labels of a prompt in 4 bits. */
export const packedLabelsPrompt: Variant = labelsPrompt(
  "encode/packed_labels_prompt",
  PACKED,
  PACKED_LABELS,
);
