import { assertEquals, assertStringIncludes } from "@std/assert";
import { chartFile } from "../../chart/chart.ts";
import { failed, type Measured } from "../../tuning/messages.ts";
import { heatCells, heatMapChart, varyingMost } from "./heatmap.ts";

function measured(LANES: number, WORKGROUP: number, SPLITS: number, us: number): Measured {
  const params = { LANES, WORKGROUP, SPLITS };
  return { phase: "explore", params, us, low: us, high: us, samples: 6, failure: null };
}

const LATEST = [
  measured(4, 64, 8, 20),
  measured(4, 64, 16, 12.5),
  measured(8, 64, 8, 400),
  failed({ LANES: 8, WORKGROUP: 128, SPLITS: 8 }, "hung"),
];

Deno.test("heatCells() gives each cell its fastest candidate, and none to failed ones", () => {
  assertEquals(heatCells(LATEST, ["LANES", "WORKGROUP"]), [
    { x: 4, y: 64, us: 12.5 },
    { x: 8, y: 64, us: 400 },
  ]);
  assertEquals(heatCells(LATEST, ["LANES", "TOKENS"]), []);
});

Deno.test("varyingMost() takes the parameters over which the least medians differ most", () => {
  // The medians differ by 32 over LANES, by 1.6 over SPLITS, and not over WORKGROUP.
  assertEquals(varyingMost(LATEST), ["LANES", "SPLITS"]);
  const more = [...LATEST, measured(16, 64, 8, 30)];
  assertEquals(varyingMost(more), ["SPLITS", "LANES"], "fewer values make columns");
  assertEquals(varyingMost([measured(4, 64, 8, 20), measured(8, 64, 8, 10)]), ["LANES", null]);
  assertEquals(varyingMost(LATEST.slice(3)), null);
});

Deno.test("heatMapChart() draws one row for one parameter, and shortens long times", () => {
  const cells = heatCells([measured(4, 64, 8, 21_274), measured(8, 64, 8, 9999)], ["LANES", null]);
  assertEquals(cells.map(({ x, y }) => [x, y]), [[4, 0], [8, 0]]);
  const svg = chartFile(heatMapChart(cells, ["LANES", null], "encode/query"));
  for (const text of [">21.3k<", ">10000<", "LANES"]) assertStringIncludes(svg, text);
  assertEquals(svg.includes("null"), false);
});

Deno.test("heatMapChart() draws both parameters and the medians", () => {
  const names = ["LANES", "WORKGROUP"] as const;
  const title = "dense/split at 32768 tokens";
  const svg = chartFile(heatMapChart(heatCells(LATEST, names), names, title));
  for (const text of ["<svg", "</svg>", "LANES", "WORKGROUP", ">12.5<", "dense/split at 32768"]) {
    assertStringIncludes(svg, text);
  }
});
