/** How the stages of a sparse decode step make a variant: its plan, its parameters, its cost. */
import {
  addCost,
  type BufferSpec,
  type Cost,
  type DeviceLimits,
  type Plan,
  type Variant,
} from "../core/variant.ts";
import { defineVariant } from "../core/define.ts";
import { bufferBytes, specs } from "../core/layout.ts";
import type { Params } from "../core/problem/constants.ts";
import type { Problem } from "../core/problem/problem.ts";
import { mergeDispatch } from "../merge/merge.ts";
import { LONG_CACHE } from "../score/hamming.ts";

/** How a step encodes its queries and newest keys. */
export interface StepEncoder {
  /** The variant that encodes queries; its parameters are those of the step. */
  readonly variant: Variant;
  /** Encodes both in one dispatch. */
  plan(p: Problem, params: Params): Plan;
  /** Least traffic and arithmetic for queries, and for keys. */
  cost(p: Problem): readonly [Cost, Cost];
}

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
export interface Parts extends Omit<Choice, "encode"> {
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

/** Parameters that follow from the choice of stages and from the score's. */
const DERIVED = [
  "select.BLOCK",
  "attend.BLOCK",
  "attend.NEWEST",
  "attend.SCORE_SPLITS",
  "attend.SCORE_SHARES",
];

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

/** A pipeline of these parts. Its parameters are those of its stages, `stage.NAME`. */
export function sparseStep(
  name: string,
  description: string,
  encoder: StepEncoder,
  parts: Parts,
): Variant {
  const { encodes, forLong, sharedPrefix, ...others } = parts;
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
    sharedPrefix,
    defaults(p: Problem, limits: DeviceLimits): Params {
      const params = Object.assign(
        {},
        ...stages.map(([stage, variant]) => prefixed(stage, variant.defaults(p, limits))),
      );
      for (const name of DERIVED) delete params[name];
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
        const tooLong = forLong && p.capacity > LONG_CACHE / 2 &&
          !refusal({ ...even, kvLen: SHORT_CACHE, capacity: SHORT_CACHE });
        return `${stage}: ${why}${tooLong ? `; ${forLong} is for longer caches` : ""}`;
      }
    },
    plan: (p, params) => stepPlan(encoder, choice, p, params),
    cost: (p, params) => stepCost(encoder, choice, p, params),
  });
}
