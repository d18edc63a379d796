import { assert, assertEquals, assertMatch } from "@std/assert";
import { findVariant } from "../../kernels/core/registry.ts";
import { casesOf } from "../cases/cases.ts";
import { openSession, type Session } from "../measure/session.ts";
import { openAdapter } from "../edge/open_adapter.ts";
import { InputSets } from "../measure/inputs/inputs.ts";
import { parseOptions } from "../run/options.ts";
import { newOutcome, type Outcome, runCase } from "./run_cases.ts";
import type { ResultsWriter } from "../edge/files/results_writer.ts";
import type { GpuTimer } from "../measure/clock/timer.ts";
import { measureTogether } from "../tune/worker/measure_candidates.ts";
import type { Measured, Unmeasured } from "../tuning/messages.ts";

/** While true, the timer of the session gives no time. */
let isBlind = false;
let lastMessage = "";

const opened = await openSession(await openAdapter(), {
  hot: true,
  noisePct: 1,
  maxTimeMs: 200,
  timer: "auto",
  seed: 1,
  memoryBytes: 1e9,
  suiteVersion: "0",
  commit: "0",
  onProgress(message) {
    lastMessage = message;
  },
});
const timer: GpuTimer = {
  ...opened.timer,
  async time(passes, before) {
    const times = await opened.timer.time(passes, before);
    return isBlind || lastMessage.includes("timing") ? times.map(() => null) : times;
  },
};
const session: Session = { ...opened, timer };
const args = ["--shape", "4x1x64", "--kv", "128", "--kernels", "merge/merge,dense/split"];
const [benchCase] = casesOf(parseOptions(args));

const WHY = "this device's timestamps gave no time for it; --timer wall goes without them";

async function measured(): Promise<Outcome> {
  lastMessage = "";
  const outcome = newOutcome();
  const results = { append() {} } as unknown as ResultsWriter;
  await runCase(outcome, session, benchCase, [], results);
  return outcome;
}

Deno.test("runCase() leaves out kernels without any time, with a sentence for each", async () => {
  const { rows, leftOut, tooLarge } = await measured();
  assert(rows.length > 0 && rows.every(({ stage }) => stage === "probe"));
  assertEquals([...leftOut], [`merge/merge: ${WHY}`, `dense/split: ${WHY}`]);
  assertEquals(tooLarge, []);
});

Deno.test("runCase() gives a kernel that does not compile a FAILED row, and goes on", async () => {
  const { device } = session;
  const create = device.createShaderModule;
  device.createShaderModule = (descriptor) =>
    create.call(device, descriptor.label === "dense/split" ? { code: "no WGSL" } : descriptor);
  try {
    const other = casesOf(parseOptions(args.with(3, "192")))[0];
    const outcome = newOutcome();
    lastMessage = "";
    await runCase(outcome, session, other, [], { append() {} } as unknown as ResultsWriter);
    const [row, ...more] = outcome.rows.filter(({ stage }) => stage !== "probe");
    assertEquals(more, []);
    assertEquals([row.kernel, row.verified, row.median_us, row.rel_l2_err], [
      "dense/split",
      false,
      null,
      null,
    ]);
    assertMatch(row.failure, /^dense\/split does not compile: /);
    assertEquals([...outcome.leftOut], [`merge/merge: ${WHY}`]);
  } finally {
    device.createShaderModule = create;
  }
});

Deno.test("runCase() ends a case in one sentence if a probe has no time", async () => {
  isBlind = true;
  const { rows, tooLarge } = await measured();
  assertEquals(rows, []);
  assertEquals(tooLarge, [`4x1x64 at 128 tokens: probe/chain: ${WHY}.`]);
  isBlind = false;
});

Deno.test("measureTogether() leaves a candidate without any time unmeasured", async () => {
  isBlind = true;
  const variant = findVariant("merge/merge");
  const { problem } = benchCase;
  const { device, limits } = session;
  const inputs = new InputSets(device, problem, {
    limits,
    seed: 1,
    budgetBytes: 1e9,
    unroll: false,
  });
  const kept: Measured[] = [];
  const left: Unmeasured[] = [];
  await measureTogether(
    {
      session,
      inputs,
      variant,
      noisePct: 1,
      send: () => {},
      onMeasured: (each) => kept.push(each),
      onUnmeasured: (each) => left.push(each),
      isLate: () => false,
    },
    [variant.defaults(problem, limits)],
    "explore",
  );
  assertEquals(kept, []);
  assertEquals(left.map(({ why }) => why), ["the timer gave no time for it"]);
  inputs.destroy();
  isBlind = false;
});
