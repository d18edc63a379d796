import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import * as fc from "fast-check";
import { listText } from "../run/print_wgsl.ts";
import { fitColumns, leftOutNote, wrapText } from "./text_table.ts";

const COLUMNS = [
  { heading: "kernel", words: true },
  { heading: "stage", words: true, importance: 0 },
  { heading: "us" },
  { heading: "error", importance: 1 },
];
const CELLS = [["dense/split", "dense", "22.40", "1e-7"], ["merge", "merge", "3.10", "0"]];

Deno.test("fitColumns() leaves out the least important columns until the lines fit", () => {
  const headings = (width?: number) => fitColumns(COLUMNS, CELLS, width).lines[0].split(/ +/);
  assertEquals(headings(), ["kernel", "stage", "us", "error"]);
  assertEquals(headings(32), ["kernel", "stage", "us", "error"]);
  assertEquals(headings(31), ["kernel", "us", "error"]);
  assertEquals(headings(20), ["kernel", "us"]);
  // Columns without importance stay at any width.
  assertEquals(headings(5), ["kernel", "us"]);
  assertEquals(fitColumns(COLUMNS, CELLS, 20).leftOut, ["stage", "error"]);
  assertEquals(leftOutNote(["stage", "error"], "the CSV has all"), [
    "Not shown for want of room: stage, error; the CSV has all.",
  ]);
  assertEquals(leftOutNote([], "the CSV has all"), []);
});

Deno.test("listText() fits a terminal", () => {
  for (const line of listText(80).split("\n")) assertLessOrEqual(line.length, 80, line);
  assertEquals(listText(80).split(/\s+/), listText().split(/\s+/));
});

Deno.test("wrapText() keeps words and indent, and fits the width", () => {
  const words = fc.array(fc.stringMatching(/^[a-z]{1,12}$/), { minLength: 1 });
  fc.assert(fc.property(words, fc.integer({ min: 16, max: 90 }), (parts, width) => {
    const lines = wrapText(`    ${parts.join(" ")}`, width);
    assert(lines.every((line) => line.length <= width && line.startsWith("    ")));
    assertEquals(lines.join(" ").trim().split(/ +/), parts);
  }));
  // A word that is too long is broken, not cut.
  assertEquals(wrapText("  a bcdefghij k", 6), ["  a", "  bcde", "  fghi", "  j k"]);
});
