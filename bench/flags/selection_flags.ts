/** The flags that say how tokens are selected: the score, its codes, the budget and the windows. */
import {
  type CodeSharing,
  DEFAULT_BINS,
  type MapShape,
  ROTATED_CODE,
  type TieRule,
} from "../../kernels/core/problem/problem.ts";
import { UsageError } from "../base/usage_error.ts";
import { type CaseOptions, type Score, SCORES } from "../cases/case_options.ts";
import type { Flags } from "./flag_table.ts";
import { MAX_U32, oneOf, tokenCount, wholeNumber } from "./flag_values.ts";
import type { Parsed } from "./parse_flags.ts";

/** The maps that `--map` names. */
const MAPS = {
  mlp: { layers: 3, hidden: 128, dtype: "f16" },
  random: { layers: 1, hidden: 128, dtype: "f16" },
} as const satisfies Readonly<Record<string, MapShape>>;

/** The map of a random projection. */
export const RANDOM_MAP: MapShape = MAPS.random;

/** The default map for each way to share codes. */
const DEFAULT_MAPS: Readonly<Record<CodeSharing, keyof typeof MAPS>> = {
  head: "mlp",
  kv: "random",
  group: "random",
};

/** The magnitude planes that each score takes. */
const PLANES: Readonly<Record<Score, { least: number; most: number; default: number }>> = {
  hamming: { least: 0, most: 0, default: 0 },
  weighted: { least: 1, most: 3, default: 2 },
  rotated: { least: 0, most: 3, default: ROTATED_CODE.planes },
};

/** `0` or `1 to 3`: the planes that a score takes. */
function planesText(score: Score): string {
  const { least, most } = PLANES[score];
  return least === most ? String(least) : `${least} to ${most}`;
}

/** Bits of a code by default. */
const DEFAULT_BITS: Readonly<Record<Score, number>> = {
  hamming: 32,
  weighted: 32,
  rotated: ROTATED_CODE.bits,
};

/** How tokens are selected. */
export const SELECTION_FLAGS = {
  score: {
    value: "KIND",
    default: "hamming",
    read: oneOf<Score>(...SCORES),
    help:
      "hamming: the bits that differ, as in the paper; weighted: each bit weighed by the query's " +
      "magnitude there; rotated: the query times rotated keys of one bit, which need no training",
    contradicts: ["set"],
  },
  planes: {
    value: "N",
    defaultNote: `${PLANES.hamming.default} for --score hamming, else ${PLANES.weighted.default}`,
    read: wholeNumber(0, 3),
    help: "bits of a query's magnitude beside its sign: " +
      SCORES.map((score) => `${planesText(score)} for ${score}`).join(", "),
    contradicts: ["set"],
  },
  bins: {
    value: "N",
    default: String(DEFAULT_BINS.count),
    read: oneOf("16", "32", "64", "128", "256"),
    help: "bins of a score of --score rotated: 16, 32, 64, 128 or 256",
    contradicts: ["set"],
  },
  centre: {
    help:
      "with --score rotated: subtract the prompt's mean key from keys, which takes the encoder " +
      "of the prompt a pass more",
    contradicts: ["set"],
  },
  bits: {
    value: "N",
    defaultNote: `${DEFAULT_BITS.rotated} for --score rotated, else ${DEFAULT_BITS.hamming}`,
    read: oneOf("32", "64", "128"),
    help: "bits of a code: 32, 64 or 128",
    contradicts: ["set"],
  },
  sharing: {
    value: "SCOPE",
    defaultNote: "kv for --score rotated, which takes no other; else head",
    read: oneOf<CodeSharing>("head", "kv", "group"),
    help:
      "head: one code per query head; kv: one code per KV head; group: also one selection per KV " +
      "head",
    contradicts: ["set"],
  },
  map: {
    value: "KIND",
    defaultNote: `${DEFAULT_MAPS.head} for --sharing head, else ${DEFAULT_MAPS.group}`,
    read: oneOf("mlp", "random"),
    help: `mlp: ${MAPS.mlp.layers} layers of width ${MAPS.mlp.hidden}; random: one linear layer; ` +
      "--score rotated has a rotation instead",
    contradicts: ["set"],
  },
  sparsity: {
    value: "S",
    default: "32",
    read: wholeNumber(1, MAX_U32),
    help: "select 1/S of the tokens",
    contradicts: ["k", "set"],
  },
  k: {
    value: "N",
    read: tokenCount(0, MAX_U32),
    help: "select N tokens instead",
    contradicts: ["set"],
  },
  ties: {
    value: "WHICH",
    defaultNote: `${ROTATED_CODE.ties} for --score rotated, else lower`,
    read: oneOf<TieRule>("lower", "higher"),
    help: "tokens to take of those that tie for the last place: those of lower or higher index",
    contradicts: ["set"],
  },
  sink: {
    value: "N",
    default: "128",
    read: tokenCount(0, MAX_U32),
    help: "first tokens that are always attended",
    contradicts: ["set"],
  },
  recent: {
    value: "N",
    default: "128",
    read: tokenCount(0, MAX_U32),
    help: "last tokens that are always attended",
    contradicts: ["set"],
  },
} as const satisfies Flags;

/** The way to make codes that the flags ask for, and the score. */
type Codes = Pick<CaseOptions, "bits" | "sharing" | "map" | "planes" | "bins" | "centre">;

/** A command line with at least the flags of a selection. */
type ParsedSelection = Pick<Parsed<{ selection: typeof SELECTION_FLAGS }>, "values" | "given">;

/**
 * The way to make codes.
 *
 * @throws {UsageError} in one sentence, for flags that contradict the score.
 */
export function codesOf({ values, given }: ParsedSelection): Codes {
  const { score } = values;
  const isRotated = score === "rotated";
  const sharing = values.sharing ?? (isRotated ? ROTATED_CODE.sharing : "head");
  checkPlanes(score, values.planes);
  if (isRotated) checkRotated(sharing, values.map);
  else if (given.has("bins")) {
    throw new UsageError(`--bins ${values.bins} needs --score rotated, not ${score}.`);
  } else if (values.centre) {
    throw new UsageError(`--centre needs --score rotated, not ${score}.`);
  }
  return {
    bits: Number(values.bits ?? DEFAULT_BITS[score]),
    sharing,
    map: isRotated ? ROTATED_CODE.map : MAPS[values.map ?? DEFAULT_MAPS[sharing]],
    planes: values.planes ?? PLANES[score].default,
    bins: { ...DEFAULT_BINS, count: Number(values.bins) },
    centre: values.centre,
  };
}

function checkPlanes(score: Score, planes: number | null): void {
  const { least, most } = PLANES[score];
  if (planes === null || planes >= least && planes <= most) return;
  const others = SCORES.filter((other) => other !== score)
    .map((other) => `${other} takes ${planesText(other)}`).join(" and ");
  throw new UsageError(
    `--planes ${planes} does not fit --score ${score}, which takes ${
      planesText(score)
    }; ${others}.`,
  );
}

/** Refuses what contradicts rotated codes. */
function checkRotated(sharing: CodeSharing, map: string | null): void {
  if (sharing !== ROTATED_CODE.sharing) {
    throw new UsageError(`--sharing ${sharing} does not fit --score rotated, which takes kv.`);
  }
  if (map !== null) {
    throw new UsageError(`--map ${map} does not fit --score rotated, which has a rotation as map.`);
  }
}
