import { assert, assertAlmostEquals, assertEquals, assertMatch } from "@std/assert";
import fc from "fast-check";
import type { FrontierRow } from "../results/frontier_rows.ts";
import { frontierRow } from "../results/testing_frontier.ts";
import {
  bestWithin,
  costText,
  frontierOf,
  frontierSentences,
  placed,
  pointGroups,
} from "./frontier.ts";

const names = (places: readonly { readonly name: string }[]) => places.map(({ name }) => name);
const place = (name: string, error: number | null, cost: number | null) => ({ name, error, cost });

Deno.test("frontierOf() keeps what no other place beats, and equal places together", () => {
  const places = [
    place("slow", 0.01, 90),
    place("beaten in error", 0.3, 20),
    place("good", 0.1, 20),
    place("twin", 0.1, 20),
    place("beaten in cost", 0.1, 21),
    place("fast", 0.5, 10),
    place("beaten in both", 0.6, 11),
  ];
  assertEquals(names(frontierOf(places)), ["slow", "good", "twin", "fast"]);
});

Deno.test("frontierOf() leaves out places without a number, and what is not cheaper than dense", () => {
  const places = [
    place("NaN", NaN, 1),
    place("no error", null, 1),
    place("no cost", 0, null),
    place("infinite", 0.1, Infinity),
    place("as dense", 0.01, 50),
    place("good", 0.1, 49),
  ];
  assertEquals(names(frontierOf(places, 50)), ["good"]);
  assertEquals(names(frontierOf(places)), ["as dense", "good"]);
  assertEquals(frontierOf([]), []);
});

Deno.test("frontierOf() falls in cost as errors rise, and beats all other places", () => {
  const number = fc.integer({ min: 0, max: 6 });
  fc.assert(fc.property(fc.array(fc.tuple(number, number)), (pairs) => {
    const places = pairs.map(([error, cost]) => ({ error, cost }));
    const kept = frontierOf(places);
    for (const [i, { error, cost }] of kept.slice(1).entries()) {
      const before = kept[i];
      assert(error > before.error && cost < before.cost || error === before.error);
    }
    for (const each of places) {
      const beaten = kept.some(({ error, cost }) => error <= each.error && cost <= each.cost);
      assert(beaten || kept.includes(each));
    }
  }));
});

/** Rows of two traces, at one length. */
const ROWS: readonly FrontierRow[] = [
  frontierRow({ method: "rotated-128-w2", budget: 32, planes: 2, error: 0.04, us: 46 }),
  frontierRow({ method: "rotated-128-w2", budget: 32, planes: 2, error: 0.07, us: 46, trace: "b" }),
  frontierRow({ method: "oracle", budget: 32, planes: null, error: 0.01, us: 90 }),
  frontierRow({ method: "oracle", budget: 32, planes: null, error: 0.02, us: 90, trace: "b" }),
];

Deno.test("pointGroups() gives the mean and the worst of several traces", () => {
  const [group, ...others] = pointGroups(ROWS);
  assertEquals(others, []);
  assertEquals([group.traces, group.otherTraces, group.leftOut], [["a", "b"], [], []]);
  const [{ errors, worstTrace, mass }] = group.points;
  assertAlmostEquals(errors.mean!, 0.055);
  assertEquals([errors.worst, worstTrace, mass], [0.07, "b", 0.9]);
  assertEquals(group.denseCost, 180);
});

Deno.test("pointGroups() compares no mean with one of other traces", () => {
  const learned = frontierRow({ method: "learned", budget: 32, planes: 0, error: 0.1, us: 50 });
  const [shared, all] = pointGroups([...ROWS, learned]);
  assertEquals([shared.traces, shared.otherTraces], [["a"], ["b"]]);
  assertEquals(shared.points.length, 3);
  assertEquals([all.traces, all.leftOut, all.points.length], [["a", "b"], ["learned"], 2]);
});

Deno.test("pointGroups() takes the last of rows of the same step", () => {
  const [{ points }] = pointGroups([frontierRow({ us: 1 }), frontierRow({ us: 2 })]);
  assertEquals(points.map(({ cost }) => cost), [2]);
});

Deno.test("bestWithin() finds the cheapest step whose error is small enough", () => {
  const [group] = pointGroups(ROWS);
  const best = (kind: "mean" | "worst", most: number) =>
    bestWithin(placed(group, kind), most)?.method;
  assertEquals(best("mean", 0.06), "rotated-128-w2");
  assertEquals(best("worst", 0.06), "oracle");
  assertEquals(best("worst", 0.07), "rotated-128-w2");
  assertEquals(best("mean", 0.01), undefined);
  const [unknown] = pointGroups([frontierRow({ error: null })]);
  assertEquals(bestWithin(placed(unknown, "mean"), 1), undefined);
});

Deno.test("frontierSentences() names the fastest step of one trace and what it means for models", () => {
  const [group] = pointGroups([ROWS[0]]);
  assertEquals(frontierSentences(group, 0.06), [
    "At 131,072 tokens the fastest step with error at most 0.06 is rotated-128-w2 (2 planes, " +
    "k = N/32): 46 us, 3.9 times as fast as dense (180 us); it reads 17 bytes per token and KV " +
    "head to find tokens, and its error is 0.040.",
    "For a token of a whole model that is, in layers x step and without the weights' time: " +
    "llama-3.1-8b, deepseek-r1-distill-llama-8b (32 layers) 1.47 ms instead of 5.76 ms.",
  ]);
  assertEquals(frontierSentences(group, 0.03), [
    "At 131,072 tokens no step has an error of at most 0.03, by the error on a; the least is " +
    "0.040, of rotated-128-w2 (2 planes, k = N/32) (46 us).",
  ]);
});

Deno.test("frontierSentences() tells the mean of several traces from the worst", () => {
  const [mean, models, worst, ...others] = frontierSentences(pointGroups(ROWS)[0], 0.06);
  assertMatch(mean, /with a mean error of at most 0\.06 over 2 traces is rotated-128-w2 /);
  assertMatch(mean, /its error is 0\.055 in the mean and 0\.070 on b\.$/);
  assertMatch(models, /^For a token of a whole model/);
  assertMatch(worst, /with an error of at most 0\.06 on each of 2 traces is oracle \(k = N\/32\)/);
  assertMatch(others.join(), /^For a token of a whole model/);
});

Deno.test("frontierSentences() says when dense attention is faster", () => {
  const [text] = frontierSentences(pointGroups([frontierRow({ us: 200 })])[0], 1);
  assertMatch(text, /: 200 us, but dense attention is faster \(180 us\);/);
});

Deno.test("frontierSentences() counts bytes on a software adapter, and says so", () => {
  const row = frontierRow({ software: true, us: null, dense_us: null, bytes: 40.4e6 });
  const sentences = frontierSentences(pointGroups([row])[0], 1);
  assertMatch(
    sentences[0],
    /the step that moves the fewest bytes .*: 40\.4 MB, where dense attention moves 537 MB, 13 times/,
  );
  assertEquals(sentences.slice(1), [
    "A software adapter says nothing about time, so the cost is the bytes that a step moves.",
  ]);
});

Deno.test("costText() writes costs in three digits", () => {
  const texts = [5.437, 46, 181.3].map((us) => costText(us, "us"));
  assertEquals(texts, ["5.44 us", "46 us", "181 us"]);
  const bytes = [940, 12_345_678, 536_870_912, 1.5e9].map((count) => costText(count, "bytes"));
  assertEquals(bytes, ["0.94 kB", "12.3 MB", "537 MB", "1.5 GB"]);
});
