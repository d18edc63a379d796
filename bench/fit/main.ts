/**
 * Trains a learned map on traces: `deno task fit`. Exits 0 when done and 1 if training failed; the
 * other codes are in `exit_codes.ts`. Stopping it keeps the best map so far.
 * @module
 */
import { defaultDevice, getWebGPUDevice } from "@jax-js/jax";
import { saveMap } from "../edge/files/map_file.ts";
import { parseFile } from "../edge/files/parse_file.ts";
import { readContextsFile } from "../edge/files/trace_file.ts";
import { counted } from "../base/counted.ts";
import { guardDevice } from "../measure/device/device_loss.ts";
import { EXIT } from "../edge/exit_codes.ts";
import { createProgress } from "../edge/progress.ts";
import { checkWritable, writeWhole } from "../edge/files/output_file.ts";
import { runCommand } from "../edge/run_command.ts";
import {
  type Backend,
  BackendMismatchError,
  checkWebGpu,
  openBackend,
} from "./training/backend.ts";
import { readCheckpoint, writeCheckpoint } from "./training/checkpoint.ts";
import { FIT_COMMAND } from "./flags.ts";
import { DivergedError, MOST_UNREAD } from "./training/losses.ts";
import { toLearnedMap } from "./training/model/model.ts";
import { type FitOptions, parseFitOptions } from "./options.ts";
import { type FitRun, prepareRun } from "./run.ts";
import { type Status, train } from "./training/train.ts";

async function main(args: readonly string[]): Promise<number> {
  const options = parseFitOptions(args);
  const { out, checkpoint } = options;
  const run = await prepareRun(options, await readTraces(options.traces));
  for (const path of [out, checkpoint]) if (path !== null) checkWritable(path);
  const start = options.resume
    ? await parseFile(
      checkpoint!,
      "checkpoint",
      (bytes) => readCheckpoint(bytes, run.identity, run.shape),
    )
    : run.start;
  const interrupted = listenForSignals();
  const backend = await openChecked(options, run);
  const work = () => fit(options, { ...run, start }, MOST_UNREAD[backend], interrupted);
  // The garbage that a lost device computes must not be reported as diverged training.
  return backend === "webgpu" ? await guardDevice(getWebGPUDevice()).run(work) : await work();
}

function readTraces(paths: readonly string[]): Promise<Parameters<typeof prepareRun>[1]> {
  return Promise.all(paths.map(async (path) => ({
    name: baseName(path),
    contexts: await readContextsFile(path),
  })));
}

function baseName(path: string): string {
  return path.split(/[/\\]/).at(-1)!.replace(/\.safetensors$/, "");
}

/** Chooses the backend and checks it. */
async function openChecked({ backend: wanted }: FitOptions, run: FitRun): Promise<Backend> {
  const backend = await openBackend(wanted);
  if (backend === "webgpu") {
    const { recipe, shape, start, sample } = run;
    const check = { recipe, shape, params: start.state.params, batch: sample(0) };
    await guardDevice(getWebGPUDevice()).run(() => checkWebGpu(check));
  }
  defaultDevice(backend);
  const names = (contexts: readonly { readonly label: string }[]) =>
    contexts.map(({ label }) => label).join(", ") || "none";
  console.log(`Backend: ${backend === "webgpu" ? "webgpu, checked against wasm" : backend}`);
  console.log(`Training on ${names(run.split.training)}`);
  console.log(`Held out: ${names(run.split.validation)}`);
  return backend;
}

async function fit(
  options: FitOptions,
  run: FitRun,
  mostUnread: number,
  interrupted: () => boolean,
): Promise<number> {
  const { out, checkpoint, minutes } = options;
  const { recipe, shape, start, identity } = run;
  const progress = createProgress();
  progress.update("preparing validation", start.step / recipe.steps);
  const validate = run.createValidate();
  const begin = performance.now();
  const seconds = () => (performance.now() - begin) / 1000;
  const { best, last, ending } = await train({
    recipe,
    shape,
    sample: run.sample,
    validate,
    start,
    mostUnread,
    afterStep(status) {
      const { step } = status;
      if (step % Math.ceil(recipe.steps / 100) === 0) {
        progress.update(describe(status), step / recipe.steps);
      }
      return interrupted() || seconds() >= 60 * minutes;
    },
    save(snapshot) {
      if (checkpoint !== null) writeWhole(checkpoint, writeCheckpoint(snapshot, identity, shape));
    },
  }).finally(() => progress.clear());
  const steps = last.step - start.step;
  const mass = best.mass === null ? "none" : best.mass.toFixed(4);
  const about = { ...run.about, steps: String(best.step), val_mass: mass };
  saveMap(out, toLearnedMap(shape, best.params, about));
  if (ending === "early") console.log("Ended early: validation no longer improved.");
  if (ending === "stopped" && !interrupted()) {
    console.log(`Ended after ${counted(minutes, "minute")}.`);
  }
  console.log(
    `${counted(steps, "step")} in ${seconds().toFixed(0)} s (${
      (steps / seconds()).toFixed(1)
    } per second), ` +
      `loss ${last.loss.toFixed(4)}, validation mass ${mass} at step ${best.step}`,
  );
  console.log(`${interrupted() ? "Stopped; the best so far is written" : "Written"}: ${out}`);
  return interrupted() ? EXIT.stopped : EXIT.ok;
}

function describe({ step, loss, mass, best }: Status): string {
  const masses = mass === null ? "" : `, mass ${mass.toFixed(3)}, best ${best!.mass!.toFixed(3)}`;
  return `step ${step}: loss ${loss.toFixed(4)}${masses}`;
}

/** Records Ctrl-C, which comes twice under `deno task`, so that training can end in order. */
function listenForSignals(): () => boolean {
  let interrupted = false;
  const interrupt = () => void (interrupted = true);
  Deno.addSignalListener("SIGINT", interrupt);
  if (Deno.build.os !== "windows") Deno.addSignalListener("SIGTERM", interrupt);
  return () => interrupted;
}

/** Runs `main` and prints a failure of the training in one sentence. */
async function run(args: readonly string[]): Promise<number> {
  try {
    return await main(args);
  } catch (error) {
    if (!(error instanceof DivergedError || error instanceof BackendMismatchError)) throw error;
    console.error(error.message);
    return EXIT.failed;
  }
}

if (import.meta.main) Deno.exit(await runCommand(run, Deno.args, FIT_COMMAND));
