/** The cascade whose keys and values stay in registers. */
import type { DeviceLimits, Kernel, Params, Variant } from "../core/variant.ts";
import { ranges } from "../core/layout.ts";
import { prefixOf, type Problem } from "../core/problem.ts";
import { rowLoads } from "../core/row_split.ts";
import { defineKernel, defineVariant } from "../core/define.ts";
import { cascadeCost, cascadePlan, ONE_WAVE, ownDefaults, refusesOwn, rowsOf } from "./cascade.ts";
import source from "./cascade_broadcast.wgsl" with { type: "text" };

const LANES: readonly number[] = [16, 32, 64];

/** `cascade_broadcast.wgsl`. */
export const cascadeBroadcastKernel: Kernel = defineKernel({
  name: "dense/cascade_broadcast",
  source,
  params: {
    ...ranges("HEAD_DIM", "BATCH", "GROUP", "KV_HEADS", "PREFIX", "KV_DTYPE"),
    ROWS: { min: 1, max: 16 },
    ROW_GROUPS: { min: 1, max: 16 },
    LANES,
    LOADS: [1, 2, 4],
    SPLITS: { min: 1, max: 1024 },
    OWN_SPLITS: { min: 1, max: 1024 },
  },
});

function refuses(p: Problem, params: Params): string | undefined {
  const { ROWS, LANES, LOADS } = params;
  if (LANES < p.headDim / 4) return `${LANES} lanes are too few for a row of ${p.headDim}`;
  if (LANES < ROWS) return `${LANES} lanes are too few for ${ROWS} rows`;
  if (rowLoads(p) % LOADS !== 0) {
    return `${LOADS} loads at a time do not divide the ${rowLoads(p)} of a row`;
  }
  return refusesOwn(p, params);
}

/** Most rows of a thread: more take the registers of a second workgroup. */
const MOST_ROWS = 8;

/** Settings in order of preference: those with more rows of a workgroup first. */
function settingsOf(p: Problem): Params[] {
  const rows = rowsOf(p);
  return [32, 16, 8, 4, 1].map((most) => {
    const tiles = Math.ceil(rows / most);
    const tileRows = Math.ceil(rows / tiles);
    const ROW_GROUPS = Math.ceil(tileRows / MOST_ROWS);
    const LANES = p.headDim > 128 ? 64 : 32;
    const wave = Math.ceil(ONE_WAVE / (ROW_GROUPS * LANES * p.kvHeads * tiles));
    return {
      ROWS: Math.ceil(tileRows / ROW_GROUPS),
      ROW_GROUPS,
      LANES,
      LOADS: 1,
      SPLITS: Math.max(1, Math.min(wave, 1024, Math.ceil(prefixOf(p) / (4 * LANES)))),
      ...ownDefaults(p),
    };
  });
}

function defaults(p: Problem, limits: DeviceLimits): Params {
  const settings = settingsOf(p);
  return settings.find((params) => !cascadeBroadcast.refuses(p, params, limits)) ??
    settings[settings.length - 1];
}

/** Dense decode of sequences that share a prefix, with few barriers. */
export const cascadeBroadcast: Variant = defineVariant({
  name: "dense/cascade_broadcast",
  stage: "dense",
  description: "dense/cascade with keys and values in registers: few barriers, any number of rows",
  tunables: {
    ROWS: [2, 4, 5, 7, 8, 10, 16],
    ROW_GROUPS: [1, 2, 3, 4, 8],
    LANES,
    LOADS: [1, 2],
    SPLITS: [8, 16, 33, 66, 132],
    "own.SPLITS": [1, 2, 4, 8, 16],
  },
  features: [],
  sharedPrefix: "only",
  defaults,
  refuses,
  plan: (p, params) =>
    cascadePlan(cascadeBroadcastKernel, p, params, params.ROWS * params.ROW_GROUPS),
  cost: cascadeCost,
});
