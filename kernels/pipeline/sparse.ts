/**
 * The whole sparse decode step (HashAttention section 3): encode the queries and the newest key,
 * score, select, attend, merge. No buffer is cleared between steps: each stage writes all data that
 * the next stage reads.
 */
import type { Variant } from "../core/variant.ts";
import { gather } from "../attend/gather.ts";
import { gatherMerge } from "../attend/gather_merge.ts";
import { gatherSubgroup } from "../attend/gather_subgroup.ts";
import { selectGather } from "../attend/select_gather.ts";
import { selectGatherTokens } from "../attend/select_gather_tokens.ts";
import { selectGatherGroup } from "../attend/select_gather_group.ts";
import { rotateQuery, rotateStepCost, rotateStepPlan } from "../encode/rotate_token.ts";
import { encodeQuery, encodeStepCost, encodeStepPlan } from "../encode/token.ts";
import { encodeScore, encodeScoreBlock } from "../score/encode_score.ts";
import { encodeScoreGroup } from "../score/encode_score_group.ts";
import { hamming, hammingUncounted } from "../score/hamming.ts";
import { rotateScore, rotateScoreBlock } from "../score/rotate_score.ts";
import { rotated } from "../score/rotated.ts";
import { rotatedShared } from "../score/rotated_shared.ts";
import { selectBitonic } from "../select/bitonic.ts";
import { counting } from "../select/counting.ts";
import { countingSubgroup } from "../select/counting_subgroup.ts";
import { sparseStep, type StepEncoder } from "./sparse_step.ts";

const BY_MAP: StepEncoder = {
  variant: encodeQuery,
  plan: encodeStepPlan,
  cost: encodeStepCost,
};

const BY_ROTATION: StepEncoder = {
  variant: rotateQuery,
  plan: rotateStepPlan,
  cost: rotateStepCost,
};

/** The portable step. */
export const sparsePortable: Variant = sparseStep(
  "pipeline/sparse",
  "5 dispatches without subgroups: encode, score, counting select, attend, merge",
  BY_MAP,
  { encodes: true, score: hamming, select: counting, attend: gather },
);

/**
 * The portable step that sorts instead of counting. Shared codes may have too many distances for
 * counts in the workgroup memory of a device.
 */
export const sparseSorted: Variant = sparseStep(
  "pipeline/sparse_sorted",
  "without subgroups: encode, score, bitonic select (several dispatches), attend, merge",
  BY_MAP,
  { encodes: true, score: hammingUncounted, select: selectBitonic, attend: gather },
);

/** The step for devices with subgroups. */
export const sparseSubgroup: Variant = sparseStep(
  "pipeline/sparse_subgroup",
  "5 dispatches with subgroups: encode, score, counting select, attend, merge",
  BY_MAP,
  { encodes: true, score: hamming, select: countingSubgroup, attend: gatherSubgroup },
);

/** The step in four dispatches for long sequences: each uses the whole device. */
export const sparseFour: Variant = sparseStep(
  "pipeline/sparse_four",
  "4 dispatches: encode, score, counting select, attend + merge",
  BY_MAP,
  { encodes: true, score: hamming, select: countingSubgroup, attend: gatherMerge },
);

/** The step with select, gathered attention and merge in one dispatch. */
export const sparseThree: Variant = sparseStep(
  "pipeline/sparse_three",
  "3 dispatches: encode, score, select + attend + merge",
  BY_MAP,
  { encodes: true, score: hamming, attend: selectGather, forLong: "pipeline/sparse_four" },
);

/** The step in two dispatches. */
export const sparseTwo: Variant = sparseStep(
  "pipeline/sparse_two",
  "2 dispatches: encode + score, select + attend + merge",
  BY_MAP,
  {
    encodes: false,
    score: encodeScore,
    blockOf: encodeScoreBlock,
    attend: selectGather,
    forLong: "pipeline/sparse_three",
  },
);

/** The step in two dispatches for codes that a group shares. */
export const sparseTwoGroup: Variant = sparseStep(
  "pipeline/sparse_two_group",
  "2 dispatches for codes that a GQA group shares, with maps of one layer",
  BY_MAP,
  { encodes: false, score: encodeScoreGroup, attend: selectGatherGroup },
);

/** The step of rotated codes in two dispatches. */
export const rotatedTwo: Variant = sparseStep(
  "pipeline/rotated_two",
  "rotated codes in 2 dispatches: encode + score, select + attend + merge",
  BY_ROTATION,
  {
    encodes: false,
    score: rotateScore,
    blockOf: rotateScoreBlock,
    attend: selectGather,
    forLong: "pipeline/rotated_short",
  },
);

/** The step of rotated codes in two dispatches, for short lists over long caches. */
export const rotatedShort: Variant = sparseStep(
  "pipeline/rotated_short",
  "rotated codes in 2 dispatches, whose select shares out tokens instead of the list's places",
  BY_ROTATION,
  { encodes: false, score: rotateScore, blockOf: rotateScoreBlock, attend: selectGatherTokens },
);

/** The portable step of rotated codes. */
export const rotatedPortable: Variant = sparseStep(
  "pipeline/rotated",
  "rotated codes in 5 dispatches without subgroups: encode, score, counting select, attend, merge",
  BY_ROTATION,
  { encodes: true, score: rotated, select: counting, attend: gather },
);

/** The step of rotated codes in four dispatches for long sequences. */
export const rotatedFour: Variant = sparseStep(
  "pipeline/rotated_four",
  "rotated codes in 4 dispatches: encode, score, counting select, attend + merge",
  BY_ROTATION,
  { encodes: true, score: rotated, select: countingSubgroup, attend: gatherMerge },
);

/** The step of rotated codes in three dispatches. */
export const rotatedThree: Variant = sparseStep(
  "pipeline/rotated_three",
  "rotated codes in 3 dispatches: encode, score, select + attend + merge",
  BY_ROTATION,
  { encodes: true, score: rotated, attend: selectGather, forLong: "pipeline/rotated_four" },
);

/** The step of rotated codes where sequences share a prefix. */
export const sharedFour: Variant = sparseStep(
  "pipeline/shared_four",
  "rotated codes over a shared prefix in 4 dispatches: encode, score, counting select, attend + merge",
  BY_ROTATION,
  {
    encodes: true,
    score: rotatedShared,
    select: countingSubgroup,
    attend: gatherMerge,
    sharedPrefix: "only",
  },
);

/** The same in three dispatches. */
export const sharedThree: Variant = sparseStep(
  "pipeline/shared_three",
  "rotated codes over a shared prefix in 3 dispatches: encode, score, select + attend + merge",
  BY_ROTATION,
  {
    encodes: true,
    score: rotatedShared,
    attend: selectGather,
    forLong: "pipeline/shared_four",
    sharedPrefix: "only",
  },
);

/** The same without subgroups. */
export const sharedPortable: Variant = sparseStep(
  "pipeline/shared",
  "rotated codes over a shared prefix in 5 dispatches without subgroups",
  BY_ROTATION,
  {
    encodes: true,
    score: rotatedShared,
    select: counting,
    attend: gather,
    sharedPrefix: "only",
  },
);
