/**
 * Decode steps of other systems, to compare with. Each is a list of stages that ends in attention;
 * a new one is an entry of {@linkcode SYSTEMS}.
 */
import type { BufferSpec, Cost, DeviceLimits, Params, Plan, Variant } from "../core/variant.ts";
import { addCost } from "../core/variant.ts";
import { defineVariant } from "../core/define.ts";
import { gather } from "../attend/gather.ts";
import { gatherMerge } from "../attend/gather_merge.ts";
import { windows } from "../attend/windows.ts";
import { ACP, DECAY_KEPT, decayed, FOX } from "../attend/decayed.ts";
import { slots } from "../attend/slots.ts";
import { MOSA, MOSA_HYBRID, route, SLOTS_KEPT } from "../encode/route.ts";
import { bufferBytes, specs } from "../core/layout.ts";
import { mergeDispatch } from "../merge/merge.ts";
import type { Problem } from "../core/problem.ts";
import { dot } from "../score/dot.ts";
import { dotSubgroup } from "../score/dot_subgroup.ts";
import { DSA, dsaProblem, index, INDEX_KEPT, indexUnpacked } from "../score/index.ts";
import { radix } from "../select/radix.ts";
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
  /** Buffers that a step reads, and to which it adds the newest token. */
  readonly kept?: readonly string[];
  /** Settings of the system that no tuner may change, as parameters of the step. */
  readonly settings?: Params;
  /** The problem that its stages compute with these settings (default: the given one). */
  readonly own?: (p: Problem, settings: Params) => Problem;
}

/** The parameters of a stage: its own, and the system's settings. */
function stageParams({ settings = {} }: System, stage: string, params: Params): Params {
  const chosen = Object.keys(settings).map((name) => [name, params[name]]);
  return { ...Object.fromEntries(chosen), ...unprefixed(stage, params) };
}

function planOf(system: System, p: Problem, params: Params): Plan {
  const { stages, kept = [] } = system;
  const parts = Object.entries(stages).map(([stage, variant]) =>
    variant.plan(p, stageParams(system, stage, params))
  );
  const joined = joinedBuffers(parts);
  const merge = joined.out ? [] : [mergeDispatch(p, params["attend.SPLITS"])];
  const asInputs = kept.map((
    name,
  ): [string, BufferSpec] => [name, { ...joined[name], role: "input" }]);
  return {
    buffers: {
      ...joined,
      ...Object.fromEntries(asInputs),
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
  return Object.assign(
    { ...system.settings },
    ...Object.entries(system.stages).map(([stage, each]) =>
      prefixed(stage, each.defaults(p, limits))
    ),
  );
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
    name: "pipeline/dsa",
    description:
      "DeepSeek Sparse Attention: index scores of bytes, select, attend + merge; times only",
    stages: { score: index, select: radix, attend: gatherMerge },
    kept: INDEX_KEPT,
    settings: DSA,
    own: dsaProblem,
  },
  {
    name: "pipeline/dsa_portable",
    description: "DeepSeek Sparse Attention without subgroups and packed dots; times only",
    stages: { score: indexUnpacked, select: radix, attend: gather },
    kept: INDEX_KEPT,
    settings: DSA,
    own: dsaProblem,
  },
  {
    name: "pipeline/fox",
    description:
      "Forgetting Transformer: appends gates, attends all tokens with decays; times only",
    stages: { attend: decayed },
    kept: DECAY_KEPT,
    settings: FOX,
  },
  {
    name: "pipeline/acp",
    description:
      "Forgetting Transformer, adaptive computation pruning: attends what is left; times only",
    stages: { attend: decayed },
    kept: DECAY_KEPT,
    settings: ACP,
  },
  {
    name: "pipeline/mosa",
    description: "Mixture of Sparse Attention: routes the token, attends slots; times only",
    stages: { append: route, attend: slots },
    kept: SLOTS_KEPT,
    settings: MOSA,
  },
  {
    name: "pipeline/mosa_hybrid",
    description: "Mixture of Sparse Attention beside four dense heads; times only",
    stages: { append: route, attend: slots },
    kept: SLOTS_KEPT,
    settings: MOSA_HYBRID,
  },
  {
    name: "pipeline/streaming",
    description: "StreamingLLM: attention over the windows alone, merge",
    stages: { attend: windows },
  },
];

/** The decode steps of other systems. */
export const RIVAL_STEPS: readonly Variant[] = SYSTEMS.map(rivalStep);
