/** The quality of a method at each budget on a trace, by the device's own pipeline. */
import type { Problem } from "../../kernels/core/problem/problem.ts";
import type { LearnedMap } from "../../kernels/maps/learned_map.ts";
import { chooseParams } from "../cases/tuned_choice.ts";
import { type Given, InputSets } from "../measure/inputs/inputs.ts";
import { prepare, recorderOf } from "../measure/prepared_variant.ts";
import { eligible, type Session } from "../measure/session.ts";
import { queriesAt } from "../selection/device_steps.ts";
import { type Arrangement, mapGiven, traceGiven, traceSizes } from "./arrangement.ts";
import { type StepQuality, stepQuality } from "./error.ts";
import type { FrontierMethod } from "./methods.ts";
import { type Step, variantsOf } from "./steps.ts";
import type { Truth } from "./truth.ts";
import { withBudget } from "./with_budget.ts";

/** The quality of a step, and what its check found wrong. */
export interface CheckedQuality extends StepQuality {
  /** What the check of the step on this trace found wrong; null if nothing. */
  readonly failure: string | null;
}

/** A trace with its maps, arranged for a shape. */
export interface TraceInput {
  readonly truth: Truth;
  readonly arrangement: Arrangement;
  readonly map: LearnedMap | null;
  /** Whether each step's output is also checked against that of its own choice of tokens. */
  readonly verified: boolean;
}

/**
 * Measures a method on a trace at each budget.
 *
 * @param onProgress Called with the share that is done.
 * @throws {RangeError} in one sentence, if no pipeline of the method can run on this trace.
 */
export async function traceQuality(
  session: Session,
  method: FrontierMethod,
  { truth, arrangement, map, verified }: TraceInput,
  steps: readonly Step[],
  onProgress: (fraction: number) => void = () => {},
): Promise<CheckedQuality[]> {
  const { device, facts, limits, settings } = session;
  const sizes = traceSizes(truth.trace, arrangement);
  const problems = steps.map(({ problem }): Problem => ({ ...problem, ...sizes }));
  const base = { ...traceGiven(truth.trace, problems[0]), q: () => queriesAt(truth.trace, 0) };
  const inputsOf = (p: Problem, given: Given) =>
    new InputSets(device, p, {
      limits,
      seed: settings.seed,
      budgetBytes: session.inputBytes,
      unroll: !facts.software,
      given,
      encode: true,
    });
  const opened: InputSets[] = [];
  const open = (p: Problem, given: Given) => {
    const inputs = inputsOf(p, given);
    opened.push(inputs);
    return inputs;
  };
  try {
    const maps = map === null ? {} : mapGiven(map, problems[0]);
    const index = await method.index?.({
      trace: truth.whole,
      problem: problems[0],
      inputs: (tokens, given) => open({ ...problems[0], kvLen: tokens }, { ...base, ...given }),
    });
    const inputs = open(problems[0], { ...base, ...maps, ...index });
    const found: CheckedQuality[] = [];
    for (const [i, problem] of problems.entries()) {
      onProgress(i / problems.length);
      const [variant] = eligible(session, problem, variantsOf(session, method, problem), true).able;
      const { params } = await chooseParams({ facts, limits, ...settings }, variant, problem);
      const source = withBudget(inputs, problem);
      const prepared = await prepare(source, variant, params, { hot: true, layers: 1 });
      try {
        const buffers = prepared.buffersOf(0);
        const restarts = await Promise.all(
          (method.restarts ?? []).map((each) => recorderOf(source, each, buffers)),
        );
        const check = verified ? await prepared.verify(0) : null;
        const quality = await stepQuality(truth, {
          device,
          buffers,
          restart: (pass) => restarts.forEach((record) => record(pass)),
          record: (pass) => prepared.record(pass, 0),
        });
        found.push({
          ...quality,
          failure: check === null || check.ok
            ? null
            : `${variant.name} on ${truth.name}: ${check.checked}`,
        });
      } finally {
        prepared.destroy();
      }
    }
    return found;
  } finally {
    for (const inputs of opened) inputs.destroy();
  }
}
