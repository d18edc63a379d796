/**
 * Decode steps of other systems, to compare with. Each is a list of stages that ends in attention;
 * a new one is an entry of {@linkcode SYSTEMS}.
 */
import { addCost, type Cost, type DeviceLimits, type Plan, type Variant } from "../core/variant.ts";
import type { Params } from "../core/problem/constants.ts";
import { defineVariant } from "../core/define.ts";
import { gather, gatherPages } from "../attend/gather.ts";
import { gatherMerge, gatherMergePages } from "../attend/gather_merge.ts";
import { windows } from "../attend/windows.ts";
import { ACP, decayed, FOX } from "../attend/decayed.ts";
import { decayedPortable } from "../attend/decayed_portable.ts";
import { slots } from "../attend/slots.ts";
import { slotsPortable } from "../attend/slots_portable.ts";
import { PQ_PARTS } from "../encode/pq.ts";
import { pqAppend } from "../encode/pq_token.ts";
import { MOSA, MOSA_HYBRID, route } from "../encode/route.ts";
import { bufferBytes, specs } from "../core/layout.ts";
import { mergeDispatch } from "../merge/merge.ts";
import { splitsFor } from "../dense/split.ts";
import { groupSize } from "../core/problem/derived.ts";
import type { Problem } from "../core/problem/problem.ts";
import { headsFor } from "../core/row_split.ts";
import { headLabelStep, packedLabelStep, sharedLabelStep } from "../score/labels.ts";
import { dot } from "../score/dot.ts";
import { dotSubgroup } from "../score/dot_subgroup.ts";
import { DSA, dsaProblem, index, indexUnpacked } from "../score/index.ts";
import { pagesAppend } from "../score/pages.ts";
import { pqAppendScore, pqScore } from "../score/pq.ts";
import { radix, radixPages } from "../select/radix.ts";
import { joinedBuffers, prefixed, unprefixed } from "./sparse_step.ts";

/** A decode step of another system. */
interface System {
  readonly name: string;
  readonly description: string;
  /**
   * The stages in order, by the prefix of their parameters. The last one is called `attend`; its
   * partials are merged unless it writes `out`.
   */
  readonly stages: Readonly<Record<string, Variant>>;
  /** Settings of the system that no tuner may change, as parameters of the step. */
  readonly settings?: Params;
  /** Parameters whose best values on a large GPU are not the defaults of its stages. */
  readonly preferred?: (p: Problem, chosen: Params) => Params;
  /** The problem that its stages compute with these settings (default: the given one). */
  readonly own?: (p: Problem, settings: Params) => Problem;
}

/** The parameters of a stage: its own, and the system's settings. */
function stageParams({ settings = {} }: System, stage: string, params: Params): Params {
  const chosen = Object.keys(settings).map((name) => [name, params[name]]);
  return { ...Object.fromEntries(chosen), ...unprefixed(stage, params) };
}

function planOf(system: System, p: Problem, params: Params): Plan {
  const parts = Object.entries(system.stages).map(([stage, variant]) =>
    variant.plan(p, stageParams(system, stage, params))
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
function costOf(system: System, p: Problem, params: Params): Cost {
  const costs = Object.entries(system.stages).map(([stage, variant]): Cost => {
    const cost = variant.cost(p, stageParams(system, stage, params));
    const streamed = variant.stage !== "select" && cost.gatherBytes === 0;
    return { ...cost, streamBytes: streamed ? cost.streamBytes : 0, writeBytes: 0 };
  });
  return { ...costs.reduce(addCost), writeBytes: bufferBytes(p).out };
}

function defaultsOf(system: System, p: Problem, limits: DeviceLimits): Params {
  const chosen: Params = Object.assign(
    { ...system.settings },
    ...Object.entries(system.stages).map(([stage, each]) =>
      prefixed(stage, each.defaults(p, limits))
    ),
  );
  return { ...chosen, ...system.preferred?.(p, chosen) };
}

/** The variant of a system's decode step. */
function rivalStep(system: System): Variant {
  const { settings = {}, own = (p: Problem) => p } = system;
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
    defaults: (p, limits) => defaultsOf(system, own(p, settings), limits),
    refuses(p, params, limits) {
      for (const [stage, variant] of stages) {
        const why = variant.refuses(own(p, params), stageParams(system, stage, params), limits);
        if (why) return `${stage}: ${why}`;
      }
    },
    plan: (p, params) => planOf(system, own(p, params), params),
    cost: (p, params) => costOf(system, own(p, params), params),
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

/** Splits of MoSA beside dense heads, which have nearly all of the tokens. */
function denseHeadSplits(p: Problem): Params {
  return { "attend.SPLITS": splitsFor(p, MOSA_HYBRID.DENSE_HEADS, p.capacity, 264) };
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
    name: "pipeline/dsa",
    description:
      "DeepSeek Sparse Attention: index scores of bytes, select, attend + merge; times only",
    stages: { score: index, select: radix, attend: gatherMerge },
    settings: DSA,
    own: dsaProblem,
  },
  {
    name: "pipeline/dsa_portable",
    description: "DeepSeek Sparse Attention without subgroups and packed dots; times only",
    stages: { score: indexUnpacked, select: radix, attend: gather },
    settings: DSA,
    own: dsaProblem,
  },
  {
    name: "pipeline/fox",
    description:
      "Forgetting Transformer: appends gates, attends all tokens with decays; times only",
    stages: { attend: decayed },
    settings: FOX,
    preferred: (p) => ({
      "attend.PREFETCH": 0,
      "attend.SPLITS": splitsFor(p, p.kvHeads, p.capacity, 264),
    }),
  },
  {
    name: "pipeline/acp",
    description:
      "Forgetting Transformer, adaptive computation pruning: attends what is left; times only",
    stages: { attend: decayed },
    settings: ACP,
    // Few tokens are left: small lists spread them over the processors.
    preferred(p, { "attend.JOINED": JOINED }) {
      const HEADS = headsFor(groupSize(p), 2);
      return {
        "attend.HEADS": HEADS,
        "attend.JOINED": Math.min(JOINED, HEADS),
        "attend.SPLITS": splitsFor(p, p.qHeads / HEADS, p.capacity, 256),
      };
    },
  },
  {
    name: "pipeline/fox_portable",
    description: "Forgetting Transformer without subgroups: all tokens with decays; times only",
    stages: { attend: decayedPortable },
    settings: FOX,
  },
  {
    name: "pipeline/acp_portable",
    description:
      "Forgetting Transformer, adaptive computation pruning without subgroups; times only",
    stages: { attend: decayedPortable },
    settings: ACP,
  },
  {
    name: "pipeline/mosa",
    description: "Mixture of Sparse Attention: routes the token, attends slots; times only",
    stages: { append: route, attend: slots },
    settings: MOSA,
  },
  {
    name: "pipeline/mosa_hybrid",
    description: "Mixture of Sparse Attention beside four dense heads; times only",
    stages: { append: route, attend: slots },
    settings: MOSA_HYBRID,
    preferred: denseHeadSplits,
  },
  {
    name: "pipeline/mosa_portable",
    description: "Mixture of Sparse Attention without subgroups; times only",
    stages: { append: route, attend: slotsPortable },
    settings: MOSA,
  },
  {
    name: "pipeline/mosa_hybrid_portable",
    description: "Mixture of Sparse Attention beside four dense heads, no subgroups; times only",
    stages: { append: route, attend: slotsPortable },
    settings: MOSA_HYBRID,
    preferred: denseHeadSplits,
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
