/** The methods of selection that `deno task quality` compares. */
import { doubleSparsitySelector } from "./double_sparsity.ts";
import { type Code, learnedCode } from "../codes.ts";
import { deviceSelector } from "./device_codes.ts";
import { questSelector } from "./quest.ts";
import { randomSelector } from "./random_codes.ts";
import { ROTATED_CODE } from "../../../kernels/core/problem/problem.ts";
import { rotatedSelector } from "./rotated.ts";
import { weightedLearnedSelector } from "./weighted_learned.ts";
import type { Method } from "../selector.ts";

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

/** The weights that a query may give to a bit of a code, by its planes. */
const WEIGHTS = ["1", "0 or 1", "0 to 3", "0 to 7"];

/** The method without planes is the paper's. */
function learned(planes: number): Method {
  return {
    name: planes === 0 ? "learned" : `learned-w${planes}`,
    description: planes === 0
      ? "the codes of --map, by Hamming distance"
      : `the codes of --map; a query weighs each bit ${WEIGHTS[planes]}`,
    needs: "map",
    onDevice: true,
    prepare(context, { map, device, ...inputs }) {
      if (device === null) {
        return weightedLearnedSelector(context, { map: map!, planes, windows: inputs.windows });
      }
      const code = learnedCode(map!, planes);
      return deviceSelector(context, { ...inputs, device, code, map: map! });
    },
  };
}

function rotated(bits: number, planes: number, centre = false): Method {
  return {
    name: `rotated-${bits}-w${planes}${centre ? "-centred" : ""}`,
    // Two planes are what the kernels are measured with.
    ...(planes === 2 && !centre ? { alias: `rotated-${bits}` } : {}),
    description: `${bits} rotated bits and a byte per KV head; a query weighs each bit ${
      WEIGHTS[planes]
    }${centre ? "; of keys less their mean" : ""}`,
    onDevice: true,
    prepare(context, { seed, device, ...inputs }) {
      if (device === null) return rotatedSelector(context, { bits, planes, seed, centre });
      const code: Code = { ...ROTATED_CODE, bits, planes, rotationSeed: seed, centre };
      return deviceSelector(context, { ...inputs, device, code, map: null });
    },
  };
}

/** Every method, in the order in which results show them. */
export const METHODS: readonly Method[] = [
  ORACLE,
  ...[0, 1, 2, 3].map(learned),
  ...[0, 1, 2, 3].map((planes) => rotated(128, planes)),
  rotated(128, 2, true),
  rotated(64, 2),
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
