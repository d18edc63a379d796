/**
 * Tries mutants of one kernel on its tests, in a process of its own: a mutant may hang the device or
 * bring the process down. Reads a job and says what becomes of each mutant.
 * @module
 */
import { dispatchWgsl } from "../../kernels/core/run/program.ts";
import { dialectOf } from "../../kernels/core/wgsl/wgsl_compiler.ts";
import type { Dispatch, Kernel } from "../../kernels/core/variant.ts";
import { findVariant } from "../../kernels/core/registry.ts";
import { emulatedDispatch, hasMatrices } from "../../testing/device/emulated_matrices.ts";
import { openTestDevice } from "../../testing/device/test_device.ts";
import { kernelUsers } from "./kernel_users.ts";
import { drawMutants, type DrawnMutant } from "./draw.ts";
import { isEquivalent } from "./equivalents.ts";
import { registeredTests, ReplaceableKernel, stageTests, testsOf } from "./kernel_tests.ts";
import type { Job, Message } from "./messages.ts";
import { type Failure, TestRunner } from "./test_runner.ts";
import { trials } from "./trials.ts";

const BEAT_MS = 2000;

function say(message: Message): void {
  console.log(JSON.stringify(message));
}

/** Whether a text compiles as its variants run it by default, its loops rolled or written out. */
async function compiles(
  device: GPUDevice,
  dispatches: readonly Dispatch[],
  source: string,
): Promise<boolean> {
  const dialect = await dialectOf(device);
  for (const { kernel, ...rest } of dispatches) {
    for (const unroll of [false, true]) {
      const code = written(() => {
        const dispatch = { ...rest, kernel: { ...kernel, source } };
        const able = hasMatrices(device) ? dispatch : emulatedDispatch(dispatch);
        return dispatchWgsl(able, { unroll, dialect });
      });
      if (code === undefined) return false;
      device.pushErrorScope("validation");
      device.createShaderModule({ code });
      if (await device.popErrorScope() !== null) return false;
    }
  }
  return true;
}

/** A text, or undefined where it cannot be made. */
function written(make: () => string): string | undefined {
  try {
    return make();
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/**
 * The variants whose tests judge a kernel. Those of its own folder have tests enough: whole steps
 * should find nothing more. Only of what attention does for a shared prefix have they none.
 */
function testedVariants(name: string, users: readonly string[], { params }: Kernel): string[] {
  const [folder] = name.split("/");
  const ofFolder = users.filter((variant) => variant.split("/")[0] === folder);
  if (ofFolder.length === 0) return [...users];
  const prefixed = folder === "attend" && "PREFIX" in params
    ? users.filter((variant) => findVariant(variant).sharedPrefix === "only")
    : [];
  return [...ofFolder, ...prefixed];
}

async function work({ kernel: name, seed, count, from }: Job): Promise<void> {
  const users = (await kernelUsers()).get(name);
  if (!users) throw new Error(`no variant runs ${name} on this device`);
  const { variants, dispatches } = users;
  const own = testedVariants(name, variants, dispatches[0].kernel);
  const files = stageTests(own).map((file) => new URL(`../../${file}`, import.meta.url));
  const tests = testsOf(own, await registeredTests(files));
  const kernel = new ReplaceableKernel([...new Set(dispatches.map(({ kernel }) => kernel))]);
  const runner = new TestRunner(kernel, tests);
  const { device } = await openTestDevice();
  const judge = async (mutant: DrawnMutant): Promise<Failure | null> => {
    if (!await compiles(device, dispatches, mutant.source)) return { kind: "compile", test: "" };
    // Where something is known to survive, the short tests show most of what is wrong about that.
    return await runner.firstFailure(mutant.source, isEquivalent(mutant) ? "short" : "all");
  };
  const drawn = drawMutants(name, kernel.original, seed);
  for await (const message of trials(drawn, { from, count }, judge)) say(message);
}

const beat = setInterval(() => say({ type: "beat" }), BEAT_MS);
try {
  await work(JSON.parse(await new Response(Deno.stdin.readable).text()));
} catch (error) {
  say({ type: "fault", message: error instanceof Error ? error.message : String(error) });
} finally {
  clearInterval(beat);
  // A device that is busy for ever would keep the process.
  Deno.exit(0);
}
