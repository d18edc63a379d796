/**
 * The methods that `deno task frontier` compares. Each is a decode step of the registry: which
 * pipelines, which settings, and how its index is prepared from the keys of a trace.
 */
import { pageBoundsPrompt } from "../../kernels/encode/page_bounds.ts";
import { PQ_PARTS, pqNames } from "../../kernels/encode/pq.ts";
import { pqPrompt, pqTrain } from "../../kernels/encode/pq_prompt.ts";
import { rotatePrompt } from "../../kernels/encode/rotate_prompt.ts";
import {
  LABEL_CHANNELS,
  type LabelForm,
  labelHeads,
  PACKED_LABELS,
  SHARED_LABELS,
} from "../../kernels/core/problem/labels.ts";
import { PAGE_TOKENS } from "../../kernels/core/problem/pages.ts";
import { groupSize, kvBytes } from "../../kernels/core/problem/derived.ts";
import { type Problem, ROTATED_CODE } from "../../kernels/core/problem/problem.ts";
import type { Variant } from "../../kernels/core/variant.ts";
import type { LearnedMap } from "../../kernels/maps/learned_map.ts";
import type { Given, InputSets } from "../measure/inputs/inputs.ts";
import { prepare } from "../measure/prepared_variant.ts";
import { codeBytes } from "../runner/row_maker.ts";
import { importantChannels } from "../selection/channels.ts";
import { type Code, learnedCode } from "../selection/codes.ts";
import { isInLastQuarter, withQueries } from "../selection/last_quarter.ts";
import type { Trace } from "../../fixtures/trace.ts";

/** The maps that a trace may have: HashAttention's, and HATA's. */
export const MAP_KINDS = ["map", "hata-map"] as const;

/** One of {@linkcode MAP_KINDS}. */
export type MapKind = typeof MAP_KINDS[number];

/** What a method prepares its index from. */
export interface IndexSource {
  /** The whole trace, with its queries before the last quarter. */
  readonly trace: Trace;
  readonly problem: Problem;
  /** The inputs of the trace's first `tokens` tokens, with more of them given. The caller frees them. */
  inputs(tokens: number, given?: Given): InputSets;
}

/** A method of sparse attention. */
export interface FrontierMethod {
  readonly name: string;
  readonly description: string;
  /** Decode steps of which the fastest is taken. All of them select the same tokens. */
  readonly pipelines: readonly string[];
  /** Steps for devices that can run none of these. */
  readonly portable: readonly string[];
  /** The map that the method cannot do without. */
  readonly needs?: MapKind;
  /** Whether the query heads of a group share more than the keys, so that a result is of one g. */
  readonly sharesGroup?: true;
  /** Whether the step attends the windows alone, at any budget. */
  readonly withoutBudget?: true;
  /** Magnitude planes of a query's code; null without codes. */
  readonly planes: number | null;
  /** The settings of the step. */
  code(map: LearnedMap | null): Code;
  /** Bytes that a step reads to find tokens, per token and KV head. */
  bytesPerToken(p: Problem): number;
  /** Variants that make anew what a step of another length leaves behind. */
  readonly restarts?: readonly Variant[];
  /** Inputs that are prepared from a trace, beside its map and what the kernels of prompts make. */
  index?(source: IndexSource): Given | Promise<Given>;
}

/** The settings of a step that has no code: they change nothing. */
const NO_CODE: Code = {
  bits: 32,
  sharing: "head",
  map: { layers: 1, hidden: 128, dtype: "f16" },
};

/** The method without planes is the paper's. */
function learned(planes: number): FrontierMethod {
  return {
    name: planes === 0 ? "learned" : `learned-w${planes}`,
    description: planes === 0
      ? "HashAttention: the codes of a trained map, by Hamming distance"
      : `the same codes; a query weighs each bit 0 to ${2 ** planes - 1}`,
    pipelines: ["pipeline/sparse_two", "pipeline/sparse_three", "pipeline/sparse_four"],
    portable: ["pipeline/sparse_subgroup", "pipeline/sparse", "pipeline/sparse_sorted"],
    needs: "map",
    planes,
    code: (map) => learnedCode(map!, planes),
    bytesPerToken: codeBytes,
  };
}

function rotated(planes: number): FrontierMethod {
  return {
    name: `rotated-128-w${planes}`,
    description: `128 rotated bits and a byte per KV head, untrained; a query weighs each bit ${
      planes === 0 ? "1" : `0 to ${2 ** planes - 1}`
    }`,
    pipelines: ["pipeline/rotated_short", "pipeline/rotated_two", "pipeline/rotated_four"],
    portable: ["pipeline/rotated_three", "pipeline/rotated"],
    planes,
    code: () => ({ ...ROTATED_CODE, planes }),
    bytesPerToken: codeBytes,
    restarts: [rotatePrompt],
  };
}

function doubleSparsity(name: string, form: LabelForm, pipelines: readonly string[]) {
  const bits = form.bits === 16 ? "f16" : `${form.bits} bits`;
  return {
    name,
    description: `Double Sparsity: q.K over ${LABEL_CHANNELS} channels of a KV head in ${bits}, ` +
      `chosen on the trace's first three quarters`,
    pipelines,
    portable: form === SHARED_LABELS ? ["pipeline/double_sparsity_portable"] : [],
    sharesGroup: true,
    planes: null,
    code: () => NO_CODE,
    bytesPerToken: (p) => form.bytes * labelHeads(form, p) / p.kvHeads,
    index: ({ trace, problem }) => {
      const channels = channelsOf(trace, problem);
      return { [form.channels]: () => channels };
    },
  } as const satisfies FrontierMethod;
}

/**
 * The channels of each KV head: those of largest mean |q| x mean |k| over the first three quarters,
 * where |q| is the mean of the group's heads.
 */
export function channelsOf(trace: Trace, p: Problem): Uint32Array<ArrayBuffer> {
  const tokens = Math.ceil(3 * trace.kvLen / 4);
  const early = Array.from(trace.positions.keys())
    .filter((i) => !isInLastQuarter(trace, trace.positions[i]));
  const queries = early.length > 0
    ? withQueries(trace, early)
    : { ...trace, ...keysAsQueries(trace) };
  const perHead = queries.positions.length * trace.headDim;
  const group = groupSize(p);
  const channels = Array.from({ length: p.kvHeads }, (_, kvHead) => {
    const q = queries.q.slice(kvHead * group * perHead, (kvHead + 1) * group * perHead);
    const k = trace.k.subarray(0, tokens * trace.headDim);
    return importantChannels({ ...queries, q, k, queryHeads: 1 }, LABEL_CHANNELS)[0];
  });
  return Uint32Array.from(channels.flat());
}

/** Without any early query all channels of the queries count the same. */
function keysAsQueries({ headDim, queryHeads }: Trace): Pick<Trace, "q" | "positions"> {
  return { q: new Float32Array(queryHeads * headDim).fill(1), positions: new Int32Array(1) };
}

/** Product-quantised keys, with centroids of the first three quarters of a trace. */
function pq(parts: number): FrontierMethod {
  const { centroids, pq_codes } = pqNames(parts);
  return {
    name: `pq-${parts}`,
    description: `PQCache: keys in ${parts} parts of 256 centroids each, found by k-means on the ` +
      "trace's first three quarters",
    pipelines: [`pipeline/pq_${parts}`],
    portable: parts === 8 ? ["pipeline/pq_8_portable"] : [],
    planes: null,
    code: () => NO_CODE,
    bytesPerToken: () => parts,
    async index({ trace, inputs }) {
      const early = inputs(Math.ceil(3 * trace.kvLen / 4));
      const found = await outputOf(early, pqTrain.get(parts)!, centroids);
      const whole = inputs(trace.kvLen, { [centroids]: () => found });
      const codes = await outputOf(whole, pqPrompt.get(parts)!, pq_codes);
      return { [centroids]: () => found, [pq_codes]: () => codes };
    },
  };
}

/** Runs a variant once, and reads one of its outputs. */
async function outputOf(
  inputs: InputSets,
  variant: Variant,
  name: string,
): Promise<Uint8Array<ArrayBuffer>> {
  const params = variant.defaults(inputs.problem, inputs.settings.limits);
  const prepared = await prepare(inputs, variant, params, { hot: true, layers: 1 });
  try {
    prepared.run(0);
    return await prepared.read(name, 0);
  } finally {
    prepared.destroy();
  }
}

/** Every method, in the order of tables. */
export const FRONTIER_METHODS: readonly FrontierMethod[] = [
  ...[0, 1, 2, 3].map(learned),
  ...[0, 1, 2, 3].map(rotated),
  {
    name: "hata",
    description: "HATA: 128 bits of a trained linear map per KV head, one list for the group",
    pipelines: ["pipeline/sparse_two_group", "pipeline/sparse_three", "pipeline/sparse_four"],
    portable: ["pipeline/sparse_subgroup", "pipeline/sparse", "pipeline/sparse_sorted"],
    needs: "hata-map",
    sharesGroup: true,
    planes: 0,
    code: (map) => ({ ...learnedCode(map!, 0), sharing: "group" }),
    bytesPerToken: codeBytes,
  },
  {
    name: "quest",
    description:
      `Quest: pages of ${PAGE_TOKENS} tokens, by the bound of their least and largest keys`,
    pipelines: ["pipeline/quest"],
    portable: ["pipeline/quest_portable"],
    planes: null,
    code: () => NO_CODE,
    bytesPerToken: (p) => 2 * p.headDim * kvBytes(p.dtype) / PAGE_TOKENS,
    restarts: [pageBoundsPrompt],
  },
  doubleSparsity("double-sparsity", SHARED_LABELS, ["pipeline/double_sparsity"]),
  doubleSparsity("double-sparsity-4bit", PACKED_LABELS, ["pipeline/double_sparsity_packed"]),
  ...PQ_PARTS.map(pq),
  {
    name: "oracle",
    description: "the exact top k: scores of all keys",
    pipelines: ["pipeline/oracle"],
    portable: ["pipeline/oracle_portable"],
    planes: null,
    code: () => NO_CODE,
    bytesPerToken: (p) => p.headDim * kvBytes(p.dtype),
  },
  {
    name: "streaming",
    description: "StreamingLLM: the windows alone",
    pipelines: ["pipeline/streaming"],
    portable: [],
    withoutBudget: true,
    planes: null,
    code: () => NO_CODE,
    bytesPerToken: () => 0,
  },
];

/** The methods of `--quick`. */
export const QUICK_METHODS: readonly string[] = [
  "learned",
  "rotated-128-w2",
  "quest",
  "pq-8",
  "oracle",
];

/** The budgets of `--quick`. */
export const QUICK_BUDGETS: readonly number[] = [16, 32, 64];

/** The KV length of `--quick`. */
export const QUICK_KV_LEN = 32768;

/** Shorter names by which a user may ask for methods: two planes are what the kernels are measured with. */
export const ALIASES: Readonly<Record<string, string>> = { "rotated-128": "rotated-128-w2" };
