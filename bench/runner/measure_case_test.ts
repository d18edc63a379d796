import { assert, assertEquals, assertMatch } from "@std/assert";
import { readTraceFile, SHIPPED_TRACE } from "../edge/files/trace_file.ts";
import type { ResultRow } from "../results/row.ts";
import { findVariant } from "../../kernels/core/registry.ts";
import { casesOf } from "../cases/cases.ts";
import { openSession, type Session } from "../measure/session.ts";
import { openAdapter } from "../edge/open_adapter.ts";
import { InputSets } from "../measure/inputs/inputs.ts";
import { parseOptions } from "../run/options.ts";
import { newOutcome, type Outcome, runCase } from "./run_cases.ts";
import type { ResultsWriter } from "../edge/files/results_writer.ts";
import type { GpuTimer } from "../measure/clock/gpu_timer.ts";
import { measureTogether } from "../tune/worker/measure_candidates.ts";
import type { Measured, Unmeasured } from "../tuning/messages.ts";

/** While true, the timer of the session gives no time. */
let isBlind = false;
let lastMessage = "";

const opened = await openSession(await openAdapter(), {
  hot: true,
  layers: 1,
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

Deno.test("runCase() gives the steps of a trace its quality, in the rows that it saves", async () => {
  const trace = await readTraceFile(SHIPPED_TRACE);
  const line = "--trace t --score rotated --kernels dense/split,pipeline/rotated*";
  const [traceCase] = casesOf(parseOptions(line.split(" ")), { name: "t", trace });
  const outcome = newOutcome();
  const saved: ResultRow[] = [];
  const results = { append: (rows: ResultRow[]) => void saved.push(...rows) };
  await runCase(outcome, opened, traceCase, [], results as unknown as ResultsWriter);
  assertEquals(saved, outcome.rows);
  const steps = saved.filter(({ stage }) => stage === "pipeline");
  assert(steps.length > 0);
  for (const { trace_error, trace_mass, trace_tokens } of steps) {
    assert(trace_error! > 0 && trace_error! < 0.2, `${trace_error}`);
    assert(trace_mass! > 0.8 && trace_mass! < 1, `${trace_mass}`);
    assertEquals(trace_tokens, trace.kvLen);
  }
  const others = saved.filter(({ stage }) => stage !== "pipeline");
  assert(others.every(({ trace_error }) => trace_error === null));
  assertMatch(outcome.qualities.join(), /^trace t: pipeline\/rotated\w* with rotated codes, 26 q/);
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
