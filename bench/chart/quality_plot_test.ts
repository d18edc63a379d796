import { assertEquals, assertStringIncludes } from "@std/assert";
import { qualitySvg } from "./quality_plot.ts";
import { rowsFor, smallContext } from "../selection/methods/testing_context.ts";

Deno.test("qualitySvg() plots error and mass of every method", async () => {
  const rows = await rowsFor(smallContext([20, 39]), ["oracle", "edges"], { sparsities: [4, 8] });
  const svg = qualitySvg(rows);
  for (const text of ["<svg", "</svg>", ">oracle<", ">edges<", "output error", "mass caught"]) {
    assertStringIncludes(svg, text);
  }
});

Deno.test("qualitySvg() plots only mass without values", async () => {
  const context = { ...smallContext([20, 39]), v: null };
  const svg = qualitySvg(await rowsFor(context, ["quest-16"]));
  assertEquals([svg.includes("output error"), svg.includes("mass caught")], [false, true]);
});
