/** Test support: lists to select from, usual, adversarial and random, and what a sort selects. */
import fc from "fast-check";
import { createRandom, type Random } from "../../../fixtures/random.ts";
import type { TieRule } from "../../core/problem/problem.ts";
import type { Pair, Quad } from "./common.ts";

/** The kinds of lists: the distance of each token. */
export const KINDS = {
  "random": (_token, { most }, random) => random.below(most + 1),
  "few values": (_token, { most }, random) => (most >> 1) + random.below(3),
  "all ties": (_token, { most }) => most >> 1,
  "all zero": () => 0,
  "all largest": (_token, { most }) => most,
  "ascending": (token, { most, length }) => Math.floor(token * (most + 1) / length),
  "descending": (token, { most, length }) => most - Math.floor(token * (most + 1) / length),
  "near ones first": (token, { most, length }, random) =>
    token < length / 10 ? random.below(4) : most - random.below(4),
  "near ones last": (token, { most, length }, random) =>
    token > length * 0.9 ? random.below(4) : most - random.below(4),
} satisfies Record<
  string,
  (token: number, list: { most: number; length: number }, random: Random) => number
>;

/** A list to select from, the selection rule and the kernel's parameters. */
export interface Spec {
  readonly capacity: number;
  readonly length: number;
  readonly kind: keyof typeof KINDS;
  /** Replaces the newest token's distance. */
  readonly newest?: "zero" | "largest";
  /** Whether the score omits the newest token. With a shared code it always does. */
  readonly lacksNewest: boolean;
  readonly windows: Pair;
  readonly topK: { readonly count: number } | { readonly sparsity: number };
  readonly ties: TieRule;
  readonly bits: number;
  readonly queries: number;
  readonly block: number;
  readonly workgroup: number;
  readonly subgroup: Pair;
  readonly ahead: number;
  readonly splits: number;
  readonly seed: number;
}

export const USUAL: Spec = {
  capacity: 4096,
  length: 4000,
  kind: "few values",
  lacksNewest: true,
  windows: [16, 32],
  topK: { sparsity: 8 },
  ties: "lower",
  bits: 32,
  queries: 4,
  block: 512,
  workgroup: 32,
  subgroup: [4, 8],
  ahead: 1,
  splits: 3,
  seed: 1,
};

export const ADVERSARIAL: Readonly<Record<string, Partial<Spec>>> = {
  "the usual": {},
  "all tokens tie": { kind: "all ties" },
  "all tokens tie at zero": { kind: "all zero" },
  "all tokens tie at the last bin": { kind: "all largest", bits: 128 },
  "no pick": { topK: { count: 0 } },
  "no pick, no window": { topK: { count: 0 }, windows: [0, 0] },
  "more picks wanted than tokens": { topK: { count: 0xffffffff }, kind: "random" },
  "one pick": { topK: { count: 1 }, windows: [0, 0], kind: "all ties" },
  "all but one": { topK: { count: 3999 }, windows: [0, 0], kind: "all ties" },
  "one token": { length: 1, windows: [0, 0], topK: { count: 5 } },
  "one token in the sink": { length: 1, windows: [4, 0], topK: { count: 5 } },
  "one token in the recent window": { length: 1, windows: [0, 4], topK: { count: 5 } },
  "windows that hold all tokens": { length: 40, windows: [64, 64] },
  "windows that touch": { length: 48 },
  "windows with most of the list": { windows: [700, 1400] },
  "the newest token in no window": { windows: [16, 0] },
  "the newest token nearest": { windows: [16, 0], newest: "zero", kind: "all ties" },
  "the newest token farthest": { windows: [16, 0], newest: "largest", kind: "all ties" },
  "the newest token the only pick": {
    windows: [0, 0],
    topK: { count: 1 },
    newest: "zero",
    kind: "all largest",
  },
  "the newest token the last pick": {
    windows: [0, 0],
    topK: { count: 0xffffffff },
    newest: "largest",
  },
  "the newest token starts a block": { windows: [0, 0], length: 2049, kind: "descending" },
  "the newest token in the distances": { windows: [16, 0], lacksNewest: false },
  "a full cache": { length: 4096, windows: [0, 0] },
  "a capacity of part of a block": { capacity: 1040, length: 1040 },
  "picks that all lie at the beginning": { kind: "near ones first" },
  "picks that all lie at the end": { kind: "near ones last" },
  "picks at the end, with several spans staged": { kind: "near ones last", ahead: 3 },
  "a share of several spans": { splits: 1, kind: "random" },
  "splits that do not divide the list": { splits: 7, topK: { count: 100 } },
  "more splits than tokens": { splits: 13, length: 5 },
  "a subgroup as large as the workgroup": { subgroup: [32, 32] },
  "codes of 128 bits, all limits": { bits: 128, kind: "ascending" },
};

export const random: fc.Arbitrary<Spec> = fc.record({
  capacity: fc.integer({ min: 1, max: 320 }).map((n) => 16 * n),
  filled: fc.double({ min: 0, max: 1, noNaN: true }),
  kind: fc.constantFrom(...Object.keys(KINDS) as Spec["kind"][]),
  newest: fc.constantFrom(undefined, "zero" as const, "largest" as const),
  lacksNewest: fc.boolean(),
  windows: fc.constantFrom<Pair[]>([0, 0], [16, 0], [0, 32], [3, 5], [100, 700], [0, 5000]),
  topK: fc.oneof(
    fc.record({ count: fc.oneof(fc.nat(40), fc.nat(5000), fc.constant(0xffffffff)) }),
    fc.record({ sparsity: fc.integer({ min: 1, max: 64 }) }),
  ),
  ties: fc.constantFrom<TieRule[]>("lower", "higher"),
  bits: fc.constantFrom(32, 64, 128),
  queries: fc.integer({ min: 1, max: 5 }),
  block: fc.constantFrom(512, 1024, 2048),
  workgroup: fc.constantFrom(32, 64, 128),
  subgroup: fc.constantFrom<Pair[]>([4, 4], [4, 16], [8, 8], [8, 32], [32, 32]),
  ahead: fc.integer({ min: 1, max: 4 }),
  splits: fc.integer({ min: 1, max: 13 }),
  seed: fc.nat(1e6),
}).map(({ filled, ...spec }) => ({
  ...spec,
  length: 1 + Math.floor(filled * (spec.capacity - 1)),
}));

/** Runs a check for every adversarial list with both rules for ties, and for random ones. */
export function forLists(check: (spec: Spec) => void): void {
  for (const [name, spec] of Object.entries(ADVERSARIAL)) {
    for (const ties of ["lower", "higher"] as const) {
      try {
        check({ ...USUAL, ...spec, ties });
      } catch (error) {
        throw new Error(`${name}, ${ties}: ${error instanceof Error ? error.message : error}`, {
          cause: error,
        });
      }
    }
  }
  fc.assert(fc.property(random, check), { seed: 1, numRuns: 150 });
}

/** The sum of the values before each value, and of all values. */
export function runningSums(values: readonly Pair[]): { before: Pair[]; all: Pair } {
  let all: Pair = [0, 0];
  const before = values.map(([x, y]) => {
    const sum = all;
    all = [all[0] + x, all[1] + y];
    return sum;
  });
  return { before, all };
}

/** Values of all threads, and what a scan makes of them. */
export interface Scan {
  readonly values: readonly Pair[];
  readonly expected: readonly Quad[];
}

/** Runs a check for several sizes of subgroups, each with four scans. */
export function forScans(check: (spec: Spec, turns: readonly Scan[]) => void): void {
  const draw = createRandom(1);
  for (const subgroup of [[4, 4], [4, 8], [4, 64], [16, 32]] as const) {
    const turns = Array.from({ length: 4 }, (): Scan => {
      const values = Array.from({ length: 64 }, (): Pair => [draw.below(33), draw.below(33)]);
      const { before, all } = runningSums(values);
      return { values, expected: before.map((sum): Quad => [...sum, ...all]) };
    });
    check({ ...USUAL, workgroup: 64, subgroup }, turns);
  }
}

/** Names of the functions of a kernel that select tokens. */
export function selectingFunctions(source: string): string[] {
  /** Functions that attend, share out work or make the newest distance: the twin is given both. */
  const others = [
    "head_start",
    "row_offset",
    "cache_row",
    "kv_row",
    "query_quad",
    "capped",
    "store_out",
    "widen",
    "row_quad",
    "chunk_offset",
    "query_scale",
    "store_partial",
    "atomic_partial",
    "atomic_stats",
    "arrives_last",
    "arrives_last_of",
    "join_pool",
    "join_plain",
    "join_atomic",
    "factor_value",
    "score_bin",
    "units_of",
    "splits_of",
    "find_portion",
    "main",
  ];
  return Array.from(source.matchAll(/^fn (\w+)\(/gm), ([, name]) => name)
    .filter((name) => !others.includes(name));
}
