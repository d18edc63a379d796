import { assertAlmostEquals, assertEquals } from "@std/assert";
import { attendReference } from "../attend/reference.ts";
import { NO_SINK_LOGIT } from "../core/layout.ts";
import { testCase } from "../../testing/cases/grid.ts";
import { testStage } from "../../testing/cases/suite.ts";
import { openTestDevice } from "../../testing/device/test_device.ts";
import { mergeReference } from "./reference.ts";

const small = testCase({ heads: [6, 2], lengths: [1, 1, 1] });

testStage("merge", await openTestDevice(), small, {
  "empty rows and splits": testCase({ heads: [15, 3], headDim: 96 }),
});

Deno.test("mergeReference() of parts is the whole softmax, with or without a sink logit", () => {
  const q = [0.5, -1.25];
  const keys = [[1, 2], [-3, 0.5], [0.25, 4], [2, 2]];
  const values = [[1, -1], [10, 3], [0.5, 0.25], [-7, 2]];
  const parts = [[0, 1], [2, 3], []].map((tokens) => {
    const logits = tokens.map((t) => (q[0] * keys[t][0] + q[1] * keys[t][1]) / Math.SQRT2);
    const highest = Math.max(NO_SINK_LOGIT, ...logits.map((logit) => logit * Math.LOG2E));
    const weights = logits.map((logit) => 2 ** (logit * Math.LOG2E - highest));
    const sum = (d: number) => weights.reduce((s, w, i) => s + w * values[tokens[i]][d], 0);
    return {
      out: [sum(0), sum(1)],
      stats: [highest, weights.reduce((a, b) => a + b, 0)],
    };
  });
  for (const sink of [NO_SINK_LOGIT, 1.5, -40, 40]) {
    const row = (rows: number[][]) => (token: number) => rows[token];
    const tokens = [0, 1, 2, 3];
    const want = attendReference(q, row(keys), row(values), tokens, undefined, sink);
    const out = parts.flatMap((part) => part.out);
    const got = mergeReference(out, parts.flatMap((part) => part.stats), sink);
    got.forEach((value, d) => assertAlmostEquals(value, want[d], 1e-12));
  }
});

Deno.test("mergeReference() of empty parts is 0", () => {
  const stats = [NO_SINK_LOGIT, 0, NO_SINK_LOGIT, 0];
  assertEquals([...mergeReference([0, 0, 0, 0], stats)], [0, 0]);
  assertEquals([...mergeReference([0, 0, 0, 0], stats, 1)], [0, 0]);
});
