/**
 * The registry under Deno's own runner: `deno bench -A`. Small cases on a software adapter. Deno
 * sees the time from submission until the GPU is idle; the main job's timestamps are finer. Tuned
 * parameters are used where there are any, and named; `deno bench -A -- --no-tuned` leaves them out.
 * @module
 */
import type { Contender, Params } from "../kernels/core/contender.ts";
import { type Problem, shapeName } from "../kernels/core/problem.ts";
import { CONTENDERS } from "../kernels/core/registry.ts";
import { casesOf } from "./cases/cases.ts";
import { eligible } from "./measure/context.ts";
import { type Contestant, prepare, PROMPT_STAGES } from "./measure/contestant.ts";
import { openCheckedDevice } from "./measure/device/checked_device.ts";
import { openAdapter } from "./edge/open_adapter.ts";
import { InputSets } from "./measure/inputs/inputs.ts";
import { parseOptions } from "./flags/options.ts";
import { loadTuning } from "./edge/files/tuning_file.ts";
import { chooseParams } from "./cases/tuned_choice.ts";

const host = await openAdapter();
const { info } = host;
const { device, features, limits } = await openCheckedDevice(host, ["subgroups"]);

/** Deno may run this without permission to read, and then nothing was tuned. */
const mayRead = Deno.permissions.querySync({ name: "read" }).state === "granted";
const tuning = mayRead && !Deno.args.includes("--no-tuned") ? loadTuning(null) : undefined;

const CASES = info.software
  ? ["--shape", "8x2x128", "--kv", "512"]
  : ["--models", "llama-3.1-8b,qwen2.5-7b", "--kv", "32768"];
/** A submission costs some 50 us, which has to vanish in the steps that it brings. */
const STEPS = info.software ? 1 : 100;
const BASELINE = "dense/split";

for (const { problem } of casesOf(parseOptions(CASES))) {
  const inputs = new InputSets(device, problem, {
    limits,
    seed: 1,
    budgetBytes: info.software ? 2e9 : 6e9,
    unroll: !info.software,
  });
  for (const contender of eligible({ features, limits }, problem, CONTENDERS).able) {
    const steps = PROMPT_STAGES.includes(contender.stage) ? 1 : STEPS;
    const { params, note } = await chooseParams(
      { facts: info, limits, tuning },
      contender,
      problem,
    );
    addBench(inputs, contender, params, steps, {
      name: note === null ? contender.name : `${contender.name} (${note})`,
      group: groupName(problem, steps, contender),
      baseline: contender.name === BASELINE,
    });
  }
}

function groupName(problem: Problem, steps: number, { stage }: Contender): string {
  const what = PROMPT_STAGES.includes(stage)
    ? "the whole prompt"
    : steps === 1
    ? "one decode step"
    : `${steps} decode steps`;
  return `${shapeName(problem)}, ${problem.kvLen} tokens: ${what} on ${info.adapter}`;
}

function addBench(
  inputs: InputSets,
  contender: Contender,
  params: Params,
  steps: number,
  naming: { name: string; group: string; baseline: boolean },
): void {
  let ready: Promise<Contestant> | undefined;
  let step = 0;
  const encode = ({ record }: Contestant) => {
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    for (let i = 0; i < steps; i++) record(pass, step++);
    pass.end();
    return encoder.finish();
  };
  Deno.bench({
    ...naming,
    async fn(b) {
      const contestant = await (ready ??= prepareVerified(inputs, contender, params));
      const [untimed, timed] = [encode(contestant), encode(contestant)];
      // The clock sinks in the 10 ms that an await costs: the same work right before brings it
      // back. The call, not the await, is what blocks until the GPU is idle.
      device.queue.submit([untimed]);
      const warm = device.queue.onSubmittedWorkDone();
      b.start();
      device.queue.submit([timed]);
      const done = device.queue.onSubmittedWorkDone();
      b.end();
      await Promise.all([warm, done]);
    },
  });
}

/** Nothing is timed that is not right. */
async function prepareVerified(
  inputs: InputSets,
  contender: Contender,
  params: Params,
): Promise<Contestant> {
  const contestant = await prepare(inputs, contender, params, info.software);
  const verdict = await contestant.verify(0);
  if (!verdict.ok) {
    throw new Error(`${contender.name} FAILED its check: ${JSON.stringify(verdict.worst)}`);
  }
  return contestant;
}
