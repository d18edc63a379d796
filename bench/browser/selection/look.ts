/** What a score selects of a trace for one query, in numbers. A worker computes them. */
import type { Trace } from "../../../fixtures/trace.ts";
import type { LearnedMap } from "../../../kernels/maps/learned_map.ts";
import { METHODS } from "../../selection/methods/methods.ts";
import { figuresOf, measureQuery, noSums } from "../../selection/measure.ts";
import type { Selector } from "../../selection/selector.ts";
import { principalComponents } from "./principal.ts";

/** A score that the view offers. */
export interface LookScore {
  /** The name of the method in `deno task quality`. */
  readonly method: string;
  readonly label: string;
}

/** The scores of a trace with a learned map, and of one without. */
const SCORES: Readonly<Record<"mapped" | "unmapped", readonly LookScore[]>> = {
  mapped: [
    { method: "learned", label: "Hamming, learned codes" },
    { method: "learned-w2", label: "weighted, learned codes" },
    { method: "rotated-128-w2", label: "rotated codes" },
  ],
  unmapped: [
    { method: "random-32", label: "Hamming, random codes" },
    { method: "rotated-128-w2", label: "rotated codes" },
  ],
};

/** The trace as the view draws it. */
export interface LookTrace {
  readonly name: string;
  readonly kvLen: number;
  readonly queryHeads: number;
  /** Token position of each query. */
  readonly positions: readonly number[];
  readonly scores: readonly LookScore[];
  /** Keys in the space of their first three principal components, [kvLen, 3]. */
  readonly points: Float32Array<ArrayBuffer>;
  /** The share of the variance that each component has. */
  readonly shares: readonly number[];
}

/** One query, and how to select for it. */
export interface LookRequest {
  readonly query: number;
  readonly head: number;
  readonly method: string;
  /** 1 of so many tokens of the trace is selected. */
  readonly sparsity: number;
  readonly sink: number;
  readonly recent: number;
}

/** What happened to a token. */
export const FATE = {
  /** It is neither selected nor missed. */
  other: 0,
  /** A window attends it. */
  window: 1,
  /** The score selects it, and so does the exact top-k. */
  hit: 2,
  /** The score selects it, and the exact top-k does not. */
  extra: 3,
  /** The exact top-k selects it, and the score does not. */
  missed: 4,
} as const;

/** The answer to a request. The arrays have an element per token up to the query's own. */
export interface LookResult {
  readonly request: LookRequest;
  readonly position: number;
  /** True attention weights; their sum is 1. */
  readonly weights: Float32Array<ArrayBuffer>;
  /** Costs by the score: the lowest are selected. */
  readonly costs: Float32Array<ArrayBuffer>;
  /** Values of {@linkcode FATE}. */
  readonly fates: Uint8Array<ArrayBuffer>;
  /** The cost of the last token that is selected; null if none is. */
  readonly threshold: number | null;
  /** Tokens that the score selects. */
  readonly picks: number;
  /** Tokens of the exact top-k that the score selects. */
  readonly hits: number;
  /** As in {@linkcode import("../../selection/measure.ts").Figures}, of this query alone. */
  readonly massTotal: number;
  readonly massMiddle: number | null;
  readonly recall: number | null;
  readonly error: number;
}

/** A trace with what was computed for it so far. */
export interface Looked {
  readonly name: string;
  readonly trace: Trace;
  readonly map: LearnedMap | null;
  readonly selectors: Map<string, Selector>;
}

/** A trace to look into. */
export function looked(name: string, trace: Trace, map: LearnedMap | null): Looked {
  return { name, trace, map, selectors: new Map() };
}

/** The trace as the view draws it. */
export function lookTrace({ name, trace, map }: Looked): LookTrace {
  const { kvLen, queryHeads, positions, k, headDim } = trace;
  return {
    name,
    kvLen,
    queryHeads,
    positions: [...positions],
    scores: SCORES[map === null ? "unmapped" : "mapped"],
    ...principalComponents(k, headDim),
  };
}

/** Answers a request by the code of `deno task quality`. */
export async function look(to: Looked, request: LookRequest): Promise<LookResult> {
  const { trace } = to;
  const { head, query, method, sparsity, sink, recent } = request;
  const windows = { sink, recent };
  const budget = { count: Math.floor(trace.kvLen / sparsity) };
  const selector = await selectorOf(to, method, windows);
  const sums = noSums();
  const given = { context: trace, selectors: [selector], budgets: [budget], windows };
  const { row, dense, exact, choices: [{ costs, selected }] } = measureQuery(
    given,
    { head, query },
    [[sums]],
  );
  const { length, sinkEnd, recentStart } = row;
  const fates = new Uint8Array(length).fill(FATE.window);
  fates.fill(FATE.other, sinkEnd, recentStart);
  for (const token of exact) fates[token] = FATE.missed;
  for (const token of selected) {
    fates[token] = fates[token] === FATE.missed ? FATE.hit : FATE.extra;
  }
  const { massTotal, massMiddle, recall, outputRelErr } = figuresOf(sums);
  return {
    request,
    position: trace.positions[query],
    weights: Float32Array.from(dense.weights, (weight) => weight / dense.total),
    costs: Float32Array.from(costs ?? []),
    fates,
    threshold: selected.length > 0 && costs !== null ? costs[selected[selected.length - 1]] : null,
    picks: selected.length,
    hits: fates.filter((fate) => fate === FATE.hit).length,
    massTotal,
    massMiddle,
    recall,
    error: outputRelErr,
  };
}

/** The selector of a method in f64, which is kept: the codes of the keys take a while. */
async function selectorOf(
  { trace, map, selectors }: Looked,
  name: string,
  windows: { readonly sink: number; readonly recent: number },
): Promise<Selector> {
  const known = selectors.get(name);
  if (known !== undefined) return known;
  const method = METHODS.find((each) => each.name === name);
  if (method === undefined) throw new RangeError(`there is no method ${name}`);
  const made = await method.prepare(trace, {
    seed: 1,
    windows,
    budgets: [],
    fit: null,
    map,
    device: null,
  });
  selectors.set(name, made);
  return made;
}
