/** Every variant, in the order in which tables show them. A new kernel needs a line here. */
import type { Variant } from "./variant.ts";
import { gather } from "../attend/gather.ts";
import { gatherMerge } from "../attend/gather_merge.ts";
import { gatherSubgroup } from "../attend/gather_subgroup.ts";
import { denseGptFast } from "../dense/gpt_fast.ts";
import { denseSplit } from "../dense/split.ts";
import { denseSplitMatrix } from "../dense/split_matrix.ts";
import { denseSplitScatter } from "../dense/split_scatter.ts";
import { denseSplitSubgroup } from "../dense/split_subgroup.ts";
import { denseTokenPool } from "../dense/token_pool.ts";
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
  sparseFour,
  sparsePortable,
  sparseSorted,
  sparseSubgroup,
  sparseThree,
  sparseTwo,
  sparseTwoGroup,
} from "../pipeline/sparse.ts";
import { flash } from "../prefill/flash.ts";
import { flashMatrix } from "../prefill/flash_matrix.ts";
import { hamming } from "../score/hamming.ts";
import { rotated } from "../score/rotated.ts";
import { selectBitonic } from "../select/bitonic.ts";
import { counting } from "../select/counting.ts";
import { countingSubgroup } from "../select/counting_subgroup.ts";

/** All variants. Probes of the device are not among them: see `probe/`. */
export const VARIANTS: readonly Variant[] = [
  encodeQuery,
  encodeAppend,
  encodePrompt,
  rotateQuery,
  rotateAppend,
  rotatePrompt,
  flash,
  flashMatrix,
  hamming,
  rotated,
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
  denseTokenPool,
  denseGptFast,
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
];

/** Every device feature that some variant needs. */
export const VARIANT_FEATURES: readonly string[] = [
  ...new Set(VARIANTS.flatMap(({ features }) => features)),
];

/**
 * The variant of that name.
 *
 * @throws {RangeError} for an unknown name; the message lists the known ones.
 */
export function findVariant(name: string): Variant {
  const found = VARIANTS.find((variant) => variant.name === name);
  if (!found) {
    const known = VARIANTS.map((variant) => variant.name).join(", ");
    throw new RangeError(`no kernel is called ${name}; the known kernels are ${known}`);
  }
  return found;
}
