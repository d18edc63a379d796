import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { chartFile, chartSvg, seriesOf } from "./chart.ts";
import { dodge } from "./dodge.ts";
import { wrapLabel } from "./wrap.ts";

Deno.test("wrapLabel() wraps labels and never cuts them", () => {
  assertEquals(wrapLabel("32x8x128, 128 bits per KV head", 20), [
    "32x8x128, 128 bits",
    "per KV head",
  ]);
  assertEquals(wrapLabel("abcdefghij kl", 4), ["abcd", "efgh", "ij", "kl"]);
  assertEquals(wrapLabel("", 4), [""]);
  fc.assert(fc.property(fc.string(), fc.integer({ min: 1, max: 9 }), (text, width) => {
    const lines = wrapLabel(text, width);
    assert(lines.every((line) => line.length <= width));
    assertEquals(lines.join("").replace(/\s/g, ""), text.replace(/\s/g, ""));
  }));
});

Deno.test("chartFile() shows every letter of a long label and of a long title", () => {
  const long = `trace ${"ledger-of-many-books ".repeat(5)}end`;
  const chart = {
    title: `Speedup: ${long}`,
    description: "",
    legend: seriesOf([long]),
    legendHeading: `heading ${long}`,
    options: { marks: [] },
  };
  const file = chartFile(chart);
  const texts = Array.from(file.matchAll(/<text[^>]*>([^<]+)<\/text>/g), ([, text]) => text);
  assertEquals(texts.filter((text) => text.includes("…")), []);
  // The text occurs once in the title, once in the legend and once in the legend's heading.
  assertEquals(texts.join(" ").match(/ledger-of-many-books/g)?.length, 15);
  assertEquals(texts.filter((text) => text.endsWith("end")).length, 3);
  const height = (svg: string) => Number(svg.match(/ height="(\d+)"/)![1]);
  const one = chartSvg({ ...chart, legend: seriesOf(["short"]) });
  assert(height(chartSvg(chart)) > height(one), "a wrapped label takes more room");
});

Deno.test("dodge() moves places sideways that cover others, and leaves the rest", () => {
  const at = (x: number, y: number) => ({ x, y });
  assertEquals(dodge([at(0, 0), at(0, 20), at(50, 0)], 9), [0, 0, 0]);
  assertEquals(dodge([at(0, 0), at(1, 2), at(0, 0), at(0, 30)], 9), [0, 9, -9, 0]);
  const places = fc.array(fc.record({ x: fc.nat(30), y: fc.nat(30) }), { maxLength: 20 });
  fc.assert(fc.property(places, (all) => {
    const moved = dodge(all, 9).map((offset, i) => at(all[i].x + offset, all[i].y));
    for (const [i, a] of moved.entries()) {
      for (const b of moved.slice(i + 1)) {
        assert(Math.abs(a.x - b.x) > 8.99 || Math.abs(a.y - b.y) >= 9);
      }
    }
  }));
});
