/**
 * The whole sparse decode step (HashAttention section 3): encode the queries and the newest key,
 * score, select, attend, merge. Nothing is reset between steps: every buffer that a stage reads
 * was written whole, as far as it is read, by the stage before it.
 */
import type { BufferSpec, Cost, DeviceLimits, Params, Plan, Variant } from "../core/variant.ts";
import { addCost } from "../core/variant.ts";
import { defineVariant } from "../core/define.ts";
import { gather } from "../attend/gather.ts";
import { gatherMerge } from "../attend/gather_merge.ts";
import { gatherSubgroup } from "../attend/gather_subgroup.ts";
import { selectGather } from "../attend/select_gather.ts";
import { selectGatherGroup } from "../attend/select_gather_group.ts";
import { encodeQuery, encodeStepCost, encodeStepPlan } from "../encode/token.ts";
import { bufferBytes, specs } from "../core/layout.ts";
import { mergeDispatch } from "../merge/merge.ts";
import type { Problem } from "../core/problem.ts";
import { encodeScore, encodeScoreBlock } from "../score/encode_score.ts";
import { encodeScoreGroup } from "../score/encode_score_group.ts";
import { hamming } from "../score/hamming.ts";
import { selectBitonic } from "../select/bitonic.ts";
import { counting } from "../select/counting.ts";
import { countingSubgroup } from "../select/counting_subgroup.ts";

/** The stages of a step that a pipeline may choose, by the prefix of their parameters. */
interface Choice {
  /** Left out where the score encodes for itself, all but the newest token's distance. */
  readonly encode?: Variant;
  readonly score: Variant;
  /** Left out where attend selects for itself. */
  readonly select?: Variant;
  readonly attend: Variant;
}

/** Parameters of one stage out of `stage.NAME` entries. */
function own(params: Params, stage: string): Params {
  const prefix = `${stage}.`;
  return Object.fromEntries(
    Object.entries(params).filter(([name]) => name.startsWith(prefix))
      .map(([name, value]) => [name.slice(prefix.length), value]),
  );
}

function prefixed<T>(stage: string, values: Readonly<Record<string, T>>): Record<string, T> {
  return Object.fromEntries(Object.entries(values).map(([name, v]) => [`${stage}.${name}`, v]));
}

/** Parameters of each stage; who selects takes the blocks whose histograms the score leaves. */
function stageParams(choice: Choice, params: Params): Record<keyof Choice, Params> {
  const score = own(params, "score");
  const BLOCK = score.BLOCK ?? encodeScoreBlock(score);
  return {
    encode: own(params, "encode"),
    score,
    select: { ...own(params, "select"), BLOCK },
    attend: { ...own(params, "attend"), BLOCK, NEWEST: choice.encode ? 0 : 1 },
  };
}

function stepPlan(choice: Choice, p: Problem, params: Params): Plan {
  const of = stageParams(choice, params);
  const parts = [
    ...(choice.encode ? [encodeStepPlan(p, of.encode)] : []),
    choice.score.plan(p, of.score),
    ...(choice.select ? [choice.select.plan(p, of.select)] : []),
    choice.attend.plan(p, of.attend),
  ];
  const buffers: Record<string, BufferSpec> = {};
  for (const part of parts) {
    for (const [name, spec] of Object.entries(part.buffers)) {
      if (spec.role === "output") buffers[name] = { ...spec, role: "scratch" };
      else if (!buffers[name]) buffers[name] = spec;
    }
  }
  const merge = buffers.out ? [] : [mergeDispatch(p, of.attend.SPLITS)];
  return {
    buffers: {
      ...buffers,
      // The code cache outlives the step: one row of it is new.
      ...specs(p, "input", "codes", "sink_logits"),
      ...specs(p, "output", "out"),
    },
    dispatches: [...parts.flatMap((part) => part.dispatches), ...merge],
  };
}

/** Least traffic: what one stage hands to the next stays in the cache and is not counted. */
function stepCost(choice: Choice, p: Problem, params: Params): Cost {
  const of = stageParams(choice, params);
  const score = choice.score.cost(p, of.score);
  const attend = choice.attend.cost(p, of.attend);
  const encode = encodeStepCost(p).reduce(addCost);
  const outBytes = bufferBytes(p).out;
  return {
    streamBytes: encode.streamBytes + score.streamBytes,
    gatherBytes: attend.gatherBytes,
    writeBytes: outBytes,
    flops: encode.flops + score.flops + attend.flops,
  };
}

function sparseStep(name: string, description: string, choice: Choice): Variant {
  const stages: [string, Variant][] = Object.entries(choice);
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
    defaults(p: Problem, limits: DeviceLimits): Params {
      const params = Object.assign(
        {},
        ...stages.map(([stage, variant]) => prefixed(stage, variant.defaults(p, limits))),
      );
      delete params["select.BLOCK"];
      delete params["attend.BLOCK"];
      delete params["attend.NEWEST"];
      return params;
    },
    refuses(p, params, limits) {
      const of = stageParams(choice, params);
      for (const [stage, variant] of stages) {
        const why = variant.refuses(p, of[stage as keyof Choice], limits);
        if (why) return `${stage}: ${why}`;
      }
    },
    plan: (p, params) => stepPlan(choice, p, params),
    cost: (p, params) => stepCost(choice, p, params),
  });
}

/** The portable step. */
export const sparsePortable: Variant = sparseStep(
  "pipeline/sparse",
  "encode, score, counting select, portable gather-attend, merge: 5 dispatches",
  { encode: encodeQuery, score: hamming, select: counting, attend: gather },
);

/**
 * The portable step that sorts instead of counting: for shared codes with so many distances that
 * their counts overflow a small device's workgroup memory.
 */
export const sparseSorted: Variant = sparseStep(
  "pipeline/sparse_sorted",
  "encode, score, bitonic select, portable gather-attend, merge",
  { encode: encodeQuery, score: hamming, select: selectBitonic, attend: gather },
);

/** The step for devices with subgroups. */
export const sparseSubgroup: Variant = sparseStep(
  "pipeline/sparse_subgroup",
  "encode, score, subgroup counting select, subgroup gather-attend, merge: 5 dispatches",
  { encode: encodeQuery, score: hamming, select: countingSubgroup, attend: gatherSubgroup },
);

/** The step in four dispatches, each spread over the whole device: for long sequences. */
export const sparseFour: Variant = sparseStep(
  "pipeline/sparse_four",
  "encode, score, counting select, then gather-attend and merge as one: 4 dispatches",
  { encode: encodeQuery, score: hamming, select: countingSubgroup, attend: gatherMerge },
);

/** The step with selection, gathered attention and merge in one dispatch. */
export const sparseThree: Variant = sparseStep(
  "pipeline/sparse_three",
  "encode, score, then select, gather-attend and merge as one: 3 dispatches",
  { encode: encodeQuery, score: hamming, attend: selectGather },
);

/** The step in two dispatches. */
export const sparseTwo: Variant = sparseStep(
  "pipeline/sparse_two",
  "encode and score as one, then select, gather-attend and merge as one: 2 dispatches",
  { score: encodeScore, attend: selectGather },
);

/** The step in two dispatches for codes that a group shares. */
export const sparseTwoGroup: Variant = sparseStep(
  "pipeline/sparse_two_group",
  "encode a group's one-layer code and score, then select, gather-attend and merge: 2 dispatches",
  { score: encodeScoreGroup, attend: selectGatherGroup },
);
