import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { frontierRow } from "../results/testing_frontier.ts";
import { frontierCharts, frontierSvgs } from "./frontier_plot.ts";

const ROWS = [
  frontierRow({
    method: "pq-8",
    budget: 16,
    planes: null,
    bytes_per_token: 8,
    error: 0.02,
    us: 90,
  }),
  frontierRow({ budget: 32, error: 0.055, us: 46 }),
  frontierRow({ budget: 64, error: 0.12, us: 38 }),
  frontierRow({ method: "quest", budget: 32, planes: null, error: 0.4, us: 60 }),
  frontierRow({ method: "learned", budget: 32, planes: 0, error: null, us: 60 }),
  frontierRow({ method: "oracle", budget: 32, planes: null, error: 0, us: 170 }),
];

Deno.test("a chart names the best step for an error, and numbers those for others", () => {
  const [chart, ...others] = frontierCharts(ROWS, 0.06);
  assertEquals(others, []);
  assertEquals(
    chart.answer,
    "within 0.06 the fastest (dense 180 us) is rotated-128-w2 N/32, 46 us, 17 bytes per token and " +
      "KV head",
  );
  assertEquals(chart.legend.map(({ label }) => label), [
    "1 ≤ .01: oracle N/32, 170 us, 17 B",
    "2 ≤ .02: pq-8 N/16, 90 us, 8 B",
    "3 ≤ .06: rotated-128-w2 N/32, 46 us, 17 B",
    "4 ≤ .15: rotated-128-w2 N/64, 38 us, 17 B",
    "dense attention: 180 us",
    "quest",
  ]);
  const none = frontierCharts([frontierRow()], 0.01)[0];
  assertEquals(none.answer, "no step has an error of at most 0.01");
  const slow = frontierCharts([frontierRow({ us: 190 })], 0.06)[0];
  assertEquals(slow.answer, "within 0.06 no step beats dense attention (dense 180 us)");
});

Deno.test("there is a figure for each length, with a chart of the mean and one of the worst", () => {
  const two = [...ROWS, ...ROWS.map((row) => ({ ...row, trace: "b" }))];
  const files = frontierSvgs([...two, ...two.map((row) => ({ ...row, kv_len: 8192 }))], 0.06);
  assertEquals(files.map(([name]) => name), ["frontier-8192", "frontier-131072"]);
  for (const [, svg] of files) {
    for (
      const text of ["mean of 2 traces", "worst of 2 traces", "time of a step, us", "dense 180"]
    ) {
      assertStringIncludes(svg, text);
    }
    assert(!/NaN|Infinity/.test(svg));
  }
});

Deno.test("the chart of a software adapter has bytes in place of time, and says so", () => {
  const rows = ROWS.map((row) => ({ ...row, software: true, us: null, dense_us: null }));
  const [[, svg]] = frontierSvgs(rows, 0.06);
  assertStringIncludes(svg, "bytes that a step moves");
  assertStringIncludes(svg, "Bytes moved against error");
  assert(!svg.includes("time of a step"));
});

Deno.test("a mark's area grows with the bytes that its step reads", () => {
  const [[, svg]] = frontierSvgs([
    frontierRow({ method: "pq-16", planes: null, bytes_per_token: 64, error: 0.1, us: 20 }),
    frontierRow({ method: "oracle", planes: null, bytes_per_token: 256, error: 0.01, us: 90 }),
  ], 0.06);
  const radii = [...svg.matchAll(/<circle[^>]* r="([\d.]+)"/g)].map(([, r]) => Number(r));
  assert(radii.includes(8.5) && radii.includes(17), radii.join());
});
