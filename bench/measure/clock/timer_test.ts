import { assert, assertAlmostEquals, assertEquals, assertMatch, assertRejects } from "@std/assert";
import {
  coarse,
  type FakeGpu,
  fakeGpu,
  type FakeSettings,
  PASS_US,
  randomNumbers,
  work,
} from "../../../testing/device/fake_gpu.ts";
import { createTimer, type TimerChoice } from "./timer.ts";
import type { GpuTimer } from "./gpu_timer.ts";
import { UsageError } from "../../base/usage_error.ts";

async function timerOf(
  settings: FakeSettings,
  choice: TimerChoice = "auto",
): Promise<{ gpu: FakeGpu; timer: GpuTimer; calibrationMs: number }> {
  const gpu = fakeGpu(settings);
  const { device, clock } = gpu;
  const beganMs = clock.nowMs();
  const timer = await createTimer(device, { work: work("chain", 2), choice, clock });
  return { gpu, timer, calibrationMs: clock.nowMs() - beganMs };
}

/** Wall time adds this to a pass, since its submission takes 50 us to arrive. */
const WALL_COST_US = 50;

Deno.test("createTimer() finds ticks of 1 ns, and the timer is exact to the nanosecond", async () => {
  const { timer, calibrationMs } = await timerOf({});
  assertEquals([timer.kind, timer.nsPerTick, timer.grainNs, timer.note], ["timestamp", 1, 1, null]);
  assertEquals(await timer.time([work("a", 100), work("b", 5)], [work("warm", 1e5)]), [104, 9]);
  assert(calibrationMs < 1500, `calibrated for ${calibrationMs} ms`);
});

Deno.test("createTimer() accepts timestamps that stay 0 in empty passes only", async () => {
  const { timer } = await timerOf({ stamp: (ns, _, { us }) => us > 0 ? ns : 0 });
  assertEquals([timer.kind, timer.nsPerTick, timer.note], ["timestamp", 1, null]);
  assertEquals(await timer.time([() => {}, work("a", 100)]), [null, 104]);
});

const USELESS: { [what: string]: [FakeSettings["stamp"], RegExp] } = {
  "all stamps are 0": [() => 0, /do not advance during a pass\.$/],
  "all stamps are one number": [() => 12345, /do not advance during a pass\.$/],
  "end stamps are 0": [(ns, which) => which === "end" ? 0 : ns, /do not advance during a pass\.$/],
  "begin stamps are 0": [(ns, which) => which === "begin" ? 0 : ns, /take longer than they can\.$/],
  "ends come before begins": [
    (ns, which) => which === "end" ? ns - 1e9 : ns,
    /do not advance during a pass\.$/,
  ],
  "stamps start again with each pass": [
    (_, which, { us }) => which === "end" ? 1000 * us : 0,
    /do not advance between passes\.$/,
  ],
};

for (const [what, [stamp, reason]] of Object.entries(USELESS)) {
  Deno.test(`createTimer() uses wall time if ${what}, and its note gives the reason`, async () => {
    const { timer, gpu } = await timerOf({ stamp });
    assertEquals([timer.kind, timer.nsPerTick, timer.grainNs], ["wall", null, null]);
    assertMatch(timer.note!, /^Wall time is used, since its timestamps /);
    assertMatch(timer.note!, reason);
    const [us] = await timer.time([work("a", 1e4)]);
    assertAlmostEquals(us!, 1e4 + PASS_US + WALL_COST_US, 1);
    assert(gpu.longestS() < 2, `${gpu.longestS()} s of one submission`);
    await assertRejects(() => timerOf({ stamp }, "timestamp"), UsageError, "--timer timestamp");
  });
}

Deno.test("createTimer() without timestamp-query uses wall time or refuses timestamps", async () => {
  const { timer } = await timerOf({ hasTimestamps: false });
  assertEquals(timer.kind, "wall");
  assertEquals(timer.note, "Wall time is used, since this device has no timestamps.");
  const error = await assertRejects(
    () => timerOf({ hasTimestamps: false }, "timestamp"),
    UsageError,
  );
  assertEquals(error.message, "--timer timestamp is not possible: this device has no timestamps.");
});

Deno.test("createTimer() uses wall time if asked to, even if timestamps are usable", async () => {
  const { timer } = await timerOf({}, "wall");
  assertEquals([timer.kind, timer.note], ["wall", null]);
  const times = await timer.time([work("a", 3000), work("b", 500)], [work("warm", 1e5)]);
  const cost = PASS_US + WALL_COST_US;
  assertAlmostEquals(times[0]!, 3000 + cost, 1);
  assertAlmostEquals(times[1]!, 500 + cost, 1);
  const { timer: stamped } = await timerOf({}, "timestamp");
  assertEquals(stamped.kind, "timestamp");
});

Deno.test("time() gives null for a pass in which the wall clock did not advance", async () => {
  const { timer } = await timerOf({ wallGrainMs: 100, latencyMs: () => 0 }, "wall");
  const times = await timer.time([work("a", 1), work("b", 1)]);
  assertEquals(times, [null, null]);
});

for (const nsPerTick of [83.3333, 52.0833, 41.6667, 10, 1.02, 0.97]) {
  Deno.test(`createTimer() measures ticks of ${nsPerTick} ns`, async () => {
    const { timer } = await timerOf({ stamp: (ns) => Math.floor(ns / nsPerTick) });
    assertEquals(timer.kind, "timestamp");
    assertAlmostEquals(timer.nsPerTick! / nsPerTick, 1, 0.001);
    const [us] = await timer.time([work("a", 1000)]);
    assertAlmostEquals(us!, 1000 + PASS_US, 2);
  });
}

for (const nsPerTick of [1.0049, 0.9951, 1.002]) {
  Deno.test(`createTimer() takes ticks of ${nsPerTick} ns for nanoseconds`, async () => {
    const { timer } = await timerOf({ stamp: (ns) => Math.floor(ns / nsPerTick) });
    assertEquals(timer.nsPerTick, 1);
  });
}

Deno.test("createTimer() finds 1 ns exactly on a busy machine, other ticks to 1%", async () => {
  const random = randomNumbers();
  const latencyMs = () => 40 * random();
  const right = await timerOf({ latencyMs });
  assertEquals(right.timer.nsPerTick, 1);
  // A calibration of one second is not accurate enough.
  assert(right.calibrationMs > 1900, `calibrated for ${right.calibrationMs} ms`);
  const { timer } = await timerOf({ latencyMs, stamp: (ns) => Math.floor(ns / 52.0833) });
  assertAlmostEquals(timer.nsPerTick! / 52.0833, 1, 0.01);
});

for (const grainNs of [65_536, 100_000]) {
  Deno.test(`createTimer() finds a grain of ${grainNs} ns and names it in its note`, async () => {
    const { timer } = await timerOf({ stamp: coarse(grainNs) });
    assertEquals([timer.kind, timer.nsPerTick, timer.grainNs], ["timestamp", 1, grainNs]);
    assertEquals(timer.resolutionUs, grainNs / 1000);
    const steps = grainNs === 65_536 ? "65,536" : "100,000";
    assertMatch(timer.note!, new RegExp(`^Timestamps advance in steps of ${steps} ns on `));
    // A pass shorter than the grain has no time: null, not 0.
    const times = await timer.time(Array(64).fill(work("a", 1)));
    assert(times.includes(null) && times.every((us) => us === null || us > 0));
  });
}

Deno.test("createTimer() finds a grain of 32 ns, which needs no note", async () => {
  const { timer } = await timerOf({ stamp: coarse(32) });
  assertEquals([timer.grainNs, timer.note], [32, null]);
});

Deno.test("createTimer() converts a grain from ticks to nanoseconds", async () => {
  const { timer } = await timerOf({ stamp: (ns) => 8 * Math.floor(ns / 80) });
  assertAlmostEquals(timer.nsPerTick!, 10, 0.01);
  assertAlmostEquals(timer.grainNs!, 80, 0.1);
});

Deno.test("createTimer() calibrates a coarse clock for longer", async () => {
  const nsPerTick = 1.03;
  const grain = 5_000_000;
  const stamp = (ns: number) => Math.floor(ns / nsPerTick / grain) * grain;
  const { timer, calibrationMs } = await timerOf({ stamp });
  assert(calibrationMs > 1900, `calibrated for ${calibrationMs} ms`);
  assertAlmostEquals(timer.nsPerTick!, nsPerTick, 0.005);
});

Deno.test("time() gives null only for the pass whose pair of timestamps is implausible", async () => {
  const wrong: { [name: string]: FakeSettings["stamp"] } = {
    zero: (ns, which) => which === "end" ? 0 : ns,
    equal: () => 7,
    negative: (ns, which) => which === "end" ? ns - 1e6 : ns,
    "begin zero": (ns, which) => which === "begin" ? 0 : ns,
    largest: (ns, which) => which === "end" ? 2n ** 64n - 1n : ns,
  };
  const { timer } = await timerOf({
    stamp: (ns, which, pass) => wrong[pass.name]?.(ns, which, pass) ?? ns,
  });
  for (const name of Object.keys(wrong)) {
    const times = await timer.time([work("a", 50), work(name, 50), work("b", 70)]);
    assertEquals([name, ...times], [name, 54, null, 74]);
  }
});
