/** The variants that make derived inputs, such as distances, and whether a device can run them. */
import type { DeviceLimits, Plan, Variant } from "../../../kernels/core/variant.ts";
import type { Params } from "../../../kernels/core/problem/constants.ts";
import { encodePrompt } from "../../../kernels/encode/prompt.ts";
import { PQ_PARTS, pqNames } from "../../../kernels/encode/pq.ts";
import { pqTrain } from "../../../kernels/encode/pq_prompt.ts";
import { rotatePrompt } from "../../../kernels/encode/rotate_prompt.ts";
import { rotateQuery } from "../../../kernels/encode/rotate_token.ts";
import { encodeQuery } from "../../../kernels/encode/token.ts";
import { planOn } from "../../../kernels/core/pieces.ts";
import { isRotated, prefixOf } from "../../../kernels/core/problem/derived.ts";
import type { Problem } from "../../../kernels/core/problem/problem.ts";
import { radixPages } from "../../../kernels/select/radix.ts";
import { pages } from "../../../kernels/score/pages.ts";
import {
  headLabelsPrompt,
  packedLabelsPrompt,
  sharedLabelsPrompt,
} from "../../../kernels/encode/labels.ts";
import { pageBoundsPrompt } from "../../../kernels/encode/page_bounds.ts";
import { dot } from "../../../kernels/score/dot.ts";
import { hamming } from "../../../kernels/score/hamming.ts";
import { rotated } from "../../../kernels/score/rotated.ts";
import { rotatedShared } from "../../../kernels/score/rotated_shared.ts";
import { counting } from "../../../kernels/select/counting.ts";
import { checkHolds } from "../../../kernels/core/run/device_memory.ts";

/** The variant that makes each derived buffer. */
type Makers = Readonly<Record<string, Variant>>;

/** Makers of what follows from any codes, or from none. */
const COMMON_MAKERS: Makers = {
  selected: counting,
  selected_counts: counting,
  scores: dot,
  labels: sharedLabelsPrompt,
  head_labels: headLabelsPrompt,
  packed_labels: packedLabelsPrompt,
  page_bounds: pageBoundsPrompt,
  page_scores: pages,
  selected_pages: radixPages,
  selected_page_tokens: radixPages,
  ...Object.fromEntries(
    PQ_PARTS.flatMap((parts) => {
      const { centroids, pq_codes } = pqNames(parts);
      return [centroids, pq_codes].map((name) => [name, pqTrain.get(parts)!]);
    }),
  ),
};
const MAP_SCORE_MAKERS: Makers = { distances: hamming, block_histograms: hamming };
const MAP_CODE_MAKERS: Makers = { codes: encodePrompt, query_codes: encodeQuery };
const ROTATED_MAKERS: Makers = {
  distances: rotated,
  block_histograms: rotated,
  codes: rotatePrompt,
  factors: rotatePrompt,
  key_stats: rotatePrompt,
  query_codes: rotateQuery,
};

/** Makers where sequences share a prefix, instead of those above. */
const PREFIX_MAKERS: Makers = { distances: rotatedShared, block_histograms: rotatedShared };

/**
 * The variant that makes input `name`; undefined for raw data. Rotated codes are always encoded from
 * the keys: hashed factors would put nearly all tokens into one bin.
 */
export function makerOf(p: Problem, name: string, encode: boolean): Variant | undefined {
  if (name in COMMON_MAKERS) return COMMON_MAKERS[name];
  if (prefixOf(p) > 0 && name in PREFIX_MAKERS) return PREFIX_MAKERS[name];
  if (isRotated(p)) return ROTATED_MAKERS[name];
  return MAP_SCORE_MAKERS[name] ?? (encode ? MAP_CODE_MAKERS[name] : undefined);
}

/** The maker's default parameters, but with the block size of the variant that `params` are of. */
export function makerParams(
  maker: Variant,
  p: Problem,
  params: Params,
  limits: DeviceLimits,
): Params {
  const defaults = maker.defaults(p, limits);
  if (!maker.tunables.BLOCK || !params.BLOCK) return defaults;
  return { ...defaults, BLOCK: params.BLOCK };
}

/**
 * The reason why a device cannot make the derived inputs of a plan; undefined if it can. The
 * variants that make them need buffers of their own.
 *
 * @param params The parameters of the plan.
 * @param encode Whether codes are derived, too.
 */
export function refusesInputs(
  p: Problem,
  plan: Plan,
  params: Params,
  limits: DeviceLimits,
  encode: boolean,
): string | undefined {
  for (const [name, { role }] of Object.entries(plan.buffers)) {
    const maker = role === "input" ? makerOf(p, name, encode) : undefined;
    if (maker === undefined) continue;
    const makersOwn = makerParams(maker, p, params, limits);
    const why = maker.refuses(p, makersOwn, limits) ??
      refusesPlan(planOn(maker, p, makersOwn, limits), makersOwn);
    if (why !== undefined) return `${maker.name}, which makes its ${name}, cannot run: ${why}`;
  }

  function refusesPlan(plan: Plan, params: Params): string | undefined {
    try {
      checkHolds(plan, limits);
    } catch (error) {
      if (error instanceof RangeError) return error.message;
      throw error;
    }
    return refusesInputs(p, plan, params, limits, encode);
  }
}
