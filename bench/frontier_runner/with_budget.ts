/** The inputs of one problem for another that differs in its budget alone. */
import type { Problem } from "../../kernels/core/problem/problem.ts";
import type { KnownReferences } from "../../kernels/verify/verify.ts";
import type { InputSource } from "../measure/inputs/input_source.ts";
import type { InputSets } from "../measure/inputs/inputs.ts";

/** Shares the buffers of `inputs`, but no result of a reference: these depend on the budget. */
export function withBudget(inputs: InputSets, problem: Problem): InputSource {
  const { device, settings } = inputs;
  const known = new Map<string, KnownReferences>();
  return {
    device,
    problem,
    settings,
    get: inputs.get.bind(inputs),
    known(set, piece = 0) {
      const key = `${set} ${piece}`;
      const found = known.get(key) ?? new Map();
      known.set(key, found);
      return found;
    },
    // The buffers belong to `inputs`.
    destroy() {},
  };
}
