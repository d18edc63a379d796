/**
 * Runs all variants under Deno's own runner: `deno bench -A`. A software adapter gets small cases.
 * Deno measures the time from submission until the GPU is idle; the timestamps of `deno task bench`
 * are finer. Tuned parameters are used and named; `deno bench -A -- --no-tuned` ignores them.
 * @module
 */
import type { Params } from "../kernels/core/problem/constants.ts";
import type { Variant } from "../kernels/core/variant.ts";
import type { Problem } from "../kernels/core/problem/problem.ts";
import { shapeName } from "../kernels/core/problem/derived.ts";
import { VARIANT_FEATURES, VARIANTS } from "../kernels/core/registry.ts";
import { encodePass } from "../kernels/core/run/run.ts";
import { casesOf } from "./cases/cases.ts";
import { eligible } from "./measure/session.ts";
import { prepare, type PreparedVariant, PROMPT_STAGES } from "./measure/prepared_variant.ts";
import { openCheckedDevice } from "./measure/device/checked_device.ts";
import { callBlocks } from "./measure/clock/gpu_passes.ts";
import { WGPU } from "./measure/device/gpu_choice.ts";
import { openAdapter } from "./edge/open_adapter.ts";
import { InputSets } from "./measure/inputs/inputs.ts";
import { parseCaseOptions } from "./flags/case_flags.ts";
import { loadTuning } from "./edge/files/tuning_file.ts";
import { chooseParams } from "./cases/tuned_choice.ts";

// `deno bench` has no flags for its files.
const mayReadEnv = Deno.permissions.querySync({ name: "env" }).state === "granted";
const gpu = mayReadEnv && Deno.env.get("HASHATTENTION_GPU") === "dawn" ? "dawn" : "wgpu";
const openedAdapter = await openAdapter({ gpu: { ...WGPU, gpu } });
const { info } = openedAdapter;
const { device, features, limits } = await openCheckedDevice(openedAdapter, VARIANT_FEATURES);

const blocks = callBlocks(device);

/** Without permission to read files there are no tuned parameters. */
const mayRead = Deno.permissions.querySync({ name: "read" }).state === "granted";
const tuning = mayRead && !Deno.args.includes("--no-tuned") ? loadTuning(null) : undefined;

const CASES = info.software
  ? ["--shape", "8x2x128", "--kv", "512"]
  : ["--models", "llama-3.1-8b,qwen2.5-7b", "--kv", "32768"];
/** Steps per submission, whose cost of about 50 us must be small beside them. */
const STEPS = info.software ? 1 : 100;
const BASELINE = "dense/split";

for (const { problem } of casesOf(parseCaseOptions(CASES))) {
  const inputs = new InputSets(device, problem, {
    limits,
    seed: 1,
    budgetBytes: info.software ? 2e9 : 6e9,
    unroll: !info.software,
  });
  for (const variant of eligible({ features, limits }, problem, VARIANTS).able) {
    const steps = PROMPT_STAGES.includes(variant.stage) ? 1 : STEPS;
    const { params, note } = await chooseParams(
      { facts: info, limits, tuning },
      variant,
      problem,
    );
    addBench(inputs, variant, params, steps, {
      name: note === null ? variant.name : `${variant.name} (${note})`,
      group: groupName(problem, steps, variant),
      baseline: variant.name === BASELINE,
    });
  }
}

function groupName(problem: Problem, steps: number, { stage }: Variant): string {
  const work = PROMPT_STAGES.includes(stage)
    ? "the whole prompt"
    : steps === 1
    ? "one decode step"
    : `${steps} decode steps`;
  return `${shapeName(problem)}, ${problem.kvLen} tokens: ${work} on ${info.adapter}`;
}

function addBench(
  inputs: InputSets,
  variant: Variant,
  params: Params,
  steps: number,
  naming: { name: string; group: string; baseline: boolean },
): void {
  let ready: Promise<PreparedVariant> | undefined;
  let step = 0;
  const encode = ({ record }: PreparedVariant) =>
    encodePass(device, (pass) => {
      for (let i = 0; i < steps; i++) record(pass, step++);
    });
  Deno.bench({
    ...naming,
    async fn(b) {
      const prepared = await (ready ??= prepareVerified(inputs, variant, params));
      const [untimed, timed] = [encode(prepared), encode(prepared)];
      // The clock falls during the 10 ms of an await, so the same work runs untimed right before,
      // and nothing is awaited where the call itself blocks until the GPU is idle.
      device.queue.submit([untimed]);
      const warm = device.queue.onSubmittedWorkDone();
      if (!blocks) await warm;
      b.start();
      device.queue.submit([timed]);
      const done = device.queue.onSubmittedWorkDone();
      if (!blocks) await done;
      b.end();
      await Promise.all([warm, done]);
    },
  });
}

/** Prepares a variant and verifies it, so that no wrong kernel is timed. */
async function prepareVerified(
  inputs: InputSets,
  variant: Variant,
  params: Params,
): Promise<PreparedVariant> {
  const prepared = await prepare(inputs, variant, params, {
    hot: info.software,
    layers: 1,
  });
  const checkResult = await prepared.verify(0);
  if (!checkResult.ok) {
    throw new Error(`${variant.name} FAILED its check: ${JSON.stringify(checkResult.worst)}`);
  }
  return prepared;
}
