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
import { PQ_PARTS, pqNames } from "../encode/pq.ts";
import { pqAppend } from "../encode/pq_token.ts";
import { bufferBytes, specs } from "../core/layout.ts";
import { mergeDispatch } from "../merge/merge.ts";
import type { Problem } from "../core/problem.ts";
import { dot } from "../score/dot.ts";
import { dotSubgroup } from "../score/dot_subgroup.ts";
import { pqAppendScore, pqScore } from "../score/pq.ts";
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
}

function planOf({ stages, kept = [] }: System, p: Problem, params: Params): Plan {
  const parts = Object.entries(stages).map(([stage, variant]) =>
    variant.plan(p, unprefixed(stage, params))
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
    kept: [pqNames(parts).pq_codes],
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
    kept: [pqNames(parts).pq_codes],
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
    name: "pipeline/streaming",
    description: "StreamingLLM: attention over the windows alone, merge",
    stages: { attend: windows },
  },
  ...PQ_PARTS.map(pqStep),
  pqPortableStep(8),
];

/** The decode steps of other systems. */
export const RIVAL_STEPS: readonly Variant[] = SYSTEMS.map(rivalStep);
