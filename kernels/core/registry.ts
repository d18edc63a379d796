/** Every variant, in the order in which tables show them. A new kernel needs a line here. */
import type { Variant } from "./variant.ts";
import { variantIn } from "./variant_in.ts";
import { gather, gatherPages } from "../attend/gather.ts";
import { gatherMerge, gatherMergePages } from "../attend/gather_merge.ts";
import { gatherSubgroup } from "../attend/gather_subgroup.ts";
import { cascade } from "../dense/cascade.ts";
import { denseGptFast } from "../dense/gpt_fast.ts";
import { denseSplit } from "../dense/split.ts";
import { denseSplitMatrix } from "../dense/split_matrix.ts";
import { denseSplitScatter } from "../dense/split_scatter.ts";
import { denseSplitSubgroup } from "../dense/split_subgroup.ts";
import { denseTokenPool } from "../dense/token_pool.ts";
import {
  headLabels,
  headLabelsPrompt,
  packedLabels,
  packedLabelsPrompt,
  sharedLabels,
  sharedLabelsPrompt,
} from "../encode/labels.ts";
import { nsaCompress } from "../encode/nsa_compress.ts";
import { pageBounds, pageBoundsPrompt } from "../encode/page_bounds.ts";
import { pqPrompt, pqTrain } from "../encode/pq_prompt.ts";
import { pqAppend } from "../encode/pq_token.ts";
import { encodePrompt } from "../encode/prompt.ts";
import { rotatePrompt } from "../encode/rotate_prompt.ts";
import { rotateAppend, rotateQuery } from "../encode/rotate_token.ts";
import { encodeAppend, encodeQuery } from "../encode/token.ts";
import { merge } from "../merge/merge.ts";
import {
  rotatedFour,
  rotatedPortable,
  rotatedShort,
  rotatedThree,
  rotatedTwo,
  sharedFour,
  sharedPortable,
  sharedThree,
  sparseFour,
  sparsePortable,
  sparseSorted,
  sparseSubgroup,
  sparseThree,
  sparseTwo,
  sparseTwoGroup,
} from "../pipeline/sparse.ts";
import { nsa } from "../pipeline/nsa.ts";
import { RIVAL_STEPS } from "../pipeline/rivals.ts";
import { flash } from "../prefill/flash.ts";
import { flashMatrix } from "../prefill/flash_matrix.ts";
import { dot } from "../score/dot.ts";
import { dotSubgroup } from "../score/dot_subgroup.ts";
import { hamming } from "../score/hamming.ts";
import { index, indexUnpacked } from "../score/index.ts";
import { headLabelScores, packedLabelScores, sharedLabelScores } from "../score/labels.ts";
import { pages } from "../score/pages.ts";
import { pqScore } from "../score/pq.ts";
import { rotated } from "../score/rotated.ts";
import { rotatedShared } from "../score/rotated_shared.ts";
import { selectBitonic } from "../select/bitonic.ts";
import { counting } from "../select/counting.ts";
import { countingSubgroup } from "../select/counting_subgroup.ts";
import { radix, radixPages, radixShares } from "../select/radix.ts";

/** Makes codes of queries and keys. */
const ENCODERS: readonly Variant[] = [
  encodeQuery,
  encodeAppend,
  encodePrompt,
  rotateQuery,
  rotateAppend,
  rotatePrompt,
];

/** The stages of a step, and dense steps. */
const STAGES: readonly Variant[] = [
  hamming,
  rotated,
  rotatedShared,
  counting,
  countingSubgroup,
  selectBitonic,
  gather,
  gatherSubgroup,
  gatherMerge,
  merge,
  denseSplit,
  denseSplitSubgroup,
  denseSplitScatter,
  denseSplitMatrix,
  cascade,
];

/** Whole steps. */
const PIPELINES: readonly Variant[] = [
  sparseTwo,
  sparseTwoGroup,
  sparseThree,
  sparseFour,
  sparseSubgroup,
  sparsePortable,
  sparseSorted,
  rotatedShort,
  rotatedTwo,
  rotatedThree,
  rotatedFour,
  rotatedPortable,
  sharedThree,
  sharedFour,
  sharedPortable,
];

/**
 * The variants that a decoder knows: no prompt attention, and no dense attention in the style of
 * other systems.
 */
export const DECODER_VARIANTS: readonly Variant[] = [...ENCODERS, ...STAGES, ...PIPELINES];

/**
 * All variants that a run times by default. Probes of the device are not among them: see `probe/`.
 */
export const VARIANTS: readonly Variant[] = [
  ...ENCODERS,
  flash,
  flashMatrix,
  ...STAGES,
  denseTokenPool,
  denseGptFast,
  ...PIPELINES,
];

/**
 * Other systems of sparse attention and their stages, to compare with. They are timed only if they
 * are named, since they would cost every run time.
 */
export const RIVALS: readonly Variant[] = [
  pageBounds,
  pageBoundsPrompt,
  sharedLabels,
  headLabels,
  packedLabels,
  sharedLabelsPrompt,
  headLabelsPrompt,
  packedLabelsPrompt,
  ...pqPrompt.values(),
  ...pqTrain.values(),
  ...pqAppend.values(),
  nsaCompress,
  dot,
  dotSubgroup,
  pages,
  sharedLabelScores,
  headLabelScores,
  packedLabelScores,
  ...pqScore.values(),
  index,
  indexUnpacked,
  radix,
  radixShares,
  radixPages,
  gatherPages,
  gatherMergePages,
  ...RIVAL_STEPS,
  nsa,
];

/** The variants and the rivals. */
export const EVERY_VARIANT: readonly Variant[] = [...VARIANTS, ...RIVALS];

/** Every device feature that some variant needs. */
export const VARIANT_FEATURES: readonly string[] = [
  ...new Set(EVERY_VARIANT.flatMap(({ features }) => features)),
];

/**
 * The variant of that name.
 *
 * @throws {RangeError} for an unknown name; the message lists the known ones.
 */
export function findVariant(name: string): Variant {
  return variantIn(EVERY_VARIANT, name);
}
