import { assertEquals, assertStringIncludes } from "@std/assert";
import { qualitySvg } from "./quality_plot.ts";
import { rowsFor, smallContext } from "../quality/testing_context.ts";

Deno.test("the plot is SVG with every method, error and mass", async () => {
  const rows = await rowsFor(smallContext([20, 39]), ["oracle", "edges"], { sparsities: [4, 8] });
  const svg = qualitySvg(rows);
  for (const text of ["<svg", "</svg>", ">oracle<", ">edges<", "output error", "mass caught"]) {
    assertStringIncludes(svg, text);
  }
});

Deno.test("without values only mass is plotted", async () => {
  const context = { ...smallContext([20, 39]), v: null };
  const svg = qualitySvg(await rowsFor(context, ["quest-16"]));
  assertEquals([svg.includes("output error"), svg.includes("mass caught")], [false, true]);
});
