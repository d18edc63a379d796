/** Codes as the part of a problem that a method of selection decides. */
import type { Problem } from "../../kernels/core/problem/problem.ts";
import type { LearnedMap } from "../../kernels/maps/learned_map.ts";

/** How codes are made, scored and selected by. */
export type Code = Pick<
  Problem,
  "bits" | "sharing" | "map" | "planes" | "rotationSeed" | "centre" | "ties"
>;

/** The code of a learned map, which a query weighs with magnitude planes. */
export function learnedCode({ shape }: LearnedMap, planes: number): Code {
  const { bits, sharing, map } = shape;
  return { bits, sharing, map, planes };
}
