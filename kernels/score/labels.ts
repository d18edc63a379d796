/** Scores by labels (Double Sparsity, arXiv 2408.07092). */
import { addCost, type Cost, type Kernel, type Plan, type Variant } from "../core/variant.ts";
import { type Params, PROBLEM_RANGES, ranges } from "../core/problem/constants.ts";
import { labelsCost } from "../encode/labels.ts";
import { defineKernel, defineVariant } from "../core/define.ts";
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
import { cachedTokens } from "../core/problem/derived.ts";
import type { Problem } from "../core/problem/problem.ts";
import source from "./labels.wgsl" with { type: "text" };

const WORKGROUP: readonly number[] = [32, 64, 128, 256, 512];
const TOKENS: readonly number[] = [1, 2, 4, 8, 16];
const TOGETHER: readonly number[] = [1, 2, 4, 8];

/** `labels.wgsl`. */
export const labelScoresKernel: Kernel = defineKernel({
  name: "score/labels",
  source,
  params: {
    ...ranges("HEAD_DIM", "KV_HEADS", "CAPACITY", "KV_DTYPE"),
    QUERIES: PROBLEM_RANGES.GROUP,
    LABEL_HEADS: PROBLEM_RANGES.Q_HEADS,
    LABEL_BITS: [4, 16],
    APPEND: [0, 1],
    WORKGROUP,
    TOKENS,
    TOGETHER,
  },
});

/** Reads labels and the queries' channels once, writes a score for each query head. */
function labelScoresCost(p: Problem, form: LabelForm): Cost {
  const tokens = cachedTokens(p);
  return {
    streamBytes: labelHeads(form, p) * (tokens * form.bytes + 4 * LABEL_CHANNELS) +
      4 * p.batch * p.qHeads * LABEL_CHANNELS,
    gatherBytes: 0,
    writeBytes: 4 * tokens * p.qHeads,
    flops: 2 * tokens * p.qHeads * LABEL_CHANNELS,
  };
}

function labelScoresPlan(p: Problem, params: Params, form: LabelForm, APPEND: 0 | 1): Plan {
  const values = { ...params, ...labelParams(form, p), APPEND };
  const blocks = Math.ceil(p.capacity / (params.WORKGROUP * params.TOKENS));
  return {
    buffers: {
      ...systemSpecs(p, "input", "lengths", "q", form.channels, form.labels),
      ...(APPEND ? systemSpecs(p, "input", "keys") : {}),
      ...systemSpecs(p, "output", "scores"),
    },
    dispatches: [
      dispatch(labelScoresKernel, p, values, [blocks, labelHeads(form, p), p.batch], {
        channels: form.channels,
        labels: form.labels,
        // Without APPEND no key is read.
        ...(APPEND ? {} : { keys: "q" }),
      }),
    ],
  };
}

function labelScores(name: string, what: string, form: LabelForm): Variant {
  return defineVariant({
    name,
    stage: "score",
    description: `f32 scores: q.K over 16 channels, from labels ${what}`,
    tunables: { WORKGROUP, TOKENS, TOGETHER },
    features: [],
    defaults: () => ({ WORKGROUP: 128, TOKENS: 4, TOGETHER: form.bits === 4 ? 4 : 1 }),
    refuses(p, { TOKENS, TOGETHER }) {
      if (p.sharing === "group") {
        return "it scores each query head, and here a group shares its scores";
      }
      if (form.bits === 4 && TOGETHER < 4) return "four packed labels in a row share loads";
      if (TOGETHER > TOKENS) return `${TOGETHER} tokens in a row are more than a thread has`;
    },
    plan: (p, params) => labelScoresPlan(p, params, form, 0),
    cost: (p) => labelScoresCost(p, form),
  });
}

/** Scores by labels that the query heads of a KV head share. */
export const sharedLabelScores: Variant = labelScores(
  "score/labels",
  "of KV heads in f16",
  SHARED_LABELS,
);

/** Scores by labels of each query head. */
export const headLabelScores: Variant = labelScores(
  "score/head_labels",
  "of query heads in f16",
  HEAD_LABELS,
);

/** Scores by labels of 4 bits. */
export const packedLabelScores: Variant = labelScores(
  "score/packed_labels",
  "of KV heads in 4 bits",
  PACKED_LABELS,
);

/** Scores by labels, which first make the label of the newest token. */
function appended(scores: Variant, form: LabelForm): Variant {
  return {
    ...scores,
    description: `the newest label and ${scores.name} in one dispatch`,
    plan: (p, params) => labelScoresPlan(p, params, form, 1),
    cost: (p) => addCost(labelScoresCost(p, form), labelsCost(p, form, p.batch)),
  };
}

/** Shared labels' scores, with the newest label. */
export const sharedLabelStep: Variant = appended(sharedLabelScores, SHARED_LABELS);

/** Scores by labels of each query head, with the newest labels. */
export const headLabelStep: Variant = appended(headLabelScores, HEAD_LABELS);

/** Scores by labels of 4 bits, with the newest label. */
export const packedLabelStep: Variant = appended(packedLabelScores, PACKED_LABELS);
