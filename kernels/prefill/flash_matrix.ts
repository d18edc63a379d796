/** Causal attention over a whole prompt on matrix units, which only Dawn offers so far. */
import type { Kernel, Plan, Variant } from "../core/variant.ts";
import { type Params, ranges } from "../core/problem/constants.ts";
import { dispatch } from "../core/dispatch.ts";
import { specs } from "../core/layout.ts";
import { groupSize } from "../core/problem/derived.ts";
import type { Problem } from "../core/problem/problem.ts";
import { defineKernel, defineVariant } from "../core/define.ts";
import { DISPATCH_FLOPS, flashCost } from "./flash.ts";
import { MATRIX_FEATURES, refusesMatrices } from "../core/subgroup_matrices.ts";
import source from "./flash_matrix.wgsl" with { type: "text" };

const SUBGROUPS: readonly number[] = [4, 8, 16];
const ROWS: readonly number[] = [64, 128];
const KEYS: readonly number[] = [32, 64];
const QK_ROWS: readonly number[] = [16, 32, 64];
const PV_ROWS: readonly number[] = [16, 32, 64];

/** Most registers that the matrices of a thread may take, so that none of them is spilled. */
const MOST_MATRIX_REGISTERS = 176;

/** `flash_matrix.wgsl`. */
export const flashMatrixKernel: Kernel = defineKernel({
  name: "prefill/flash_matrix",
  source,
  params: {
    ...ranges("HEAD_DIM", "GROUP", "KV_HEADS", "CAPACITY"),
    SUBGROUPS,
    ROWS,
    KEYS,
    QK_ROWS,
    PV_ROWS,
  },
  features: MATRIX_FEATURES,
});

function refuses(p: Problem, params: Params): string | undefined {
  const { SUBGROUPS, ROWS, KEYS, QK_ROWS, PV_ROWS } = params;
  if (p.dtype !== "f16") return `it takes keys and values in f16, and these are ${p.dtype}`;
  if (QK_ROWS > ROWS || PV_ROWS > ROWS) return `a tile has ${ROWS} rows, fewer than a subgroup's`;
  const qkKeys = KEYS * ROWS / QK_ROWS / SUBGROUPS;
  const pvDims = p.headDim * ROWS / PV_ROWS / SUBGROUPS;
  if (qkKeys < 16 || qkKeys > KEYS || qkKeys % 16 !== 0) {
    return `${SUBGROUPS} subgroups cannot divide ${ROWS} x ${KEYS} logits into blocks of ${QK_ROWS} rows and whole matrices`;
  }
  if (pvDims < 16 || pvDims > p.headDim || pvDims % 16 !== 0) {
    return `${SUBGROUPS} subgroups cannot divide ${ROWS} x ${p.headDim} outputs into blocks of ${PV_ROWS} rows and whole matrices`;
  }
  const rowKeys = KEYS * ROWS / (32 * SUBGROUPS);
  if (rowKeys % 8 !== 0) {
    return `${32 * SUBGROUPS} threads cannot share ${ROWS} x ${KEYS} logits by eights`;
  }
  if (ROWS * KEYS / 4 % (32 * SUBGROUPS) !== 0 || KEYS * p.headDim / 8 % (32 * SUBGROUPS) !== 0) {
    return `${32 * SUBGROUPS} threads cannot share the loads of ${KEYS} keys`;
  }
  const registers = (QK_ROWS * p.headDim / 2 + QK_ROWS * qkKeys + PV_ROWS * pvDims) / 32;
  if (registers > MOST_MATRIX_REGISTERS) {
    return `${registers} registers of matrices overflow those of a thread`;
  }
}

/** Tiles per dispatch, so that even the tiles with the most keys do not take too long. */
function tilesOfPart(p: Problem, { ROWS }: Params): number {
  const flops = 4 * p.batch * p.kvHeads * ROWS * p.headDim * p.capacity;
  return Math.max(1, Math.floor(MATRIX_SPEEDUP * DISPATCH_FLOPS / flops));
}

/** Matrices compute about so many times as fast as the f32 arithmetic of `prefill/flash`. */
const MATRIX_SPEEDUP = 8;

function plan(p: Problem, params: Params): Plan {
  const tiles = Math.ceil(p.capacity * groupSize(p) / params.ROWS);
  const perPart = Math.min(tiles, tilesOfPart(p, params));
  return {
    buffers: {
      ...specs(p, "input", "lengths", "prompt_q", "keys", "values", "sink_logits"),
      ...specs(p, "output", "prompt_out"),
    },
    dispatches: Array.from(
      { length: Math.ceil(tiles / perPart) },
      (_, part) => dispatch(flashMatrixKernel, p, params, [p.kvHeads * p.batch, part + 1, perPart]),
    ),
  };
}

/** Settings in order of preference: the first that the device does not refuse is used. */
const SETTINGS: readonly Params[] = [
  { SUBGROUPS: 8, ROWS: 128, KEYS: 32, QK_ROWS: 32, PV_ROWS: 32 },
  { SUBGROUPS: 4, ROWS: 64, KEYS: 32, QK_ROWS: 16, PV_ROWS: 16 },
];

/**
 * FlashAttention-2's forward pass (arXiv 2307.08691, section 3.1) on matrix units: queries, keys,
 * values and weights in f16, sums in f32, causal, for prompts of any lengths. Reads `prompt_q`,
 * whose values it rounds to f16, and writes `prompt_out`, f32 [B, capacity, Hq, D].
 */
export const flashMatrix: Variant = defineVariant({
  name: "prefill/flash_matrix",
  stage: "prefill",
  description: "causal FlashAttention-2 on matrix units: f16 with f32 sums, rescaled lazily",
  tunables: { SUBGROUPS, ROWS, KEYS, QK_ROWS, PV_ROWS },
  features: MATRIX_FEATURES,
  precision: {
    halfQueries: true,
    maxRelL2: 2e-3,
  },
  defaults(p, limits) {
    return SETTINGS.find((params) => !flashMatrix.refuses(p, params, limits)) ?? SETTINGS[0];
  },
  refuses: (p, params, limits) => refusesMatrices(limits) ?? refuses(p, params),
  plan,
  cost: (p) => ({ ...flashCost(p), onMatrices: true }),
});
