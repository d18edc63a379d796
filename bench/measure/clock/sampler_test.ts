import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { FEWEST_SAMPLES, sampleInterleaved, type Workload } from "./sampler.ts";
import type { SampleSettings } from "./sample_settings.ts";
import { median } from "./statistics.ts";
import {
  coarse,
  fakeGpu,
  type FakeSettings,
  PASS_US,
  randomNumbers,
  type Stamp,
  work,
  workload,
} from "../../../testing/device/fake_gpu.ts";
import { createTimer, type TimerChoice } from "./timer.ts";

/** Length of the fixed work, in microseconds. */
const CLOCK_US = 66;

/** Samples workloads on a fake GPU, with the usual settings of a run on a GPU. */
async function sample(
  gpuSettings: FakeSettings,
  workloads: readonly Workload[],
  settings: Partial<SampleSettings> = {},
  choice: TimerChoice = "auto",
) {
  const gpu = fakeGpu(gpuSettings);
  const { device, clock } = gpu;
  const timer = await createTimer(device, { work: work("chain", 2), choice, clock });
  gpu.submissions.length = 0;
  const beganMs = clock.nowMs();
  const bestClock = { us: Infinity };
  const samples = await sampleInterleaved(timer, workloads, {
    noisePct: 0.5,
    maxTimeMs: 10_000,
    sampleUs: 1500,
    minSamples: 20,
    warm: [work("warm", 300_000)],
    clock: work("clock", CLOCK_US),
    bestClock,
    ...settings,
  });
  const seconds = (clock.nowMs() - beganMs) / 1000;
  const ended = { seconds, longestS: gpu.longestS(), sumS: sum(gpu.submissions) / 1e6 };
  return { samples, timer, bestClock, ...ended };
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, each) => total + each, 0);
}

/** A clock that gives wrong timestamps for the passes of one name. */
function wrongFor(name: string, wrong: Stamp): Stamp {
  return (ns, which, pass) => pass.name === name ? wrong(ns, which, pass) : ns;
}

const ENDS_AT_0: Stamp = (ns, which) => which === "end" ? 0 : ns;

Deno.test("sampleInterleaved() gives the time of a step from samples of full length", async () => {
  const { samples, seconds, bestClock } = await sample({}, [
    workload("a", 10),
    workload("b", 2000),
  ]);
  const [a, b] = samples;
  // The pilot times one step together with the fixed cost of a pass.
  assertEquals([a.stepsPerSample, b.stepsPerSample], [Math.ceil(1500 / (10 + PASS_US)), 1]);
  assertAlmostEquals(median(a.us), 10 + PASS_US / a.stepsPerSample, 0.001);
  assertAlmostEquals(median(b.us), 2000 + PASS_US, 0.001);
  assert(a.us.length >= 20 && b.us.length === a.us.length);
  assertEquals(a.droppedUs, []);
  assertAlmostEquals(bestClock.us, CLOCK_US + PASS_US, 0.001);
  assert(seconds < 2, `${seconds} s`);
});

const USELESS: { [what: string]: Stamp } = {
  "end at 0": ENDS_AT_0,
  "do not advance": () => 4711,
  "go back": (ns, which) => which === "end" ? ns - 1e12 : ns,
  "begin at 0": (ns, which) => which === "begin" ? 0 : ns,
};

for (const [what, wrong] of Object.entries(USELESS)) {
  for (const us of [20, 100_000]) {
    Deno.test(`sampleInterleaved() has no samples of ${us} us passes whose stamps ${what}`, async () => {
      const workloads = [workload("a", 10), workload("wrong", us), workload("b", 30)];
      const maxTimeMs = 4000;
      const { samples, seconds, longestS } = await sample({ stamp: wrongFor("wrong", wrong) }, [
        ...workloads,
      ], { maxTimeMs });
      const [a, none, b] = samples;
      assertEquals([none.us, none.droppedUs], [[], []]);
      assert(a.us.length >= 20 && b.us.length >= 20);
      assert(seconds <= 4.5, `${seconds} s`);
      assert(longestS < 2.5, `${longestS} s of one submission`);
    });
  }

  Deno.test(`sampleInterleaved() gives up early on passes whose stamps ${what}`, async () => {
    const workloads = [workload("a", 10), workload("wrong", 20)];
    const { seconds } = await sample({ stamp: wrongFor("wrong", wrong) }, workloads);
    assert(seconds < 3, `${seconds} s`);
  });

  Deno.test(`sampleInterleaved() ends if the stamps of all passes ${what}`, async () => {
    const names = ["a", "b", "clock"];
    const stamp: Stamp = (ns, which, pass) =>
      names.includes(pass.name) ? wrong(ns, which, pass) : ns;
    const { samples, seconds } = await sample({ stamp }, [workload("a", 10), workload("b", 5000)]);
    assertEquals(samples.map(({ us, droppedUs }) => [us, droppedUs]), [[[], []], [[], []]]);
    assert(seconds <= 10.5, `${seconds} s`);
  });
}

Deno.test("sampleInterleaved() drops the samples during which the attention lapsed", async () => {
  let watched = 0;
  const attention = { ready: () => Promise.resolve(), watch: () => () => ++watched === 1 };
  const workloads = [workload("a", 10)];
  const { samples: [lapsed] } = await sample({}, workloads, { attention });
  const { samples: [calm] } = await sample({}, workloads);
  assert(watched > 1 && lapsed.droppedUs.length > 0, `${watched} ${lapsed.droppedUs.length}`);
  assert(lapsed.us.length >= 20);
  assertEquals(calm.droppedUs, []);
});

Deno.test("sampleInterleaved() takes other samples in place of dropped ones, past its time", async () => {
  let watched = 0;
  const attention = { ready: () => Promise.resolve(), watch: () => () => ++watched === 1 };
  const slow = [workload("a", 500_000)];
  const { samples: [{ us, droppedUs }] } = await sample({}, slow, { attention, maxTimeMs: 3000 });
  assert(droppedUs.length > 0 && us.length >= FEWEST_SAMPLES, `${droppedUs.length} ${us.length}`);
});

Deno.test("sampleInterleaved() waits for the attention without using up its time", async () => {
  const gpu = fakeGpu({});
  const timer = await createTimer(gpu.device, { work: work("chain", 2), clock: gpu.clock });
  let waits = 0;
  const attention = {
    // Each wait is longer than the limit.
    ready: () => ++waits <= 2 ? gpu.clock.sleep(60_000) : Promise.resolve(),
    watch: () => () => false,
  };
  const [{ us, droppedUs }] = await sampleInterleaved(timer, [workload("a", 10)], {
    noisePct: 0.5,
    maxTimeMs: 10_000,
    sampleUs: 1500,
    minSamples: 20,
    warm: [],
    clock: null,
    bestClock: { us: Infinity },
    attention,
  });
  assert(waits >= 2 && us.length >= 20, `${waits} waits, ${us.length} samples`);
  assertEquals(droppedUs, []);
});

Deno.test("sampleInterleaved() keeps all samples if the fixed work gets no time", async () => {
  const { samples: [a] } = await sample({ stamp: wrongFor("clock", ENDS_AT_0) }, [
    workload("a", 10),
  ]);
  assert(a.us.length >= 20);
  assertEquals(a.droppedUs, []);
});

for (const failing of [1, 2, 3, 4]) {
  Deno.test(`sampleInterleaved() samples a step whose first ${failing} passes have no time`, async () => {
    let passes = 0;
    const stamp = wrongFor("long", (ns, which) => {
      if (which === "begin") passes++;
      return passes <= failing && which === "end" ? 0 : ns;
    });
    const { samples, seconds, longestS } = await sample({ stamp }, [
      workload("short", 10),
      workload("long", 100_000),
    ]);
    const [short, long] = samples;
    assertAlmostEquals(median(short.us), 10, 0.1);
    assertAlmostEquals(median(long.us), 100_000, 10);
    assert(long.stepsPerSample <= 2, `${long.stepsPerSample} steps`);
    assert(longestS < 3.5, `${longestS} s of one submission`);
    assert(seconds <= 11, `${seconds} s`);
  });
}

Deno.test("sampleInterleaved() loses only samples for which the clock fails", async () => {
  const random = randomNumbers();
  let fails = false;
  const stamp: Stamp = (ns, which, { name }) => {
    if (which === "begin") fails = random() < 0.2;
    return fails && which === "end" && name !== "chain" ? ns - 1e6 : ns;
  };
  const { samples } = await sample({ stamp }, [workload("a", 10), workload("b", 200)]);
  for (const [i, us] of [10, 200].entries()) {
    assert(samples[i].us.length >= 20);
    assertAlmostEquals(median(samples[i].us), us, 0.7);
  }
});

for (const grainNs of [65_536, 100_000]) {
  Deno.test(`sampleInterleaved() lengthens samples for a grain of ${grainNs} ns`, async () => {
    const workloads = [workload("a", 2), workload("b", 37), workload("c", 3000)];
    const { samples, bestClock, seconds } = await sample({ stamp: coarse(grainNs) }, workloads);
    for (const [i, us] of [2, 37, 3000].entries()) {
      const { stepsPerSample, us: times, droppedUs } = samples[i];
      assert(stepsPerSample * us >= 0.5 * 100 * grainNs / 1000, `${stepsPerSample} of ${us} us`);
      assertAlmostEquals(median(times) / us, 1, 0.01);
      assertEquals(droppedUs, []);
      assert(times.length >= 20);
    }
    // The error is at most half of the change that counts as a low clock.
    assertAlmostEquals(bestClock.us / CLOCK_US, 1, 0.075);
    assert(seconds <= 11, `${seconds} s`);
  });
}

Deno.test("sampleInterleaved() by wall time takes far longer samples", async () => {
  const { samples, timer, seconds } = await sample(
    {},
    [workload("a", 10), workload("b", 60_000)],
    {},
    "wall",
  );
  assertEquals(timer.kind, "wall");
  assertAlmostEquals(median(samples[0].us) / 10, 1, 0.01);
  assertAlmostEquals(median(samples[1].us) / 60_000, 1, 0.01);
  assert(samples[0].stepsPerSample >= 3000, `${samples[0].stepsPerSample} steps`);
  assert(samples.every(({ us }) => us.length >= 20));
  assert(seconds <= 11, `${seconds} s`);
});

Deno.test("sampleInterleaved() keeps the time limit for noisy workloads, pilot included", async () => {
  const random = randomNumbers();
  const noisy: Workload = {
    name: "noisy",
    record: (pass) => work("noisy", 100 + 100 * random())(pass),
  };
  for (const maxTimeMs of [1000, 3000]) {
    const { seconds } = await sample({}, [noisy], { maxTimeMs, noisePct: 0.01, sampleUs: 100 });
    assertAlmostEquals(seconds, maxTimeMs / 1000, 0.6);
  }
});

Deno.test("sampleInterleaved() exceeds the time limit only for the fewest samples", async () => {
  const { samples: [a], seconds } = await sample({}, [workload("a", 900_000)], { maxTimeMs: 500 });
  assertEquals(a.us.length, FEWEST_SAMPLES);
  assert(seconds < 9, `${seconds} s`);
  // A step that is far too long does not delay a run: it gets one sample.
  const endless = await sample({}, [workload("a", 20e6)], { maxTimeMs: 500 });
  assertEquals(endless.samples[0].us.length, 1);
});

for (const grainNs of [1, 65_536, 100_000]) {
  Deno.test(`sampleInterleaved() drops samples at a low clock, grain ${grainNs} ns`, async () => {
    // The clock falls to three quarters for every fourth pair of fixed work and sample.
    let pairs = 0;
    const atClock = (us: number) => pairs % 4 === 3 ? us / 0.75 : us;
    let fixed = false;
    const { samples: [a] } = await sample({ stamp: coarse(grainNs) }, [{
      name: "a",
      record(pass) {
        work("a", atClock(3000))(pass);
        fixed = false;
      },
    }], {
      clock(pass) {
        if (!fixed) pairs++;
        fixed = true;
        work("clock", atClock(CLOCK_US))(pass);
      },
    });
    assert(a.us.length >= 20 && a.droppedUs.length >= 6);
    for (const us of a.us) assertAlmostEquals(us, 3000, 150);
    for (const us of a.droppedUs) assertAlmostEquals(us, 4000, 150);
  });
}

Deno.test("sampleInterleaved() counts the steps of a workload up without a gap", async () => {
  const seen: number[] = [];
  await sample({}, [{
    name: "a",
    record(pass, step) {
      seen.push(step);
      work("a", 500)(pass);
    },
  }]);
  assertEquals(seen, seen.map((_, i) => i));
});
