/** The methods of selection that `deno task quality` compares. */
import { doubleSparsitySelector } from "./double_sparsity.ts";
import { learnedSelector } from "./learned.ts";
import { questSelector } from "./quest.ts";
import { randomSelector } from "./random_codes.ts";
import type { Method } from "../selection/selector.ts";

/** The exact top-k: the upper bound of quality, against which recall is measured. */
export const ORACLE: Method = {
  name: "oracle",
  description: "the largest true dot products (reads the keys)",
  prepare: ({ headDim }) => ({
    bitsPerToken: 16 * headDim,
    costs: ({ dots }) => dots.map((dot) => -dot),
  }),
};

function random(bits: number): Method {
  return {
    name: `random-${bits}`,
    description: `Hamming distance of ${bits} bits of a random projection per query head`,
    prepare: (context, { seed }) => randomSelector(context, bits, seed),
  };
}

/** Every method, in the order in which results show them. */
export const METHODS: readonly Method[] = [
  ORACLE,
  {
    name: "learned",
    description: "the map of --map, through the WGSL pipeline on this device",
    needs: "map",
    prepare: (context, { learned, ...inputs }) =>
      learnedSelector(context, { ...learned!, ...inputs }),
  },
  random(32),
  random(128),
  random(512),
  {
    name: "double-sparsity-16",
    description: "16 channels per query head, f16, chosen on --fit-trace's first context",
    needs: "fit-trace",
    prepare: (context, { fit }) => doubleSparsitySelector(context, 16, fit!),
  },
  {
    name: "quest-16",
    description: "pages of 16 tokens, ranked by the bound of their minima and maxima",
    prepare: (context) => questSelector(context, 16),
  },
  {
    name: "edges",
    description: "the sink and the recent window alone",
    prepare: () => ({ bitsPerToken: 0, costs: () => null }),
  },
];
