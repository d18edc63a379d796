/**
 * The whole sparse decode step (HashAttention section 3): encode the queries and the newest key,
 * score, select, attend, merge. No buffer is cleared between steps: each stage writes all data that
 * the next stage reads.
 */
import {
  addCost,
  type BufferSpec,
  type Cost,
  type DeviceLimits,
  type Plan,
  type Variant,
} from "../core/variant.ts";
import type { Params } from "../core/problem/constants.ts";
import { defineVariant } from "../core/define.ts";
import { gather } from "../attend/gather.ts";
import { gatherMerge } from "../attend/gather_merge.ts";
import { gatherSubgroup } from "../attend/gather_subgroup.ts";
import { selectGather } from "../attend/select_gather.ts";
import { selectGatherTokens } from "../attend/select_gather_tokens.ts";
import { selectGatherGroup } from "../attend/select_gather_group.ts";
import { rotateQuery, rotateStepCost, rotateStepPlan } from "../encode/rotate_token.ts";
import { encodeQuery, encodeStepCost, encodeStepPlan } from "../encode/token.ts";
import { bufferBytes, specs } from "../core/layout.ts";
import { mergeDispatch } from "../merge/merge.ts";
import type { Problem } from "../core/problem/problem.ts";
import { encodeScore, encodeScoreBlock } from "../score/encode_score.ts";
import { encodeScoreGroup } from "../score/encode_score_group.ts";
import { hamming, hammingUncounted, LONG_CACHE } from "../score/hamming.ts";
import { rotateScore, rotateScoreBlock } from "../score/rotate_score.ts";
import { rotated } from "../score/rotated.ts";
import { rotatedShared } from "../score/rotated_shared.ts";
import { selectBitonic } from "../select/bitonic.ts";
import { counting } from "../select/counting.ts";
import { countingSubgroup } from "../select/counting_subgroup.ts";

/** How a step encodes its queries and newest keys. */
interface StepEncoder {
  /** The variant that encodes queries; its parameters are those of the step. */
  readonly variant: Variant;
  /** Encodes both in one dispatch. */
  plan(p: Problem, params: Params): Plan;
  /** Least traffic and arithmetic for queries, and for keys. */
  cost(p: Problem): readonly [Cost, Cost];
}

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

/** The stages of a step that a pipeline may choose, by the prefix of their parameters. */
interface Choice {
  /** Left out if the score also encodes; it then omits the newest token's distance. */
  readonly encode?: Variant;
  readonly score: Variant;
  /** Tokens of a block of a score that has no parameter BLOCK. */
  readonly blockOf?: (score: Params) => number;
  /** Left out if the attend kernel also selects. */
  readonly select?: Variant;
  readonly attend: Variant;
}

/** What a pipeline is made of. */
interface Parts extends Omit<Choice, "encode"> {
  readonly encodes: boolean;
  /** The pipeline for caches that are too long for this one. */
  readonly forLong?: string;
  readonly sharedPrefix?: "only";
}

/** The stages, as their parameters name them. */
type StageName = "encode" | "score" | "select" | "attend";

/** The parameters of one stage, from the entries `stage.NAME`. */
export function unprefixed(stage: string, params: Params): Params {
  const prefix = `${stage}.`;
  return Object.fromEntries(
    Object.entries(params).filter(([name]) => name.startsWith(prefix))
      .map(([name, value]) => [name.slice(prefix.length), value]),
  );
}

/** Parameters of a stage as entries `stage.NAME`. */
export function prefixed<T>(
  stage: string,
  values: Readonly<Record<string, T>>,
): Record<string, T> {
  return Object.fromEntries(Object.entries(values).map(([name, v]) => [`${stage}.${name}`, v]));
}

/** The parameters of each stage. Score, select and attend have the same blocks. */
function stageParams(choice: Choice, params: Params): Record<StageName, Params> {
  const score = unprefixed("score", params);
  const BLOCK = choice.blockOf?.(score) ?? score.BLOCK;
  return {
    encode: unprefixed("encode", params),
    score,
    select: { ...unprefixed("select", params), BLOCK },
    attend: {
      ...unprefixed("attend", params),
      BLOCK,
      NEWEST: choice.encode ? 0 : 1,
      SCORE_SPLITS: score.SPLITS,
      SCORE_SHARES: score.SHARES ?? 0,
    },
  };
}

/** The buffers of the parts of a step: the output of a part is scratch between it and the next. */
export function joinedBuffers(parts: readonly Plan[]): Record<string, BufferSpec> {
  const buffers: Record<string, BufferSpec> = {};
  for (const part of parts) {
    for (const [name, spec] of Object.entries(part.buffers)) {
      if (spec.role === "output") buffers[name] = { ...spec, role: "scratch" };
      else if (!buffers[name]) buffers[name] = spec;
    }
  }
  return buffers;
}

/** Buffers that a step reads, and to which it adds the newest token. */
const KEPT = ["codes", "factors", "key_stats"];

function stepPlan(encoder: StepEncoder, choice: Choice, p: Problem, params: Params): Plan {
  const byStage = stageParams(choice, params);
  const parts = [
    ...(choice.encode ? [encoder.plan(p, byStage.encode)] : []),
    choice.score.plan(p, byStage.score),
    ...(choice.select ? [choice.select.plan(p, byStage.select)] : []),
    choice.attend.plan(p, byStage.attend),
  ];
  const buffers = joinedBuffers(parts);
  const merge = buffers.out ? [] : [mergeDispatch(p, byStage.attend.SPLITS)];
  return {
    buffers: {
      ...buffers,
      // The code cache is kept between steps: a step adds one row.
      ...specs(p, "input", ...KEPT.filter((name) => name in buffers), "sink_logits"),
      ...specs(p, "output", "out"),
    },
    dispatches: [...parts.flatMap((part) => part.dispatches), ...merge],
  };
}

/**
 * Least traffic. Data that pass from stage to stage stay in the GPU's cache and are not counted.
 */
function stepCost(encoder: StepEncoder, choice: Choice, p: Problem, params: Params): Cost {
  const byStage = stageParams(choice, params);
  const score = choice.score.cost(p, byStage.score);
  const attend = choice.attend.cost(p, byStage.attend);
  const encode = encoder.cost(p).reduce(addCost);
  const outBytes = bufferBytes(p).out;
  return {
    streamBytes: encode.streamBytes + score.streamBytes,
    gatherBytes: attend.gatherBytes,
    writeBytes: outBytes,
    flops: encode.flops + score.flops + attend.flops,
    popcounts: score.popcounts ?? 0,
  };
}

/** Tokens of a cache that is too long for no pipeline. */
const SHORT_CACHE = 4096;

function sparseStep(
  name: string,
  description: string,
  encoder: StepEncoder,
  parts: Parts,
): Variant {
  const { encodes, forLong: _long, sharedPrefix, ...others } = parts;
  const choice: Choice = encodes ? { encode: encoder.variant, ...others } : others;
  const { blockOf: _, ...variants } = choice;
  const stages: [string, Variant][] = Object.entries(variants);
  return defineVariant({
    name,
    stage: "pipeline",
    description,
    tunables: Object.assign(
      {},
      ...stages.map(([stage, variant]) => {
        const { BLOCK: _shared, ...rest } = variant.tunables;
        return prefixed(stage, stage === "score" ? variant.tunables : rest);
      }),
    ),
    features: [...new Set(stages.flatMap(([, variant]) => variant.features))],
    codes: encoder.variant.codes,
    ...(sharedPrefix ? { sharedPrefix } : {}),
    defaults(p: Problem, limits: DeviceLimits): Params {
      const params = Object.assign(
        {},
        ...stages.map(([stage, variant]) => prefixed(stage, variant.defaults(p, limits))),
      );
      delete params["select.BLOCK"];
      delete params["attend.BLOCK"];
      delete params["attend.NEWEST"];
      delete params["attend.SCORE_SPLITS"];
      delete params["attend.SCORE_SHARES"];
      return params;
    },
    refuses(p, params, limits) {
      const byStage = stageParams(choice, params);
      for (const [stage, variant] of stages) {
        const refusal = (each: Problem) =>
          variant.refuses(each, byStage[stage as StageName], limits);
        const why = refusal(p);
        if (!why) continue;
        const { lengths: _, ...even } = p;
        const tooLong = parts.forLong && p.capacity > LONG_CACHE / 2 &&
          !refusal({ ...even, kvLen: SHORT_CACHE, capacity: SHORT_CACHE });
        return `${stage}: ${why}${tooLong ? `; ${parts.forLong} is for longer caches` : ""}`;
      }
    },
    plan: (p, params) => stepPlan(encoder, choice, p, params),
    cost: (p, params) => stepCost(encoder, choice, p, params),
  });
}

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
