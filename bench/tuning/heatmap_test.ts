import { assertEquals, assertStringIncludes } from "@std/assert";
import { heatCells, heatMapSvg, varyingMost } from "./heatmap.ts";
import { failed, type Measured } from "./messages.ts";

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

Deno.test("a cell has the fastest of its candidates, and what failed has none", () => {
  assertEquals(heatCells(LATEST, ["LANES", "WORKGROUP"]), [
    { x: 4, y: 64, us: 12.5, candidates: 2 },
    { x: 8, y: 64, us: 400, candidates: 1 },
  ]);
  assertEquals(heatCells(LATEST, ["LANES", "TOKENS"]), []);
});

Deno.test("the parameters are those over which the least medians differ most", () => {
  // By 32 over LANES, by 1.6 over SPLITS, not at all over WORKGROUP.
  assertEquals(varyingMost(LATEST), ["LANES", "SPLITS"]);
  const more = [...LATEST, measured(16, 64, 8, 30)];
  assertEquals(varyingMost(more), ["SPLITS", "LANES"], "fewer values make columns");
  assertEquals(varyingMost([measured(4, 64, 8, 20), measured(8, 64, 8, 10)]), ["LANES", null]);
  assertEquals(varyingMost(LATEST.slice(3)), null);
});

Deno.test("a kernel of one parameter has one row, and long times few letters", () => {
  const cells = heatCells([measured(4, 64, 8, 21_274), measured(8, 64, 8, 9999)], ["LANES", null]);
  assertEquals(cells.map(({ x, y }) => [x, y]), [[4, 0], [8, 0]]);
  const svg = heatMapSvg(cells, ["LANES", null], "encode/query");
  for (const text of [">21.3k<", ">10000<", "LANES"]) assertStringIncludes(svg, text);
  assertEquals(svg.includes("null"), false);
});

Deno.test("the heat map is SVG with both parameters and the medians", () => {
  const names = ["LANES", "WORKGROUP"] as const;
  const svg = heatMapSvg(heatCells(LATEST, names), names, "dense/split at 32768 tokens");
  for (const text of ["<svg", "</svg>", "LANES", "WORKGROUP", ">12.5<", "dense/split at 32768"]) {
    assertStringIncludes(svg, text);
  }
});
