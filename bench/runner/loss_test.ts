/** A run keeps its results when the device is lost; the guard tells the loss from other errors. */
import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { SHIPPED_MAP } from "../edge/files/map_file.ts";
import { SHIPPED_TRACE } from "../edge/files/trace_file.ts";
import { shownPath } from "../edge/files/parse_file.ts";
import { openTestDevice } from "../../testing/device/test_device.ts";
import { DeviceLostError, guardDevice } from "../measure/device/device_loss.ts";
import { openAdapter } from "../edge/open_adapter.ts";
import { openDevice } from "../measure/device/adapter.ts";
import { readResults } from "../edge/files/read_files.ts";
import { parseRun } from "../results/run_json.ts";
import { command, inFolder, runProgram } from "../../testing/command.ts";

const MAIN = `${import.meta.dirname}/../run/main.ts`;

/** Two small cases. The device is lost when the second one compiles its dense kernel. */
const ARGS = ["--shape", "4x1x64", "--kv", "256,512", "--max-time", "0.2"];
const KERNELS = ["--kernels", "dense/split,merge/merge"];

/** Runs a command that loses its device when `label` is compiled for the `count`-th time. */
async function runLosing(label: string, count: number, program: string, ...args: string[]) {
  const preload = `${import.meta.dirname}/../../testing/device/loss.ts`;
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", "--preload", preload, program, ...args],
    env: { NO_COLOR: "1", TESTING_LOSS: `${label} ${count} always` },
  }).output();
  const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  return { code, out, err };
}

Deno.test("bench keeps its rows and writes the report on a lost device; the next run goes on", () =>
  inFolder(async (folder) => {
    const [dir, json] = [`${folder}/results`, `${folder}/run.json`];
    const files = ["--out", dir, "--json", json];
    const lost = await runLosing("dense/split", 2, MAIN, ...ARGS, ...KERNELS, ...files);
    assertEquals(lost.code, 3, lost.err);
    assertMatch(lost.err, /\nThe GPU device was lost[^\n]*\. What is measured is kept\.\n$/);
    assert(!lost.err.includes("    at ") && !lost.err.includes("FAILED"), lost.err);
    assertStringIncludes(lost.out, "4x1x64, 256 tokens");
    assert(!lost.out.includes("4x1x64, 512 tokens"));
    const { rows } = readResults(dir);
    assertEquals(rows.filter(({ verified }) => !verified), []);
    const kernels = rows.filter(({ stage }) => stage !== "probe").map(({ kernel }) => kernel);
    assertEquals(kernels.sort(), ["dense/split", "merge/merge"]);
    assertEquals(parseRun(Deno.readTextFileSync(json), json).rows.length, rows.length);
    assertStringIncludes(Deno.readTextFileSync(`${dir}/report.html`), "dense/split");

    const again = await runProgram(MAIN, ...ARGS, ...KERNELS, ...files);
    assertEquals(again.code, 0, again.err);
    assertStringIncludes(again.out, `\nKept ${rows.length} rows of an earlier run`);
  }));

Deno.test("bench reports a device that is lost before any measurement, in a sentence", () =>
  inFolder(async (folder) => {
    for (const label of ["probe/chain", "probe/fill"]) {
      const args = [...ARGS, ...KERNELS, "--out", `${folder}/${label.replace("/", "-")}`];
      const { code, err } = await runLosing(label, 1, MAIN, ...args);
      assertEquals(code, 3, err);
      assertMatch(err, /^The GPU device was lost[^\n]*\.\n$/);
    }
  }));

Deno.test("fit and quality report a lost device, not a wrong result", () =>
  inFolder(async (folder) => {
    const trace = ["--trace", shownPath(SHIPPED_TRACE)];
    const map = ["--map", shownPath(SHIPPED_MAP)];
    const fit = [...trace, "--steps", "2", "--val", "none", "--backend", "webgpu"];
    const quality = [...trace, ...map, "--methods", "learned", "--sparsity", "32"];
    for (
      const [main, args] of [
        ["../fit/main.ts", [...fit, "--out", `${folder}/map.safetensors`]],
        ["../quality/main.ts", [...quality, "--csv", `${folder}/quality.csv`]],
      ] as const
    ) {
      const { code, err } = await runLosing("any", 2, `${import.meta.dirname}/${main}`, ...args);
      assertEquals([main, code], [main, 3], err);
      assertMatch(err, /(^|\n)The GPU device was lost[^\n]*\.\n$/);
    }
    assertEquals(Array.from(Deno.readDirSync(folder)), []);
  }));

Deno.test("bench without an adapter fails as a system, not as wrong usage", () =>
  inFolder(async (folder) => {
    const args = [...ARGS, ...KERNELS, "--out", `${folder}/results`];
    const backend = Deno.build.os === "windows" ? "metal" : "dx12";
    const { code, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", MAIN, ...args],
      env: { NO_COLOR: "1", DENO_WEBGPU_BACKEND: backend },
    }).output();
    assertEquals(code, 3);
    assertMatch(new TextDecoder().decode(stderr), /^No WebGPU adapter was found [^\n]+\.\n$/);
    assertEquals(Array.from(Deno.readDirSync(folder)), []);
  }));

Deno.test("guardDevice() lets results and errors through while the device works", async () => {
  const { device } = await openTestDevice();
  const guard = guardDevice(device);
  assertEquals(await guard.run(() => Promise.resolve(7)), 7);
  const fault = new TypeError("a fault of the work");
  assertEquals(await guard.run(() => Promise.reject(fault)).catch((error) => error), fault);
  await guard.check();
});

Deno.test("guardDevice() reports the loss for work that waits or fails because of it", async () => {
  const { adapter } = await openAdapter();
  const open = async () => (await openDevice(adapter, [])).device;

  const waiting = await open();
  const forever = guardDevice(waiting).run(() => new Promise<void>(() => {}));
  waiting.destroy();
  await assertRejects(() => forever, DeviceLostError, "The GPU device was lost");

  const failing = await open();
  const guard = guardDevice(failing);
  const work = guard.run(async () => {
    failing.destroy();
    const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
    const buffer = failing.createBuffer({ size: 16, usage });
    await buffer.mapAsync(GPUMapMode.READ);
  });
  await assertRejects(() => work, DeviceLostError);
  // A wrong result counts only if the device still answers.
  await assertRejects(() => guard.check(), DeviceLostError);
});

Deno.test("guardDevice() takes a device that returns other bytes for lost", async () => {
  const wrong = (bytes: Uint8Array) => {
    const buffer = {
      destroy() {},
      mapAsync: () => Promise.resolve(),
      getMappedRange: () => bytes.buffer,
    };
    return {
      lost: new Promise(() => {}),
      createBuffer: () => buffer,
      createCommandEncoder: () => ({ copyBufferToBuffer() {}, finish() {} }),
      queue: { writeBuffer() {}, submit() {} },
    } as unknown as GPUDevice;
  };
  const zeros = guardDevice(wrong(new Uint8Array(8)));
  await assertRejects(() => zeros.check(), DeviceLostError, "it does not answer");
  const fails = zeros.run(() => Promise.reject(new Error("some error of the driver")));
  await assertRejects(() => fails, DeviceLostError);
});

Deno.test("runCommand() ends an uncaptured GPU error as a failure of the device", () =>
  inFolder(async (folder) => {
    const program = `${folder}/program.ts`;
    await Deno.writeTextFile(
      program,
      `import { openAdapter } from "${import.meta.resolve("../edge/open_adapter.ts")}";
       import { openDevice } from "${import.meta.resolve("../measure/device/adapter.ts")}";
       import { runCommand } from "${import.meta.resolve("../edge/run_command.ts")}";
       Deno.exit(await runCommand(async () => {
         const { device } = await openDevice((await openAdapter()).adapter, []);
         device.createBuffer({ size: 2 ** 45, usage: GPUBufferUsage.STORAGE });
         await device.queue.onSubmittedWorkDone();
         await new Promise((resolve) => setTimeout(resolve, 1000));
         return 0;
       }, []));`,
    );
    const { code, stderr } = await command(program).output();
    assertEquals(code, 3);
    assertStringIncludes(new TextDecoder().decode(stderr), "Uncaptured GPU error");
  }));
