/**
 * Decode steps of other systems, to compare with. Each is a list of stages that ends in attention;
 * a new one is an entry of {@linkcode SYSTEMS}.
 */
import type { Cost, DeviceLimits, Params, Plan, Variant } from "../core/variant.ts";
import { addCost } from "../core/variant.ts";
import { defineVariant } from "../core/define.ts";
import { gather, gatherPages } from "../attend/gather.ts";
import { gatherMerge, gatherMergePages } from "../attend/gather_merge.ts";
import { windows } from "../attend/windows.ts";
import { PQ_PARTS } from "../encode/pq.ts";
import { pqAppend } from "../encode/pq_token.ts";
import { bufferBytes, specs } from "../core/layout.ts";
import { mergeDispatch } from "../merge/merge.ts";
import type { Problem } from "../core/problem.ts";
import { headLabelStep, packedLabelStep, sharedLabelStep } from "../score/labels.ts";
import { dot } from "../score/dot.ts";
import { dotSubgroup } from "../score/dot_subgroup.ts";
import { pagesAppend } from "../score/pages.ts";
import { pqAppendScore, pqScore } from "../score/pq.ts";
import { radix, radixPages } from "../select/radix.ts";
import { joinedBuffers, prefixed, unprefixed } from "./sparse.ts";

/** A decode step of another system. */
interface System {
  readonly name: string;
  readonly description: string;
  /**
   * The stages in order, by the prefix of their parameters. The last one is called `attend`; its
   * partials are merged unless it writes `out`.
   */
  readonly stages: Readonly<Record<string, Variant>>;
}

function planOf({ stages }: System, p: Problem, params: Params): Plan {
  const parts = Object.entries(stages).map(([stage, variant]) =>
    variant.plan(p, unprefixed(stage, params))
  );
  const joined = joinedBuffers(parts);
  const merge = joined.out ? [] : [mergeDispatch(p, params["attend.SPLITS"])];
  return {
    buffers: {
      ...joined,
      ...specs(p, "input", "sink_logits"),
      ...specs(p, "output", "out"),
    },
    dispatches: [...parts.flatMap((part) => part.dispatches), ...merge],
  };
}

/**
 * Least traffic. Data that pass from stage to stage stay in the GPU's cache and are not counted: a
 * select reads nothing else, and attention's list does not count either.
 */
function costOf({ stages }: System, p: Problem, params: Params): Cost {
  const costs = Object.entries(stages).map(([stage, variant]): Cost => {
    const cost = variant.cost(p, unprefixed(stage, params));
    const streamed = variant.stage !== "select" && cost.gatherBytes === 0;
    return { ...cost, streamBytes: streamed ? cost.streamBytes : 0, writeBytes: 0 };
  });
  return { ...costs.reduce(addCost), writeBytes: bufferBytes(p).out };
}

function defaultsOf({ stages }: System, p: Problem, limits: DeviceLimits): Params {
  return Object.assign(
    {},
    ...Object.entries(stages).map(([stage, each]) => prefixed(stage, each.defaults(p, limits))),
  );
}

/** The variant of a system's decode step. */
function rivalStep(system: System): Variant {
  const stages = Object.entries(system.stages);
  return defineVariant({
    name: system.name,
    stage: "rival",
    description: system.description,
    tunables: Object.assign(
      {},
      ...stages.map(([stage, variant]) => prefixed(stage, variant.tunables)),
    ),
    features: [...new Set(stages.flatMap(([, variant]) => variant.features))],
    defaults: (p, limits) => defaultsOf(system, p, limits),
    refuses(p, params, limits) {
      for (const [stage, variant] of stages) {
        const why = variant.refuses(p, unprefixed(stage, params), limits);
        if (why) return `${stage}: ${why}`;
      }
    },
    plan: (p, params) => planOf(system, p, params),
    cost: (p, params) => costOf(system, p, params),
  });
}

/** The step of product-quantised keys of `parts` parts. */
function pqStep(parts: number): System {
  return {
    name: `pipeline/pq_${parts}`,
    description: `PQCache, ${parts} bytes a key: codes of the newest key and scores by tables, ` +
      `radix select, attend + merge`,
    stages: { score: pqAppendScore.get(parts)!, select: radix, attend: gatherMerge },
  };
}

/** The same without subgroups, and with a dispatch for the newest key. */
function pqPortableStep(parts: number): System {
  return {
    name: `pipeline/pq_${parts}_portable`,
    description: `PQCache, ${parts} bytes a key, without subgroups: codes of the newest key, ` +
      `scores by tables, radix select, attend, merge`,
    stages: {
      encode: pqAppend.get(parts)!,
      score: pqScore.get(parts)!,
      select: radix,
      attend: gather,
    },
  };
}

/** The steps of all systems. */
const SYSTEMS: readonly System[] = [
  {
    name: "pipeline/oracle",
    description: "exact top-k: f32 scores of all keys, radix select, attend + merge",
    stages: { score: dotSubgroup, select: radix, attend: gatherMerge },
  },
  {
    name: "pipeline/oracle_portable",
    description:
      "exact top-k without subgroups: f32 scores of all keys, radix select, attend, merge",
    stages: { score: dot, select: radix, attend: gather },
  },
  {
    name: "pipeline/quest",
    description: "Quest: bounds of pages of 16 tokens, radix select of pages, attend + merge",
    stages: { score: pagesAppend, select: radixPages, attend: gatherMergePages },
  },
  {
    name: "pipeline/quest_portable",
    description:
      "Quest without subgroups: bounds of pages of 16 tokens, radix select of pages, attend, merge",
    stages: { score: pagesAppend, select: radixPages, attend: gatherPages },
  },
  {
    name: "pipeline/double_sparsity",
    description: "Double Sparsity, f16 labels of KV heads: scores, radix select, attend + merge",
    stages: { score: sharedLabelStep, select: radix, attend: gatherMerge },
  },
  {
    name: "pipeline/double_sparsity_packed",
    description: "Double Sparsity, 4-bit labels of KV heads: scores, radix select, attend + merge",
    stages: { score: packedLabelStep, select: radix, attend: gatherMerge },
  },
  {
    name: "pipeline/double_sparsity_head",
    description: "Double Sparsity, f16 labels of query heads: scores, radix select, attend + merge",
    stages: { score: headLabelStep, select: radix, attend: gatherMerge },
  },
  {
    name: "pipeline/double_sparsity_portable",
    description:
      "Double Sparsity without subgroups, f16 labels of KV heads: scores, radix select, attend, merge",
    stages: { score: sharedLabelStep, select: radix, attend: gather },
  },
  {
    name: "pipeline/streaming",
    description: "StreamingLLM: attention over the windows alone, merge",
    stages: { attend: windows },
  },
  ...PQ_PARTS.map(pqStep),
  pqPortableStep(8),
];

/** The decode steps of other systems. */
export const RIVAL_STEPS: readonly Variant[] = SYSTEMS.map(rivalStep);
