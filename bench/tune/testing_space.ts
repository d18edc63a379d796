/** Test support: a small space of candidates with a rule, and the times of its candidates. */
import type { Params } from "../../kernels/core/problem/constants.ts";
import type { Problem } from "../../kernels/core/problem/problem.ts";
import { casesOf } from "../cases/cases.ts";
import { parseOptions } from "../run/options.ts";
import type { CandidateSpace } from "../tuning/candidates.ts";

/** Values of WORKGROUP and LANES; LANES may be at most WORKGROUP / 8. */
export function smallSpace(): CandidateSpace {
  const values = { WORKGROUP: [32, 64, 128, 256], LANES: [2, 4, 8, 16, 32] };
  return {
    values,
    defaults: { WORKGROUP: 128, LANES: 8, BLOCK: 7 },
    size: 20,
    at: (index) => ({
      WORKGROUP: values.WORKGROUP[index % 4],
      LANES: values.LANES[Math.floor(index / 4)],
      BLOCK: 7,
    }),
    allows: ({ WORKGROUP, LANES }) => LANES <= WORKGROUP / 8,
  };
}

/** Microseconds with a single minimum, at WORKGROUP 64 and LANES 4. */
export function valleyUs({ WORKGROUP, LANES }: Params): number {
  return 10 + Math.abs(Math.log2(WORKGROUP / 64)) + Math.abs(Math.log2(LANES / 4));
}

/** The problem of the first case that flags of `bench` ask for. */
export function problemOfCase(...flags: string[]): Problem {
  return casesOf(parseOptions(flags))[0].problem;
}
