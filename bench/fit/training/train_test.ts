import {
  assert,
  assertEquals,
  assertGreater,
  assertLess,
  assertMatch,
  assertRejects,
} from "@std/assert";
import { parseMap, writeMap } from "../../../kernels/maps/map_file.ts";
import { readCheckpoint, writeCheckpoint } from "./checkpoint.ts";
import { DivergedError } from "./losses.ts";
import { type HostParams, roundParams, toLearnedMap } from "./model/model.ts";
import type { FitRun } from "../run.ts";
import type { Sampler } from "./data/sample.ts";
import { smallRun } from "../testing_trace.ts";
import { createEncode, type Snapshot, train } from "./train.ts";

/** jax-js keeps its worker threads for the next run. */
const JAX = { sanitizeOps: false, sanitizeResources: false } as const;

/** Trains from `start`, by default from the beginning, and ends after `last` steps. */
async function runTo(run: FitRun, last: number, start: Snapshot = run.start, mostUnread = 0) {
  const losses: number[] = [];
  const { recipe, shape, sample } = run;
  const outcome = await train({
    recipe,
    shape,
    sample,
    start,
    mostUnread,
    validate: run.createValidate(),
    afterStep: ({ step, loss }) => {
      losses.push(loss);
      return step >= last;
    },
    save: () => {},
  });
  return { ...outcome, losses };
}

function fileOf({ shape, about }: FitRun, params: HostParams): Uint8Array {
  return writeMap(toLearnedMap(shape, params, about));
}

/** A faster `assertEquals` for snapshots, which takes seconds for so many numbers. */
function assertSame(actual: Snapshot, expected: Snapshot): void {
  const lists = ({ state, best }: Snapshot) => [...Object.values(state).flat(), ...best!.params];
  const same = (a: Float32Array, b: Float32Array) => a.every((value, i) => value === b[i]);
  const wanted = lists(expected);
  assertEquals(lists(actual).map((list, i) => same(list, wanted[i])), wanted.map(() => true));
  const rest = ({ step, waited, loss, best }: Snapshot) => [step, waited, loss, best!.step];
  assertEquals(rest(actual), rest(expected));
}

for (const recipe of ["best", "paper"]) {
  Deno.test({
    name: `train() lowers the loss and raises the mass of a held-out context: ${recipe}`,
    ...JAX,
    fn: async () => {
      const top = recipe === "paper" ? ["--top", "10"] : [];
      const run = await smallRun("--recipe", recipe, "--steps", "60", "--lr", "0.01", ...top);
      const validate = run.createValidate()!;
      const before = await validate(createEncode(run.shape)(run.start.state.params));
      const { best, losses, ending } = await runTo(run, 60);
      assertEquals([best.params.length, ending], [13, "done"]);
      assertLess(losses[59], losses[0] - 0.2);
      assertGreater(best.mass!, before + 0.2);
    },
  });
}

for (const [start, signs] of [["random", "soft"], ["rotation", "straight-through"]]) {
  Deno.test({
    name: `train() raises the mass of one map for all query heads with 2 planes: ${start}`,
    ...JAX,
    fn: async () => {
      const flags = ["--layers", "1", "--sharing", "kv", "--init", start, "--key-signs", signs];
      const run = await smallRun(...flags, "--planes", "2", "--steps", "60", "--lr", "0.01");
      const validate = run.createValidate()!;
      const before = await validate(createEncode(run.shape)(run.start.state.params));
      const { best, losses } = await runTo(run, 60);
      assertLess(losses.at(-1)!, losses[0] - 0.2);
      assertGreater(best.mass!, before + 0.05);
      const bytes = fileOf(run, best.params);
      const map = parseMap(bytes);
      assertEquals([map.shape.sharing, map.shape.heads, map.about.planes], ["kv", 1, "2"]);
      assertEquals(writeMap(map), bytes);
      assertEquals(map, toLearnedMap(map.shape, best.params, run.about));
    },
  });
}

Deno.test({
  name: "train() resumes from a checkpoint and gives the map of an uninterrupted run",
  ...JAX,
  fn: async () => {
    const made = await smallRun("--steps", "40");
    const run = { ...made, recipe: { ...made.recipe, validations: 4 } };
    const whole = await runTo(run, 40);
    // Stops between two validations, with losses that are read late.
    const { last, ending } = await runTo(run, 27, run.start, 4);
    assertEquals([last.step, ending], [27, "stopped"]);
    const bytes = writeCheckpoint(last, run.identity, run.shape);
    const snapshot = readCheckpoint(bytes, run.identity, run.shape);
    assertSame(snapshot, last);
    const resumed = await runTo(run, 40, snapshot);
    const [file, wanted] = [resumed, whole].map(({ best }) => fileOf(run, best.params));
    assert(file.every((byte, i) => byte === wanted[i]));
    assertSame(resumed.last, whole.last);
  },
});

Deno.test({
  name: "train() gives the same map if losses are read late, and reports them later",
  ...JAX,
  fn: async () => {
    const run = await smallRun("--steps", "12");
    const [prompt, late] = [await runTo(run, 12), await runTo(run, 12, run.start, 3)];
    assertSame(late.last, prompt.last);
    // Each step is followed by a validation, which waits for all losses.
    assertEquals(late.losses, prompt.losses);
    const rarely = { ...run, recipe: { ...run.recipe, validations: 1 } };
    const { losses } = await runTo(rarely, 12, run.start, 3);
    const delayed = [0, 0, 0, ...prompt.losses.slice(0, 8), prompt.losses[11]];
    assertEquals(losses, delayed);
  },
});

Deno.test({
  name: "train() names the step whose loss is not finite and saves nothing after it",
  ...JAX,
  fn: async () => {
    const run = await smallRun("--steps", "20");
    const recipe = { ...run.recipe, validations: 4 };
    // NaN from the seventh step on, before the validation that follows the tenth.
    const sample: Sampler = (step) => {
      const batch = run.sample(step);
      if (step >= 6) batch.queries.data.fill(NaN);
      return batch;
    };
    for (const mostUnread of [0, 2, 9]) {
      const saved: number[] = [];
      const training = {
        recipe,
        shape: run.shape,
        sample,
        start: run.start,
        mostUnread,
        validate: run.createValidate(),
        afterStep: () => false,
        save: ({ step }: Snapshot) => void saved.push(step),
      };
      const { message } = await assertRejects(() => train(training), DivergedError);
      assertMatch(message, /^The loss of step 7 is not finite; /);
      assertEquals(saved, [5]);
    }
  },
});

Deno.test({
  name: "train() gives equal maps for equal seeds and different maps for different seeds",
  ...JAX,
  fn: async () => {
    const maps: HostParams[] = [];
    for (const seed of ["1", "1", "2"]) {
      const { last } = await runTo(await smallRun("--seed", seed, "--steps", "6"), 6);
      maps.push(last.state.params);
    }
    const differ = (a: HostParams, b: HostParams) =>
      a.some((list, i) => list.some((value, at) => value !== b[i][at]));
    assertEquals([differ(maps[0], maps[1]), differ(maps[0], maps[2])], [false, true]);
  },
});

Deno.test({
  name: "train() ends when validation no longer improves, and does not resume from there",
  ...JAX,
  fn: async () => {
    const run = await smallRun("--steps", "100");
    const recipe = { ...run.recipe, validations: 50, patience: 3 };
    const masses = [0.5, 0.6, 0.4, 0.6, 0.5, 0.9];
    const validate = () => Promise.resolve(masses.shift()!);
    const stuck = { ...run, recipe, createValidate: () => validate };
    const { best, last, ending } = await runTo(stuck, 100);
    assertEquals([best.step, best.mass, last.step, ending], [4, 0.6, 10, "early"]);
    const again = await runTo(stuck, 100, last);
    assertEquals([again.last.step, again.ending], [10, "early"]);
  },
});

Deno.test({
  name: "train() makes the last weights the map if no context is held out",
  ...JAX,
  fn: async () => {
    const { best, last } = await runTo(await smallRun("--val", "none", "--steps", "3"), 3);
    assertEquals([best.step, best.mass], [3, null]);
    assertEquals(best.params[1], roundParams(last.state.average)[1]);
  },
});
