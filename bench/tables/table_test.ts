import { assert, assertEquals, assertLessOrEqual, assertStringIncludes } from "@std/assert";
import { clockText } from "../base/clock_text.ts";
import { formatProgress } from "../edge/progress.ts";
import { formatTable } from "./table.ts";
import { makeFailedRow, makeRow } from "../../testing/row.ts";

Deno.test("formatTable() puts the rows of a case under its shape and KV length", () => {
  const text = formatTable([
    makeRow(),
    makeRow({ kernel: "pipeline/sparse", stage: "pipeline", median_us: 12.3, speedup_vs_dense: 2 }),
    makeRow({ case_id: "other", kv_len: 32768, lengths: "32768 5 17" }),
  ]);
  const [first, second, ...more] = text.split("\n\n32x8x128, ");
  assertEquals(more, []);
  assert(first.startsWith("32x8x128, 8192 tokens\nbatch 1, f16, 32-bit codes per query head"));
  assert(second.startsWith("32768, 5, 17 tokens\n"));
  const lines = first.split("\n");
  const heads = lines.find((line) => line.startsWith("kernel"))!;
  const row = lines.find((line) => line.startsWith("dense/split"))!;
  for (
    const [heading, cell] of [["median us", "22.40"], ["% roofline", "67.4"], ["GB/s", "1499.4"]]
  ) {
    const end = heads.indexOf(heading) + heading.length;
    assert(row.slice(0, end).endsWith(cell), `${heading}: ${row}`);
  }
  assertStringIncludes(row, "22.30-22.51");
  assertStringIncludes(row, "1.2e-7");
});

Deno.test("formatTable() says the score where it is not the paper's", () => {
  const rotated = { bits: 128, code_sharing: "kv", map: "rotation", score: "rotated" } as const;
  const text = formatTable([makeRow({ ...rotated, planes: 2 })]);
  assertStringIncludes(text, ", 128-bit codes per KV head (rotated, 2 planes), ");
});

Deno.test("formatTable() prints the rates of all probes above the rows", () => {
  const probe = { stage: "probe", gbytes_per_s: null, gflops_per_s: null } as const;
  const text = formatTable([
    makeRow({ ...probe, kernel: "probe/chain", median_us: 2.05 }),
    makeRow({ ...probe, kernel: "probe/fma", gflops_per_s: 60_123.4 }),
    makeRow({ ...probe, kernel: "probe/stream 1024 KiB", gbytes_per_s: 3100.2 }),
    makeRow(),
  ]);
  const line = text.split("\n").find((line) => line.startsWith("probes: "));
  assertEquals(
    line,
    "probes: streaming read 3100 GB/s, f32 multiply-add 60123 GFLOP/s, dependent dispatch 2.05 us",
  );
});

Deno.test("formatTable() prints FAILED and the failure of a failed kernel", () => {
  const lines = formatTable([makeRow(), makeFailedRow()]).split("\n");
  assertStringIncludes(lines.at(-2)!, "FAILED");
  assertEquals(lines.at(-1), "    out at [0, 3, 7]: got 0.25, want -0.25");
});

Deno.test("formatTable() fits 100 columns", () => {
  const long = { kernel: "pipeline/sparse_subgroup", stage: "encode_prompt" } as const;
  const text = formatTable([
    makeRow({ ...long, median_us: 123456.7, ci_low_us: 123400.4, ci_high_us: 123500.4 }),
    makeFailedRow({ ...long, failure: "word ".repeat(60) + "x".repeat(300) }),
  ]);
  for (const line of text.split("\n")) assertLessOrEqual(line.length, 100, line);
});

Deno.test("formatTable() names the columns that it leaves out in 80 columns", () => {
  const row = makeRow({ kernel: "pipeline/sparse_two_group", stage: "pipeline" });
  const text = formatTable([row], 80);
  const lines = text.split("\n");
  for (const line of lines) assertLessOrEqual(line.length, 80, line);
  assertEquals(lines.find((line) => line.startsWith("kernel"))!.split(/ {2,}/), [
    ...["kernel", "median us", "95% interval", "GB/s", "% roofline", "x dense"],
  ]);
  assertEquals(
    lines.at(-1),
    "Not shown for want of room: stage, error; results.csv has all columns.",
  );
  assert(!formatTable([row]).includes("Not shown"));
});

Deno.test("formatTable() prints no roofline of a software adapter", () => {
  assertStringIncludes(formatTable([makeRow({ roofline_pct: 412 })]), "412.0");
  const text = formatTable([makeRow({ roofline_pct: 412, software: true })]);
  assert(!text.includes("412.0") && !text.includes("% roofline"), text);
});

Deno.test("formatTable() prints a single token in the singular", () => {
  assertStringIncludes(formatTable([makeRow({ kv_len: 1, lengths: "1" })]), ", 1 token\n");
});

Deno.test("formatTable() is empty without rows", () => assertEquals(formatTable([]), ""));

Deno.test("formatProgress() fits its line", () => {
  assertEquals(formatProgress("timing", 0.5, 80), "[############------------]  50% timing");
  assertEquals(formatProgress("timing", 7, 80), "[########################] 100% timing");
  assertEquals(formatProgress("timing", 0, 10), "[---------");
});

Deno.test("clockText() prints minutes and seconds", () => {
  assertEquals([0, 59_499, 59_500, 3_725_000, -5].map(clockText), [
    ...["0:00", "0:59", "1:00", "62:05", "0:00"],
  ]);
});
