import { assertEquals, assertStringIncludes } from "@std/assert";
import type { QualityRow } from "../../results/quality_rows.ts";
import type { ResultRow } from "../../results/row.ts";
import { inTurns, makeFailedRow, makeRow } from "../../../testing/row.ts";
import type { Section, TableCell } from "./figure.ts";
import { sectionsOf } from "./figures.ts";

const sections = (rows: readonly ResultRow[], quality: readonly QualityRow[] = []) =>
  sectionsOf({ rows, peers: new Map(), quality, tuning: [] });

/** The rows of a figure's table, each after its heading. */
function rowsOf({ figures }: Section, id: string): TableCell[][] {
  let heading: TableCell = null;
  return figures.find((figure) => figure.id === id)!.table.rows.flatMap((row) => {
    if (row.length > 1) return [[heading, ...row]];
    [heading] = row;
    return [];
  });
}

Deno.test("sectionsOf() gives no share of the roofline on a software adapter", () => {
  const rows = (software: boolean) => {
    const probe = { stage: "probe", kernel: "probe/stream 1 KiB" } as const;
    const all = [makeRow({ software }), makeRow({ ...probe, software })];
    const [section] = sections(all);
    return rowsOf(section, "roofline").map(([, name, , percent]) => [name, percent]);
  };
  assertEquals(rows(false).at(-1), ["dense/split", 67.4]);
  assertEquals(rows(true).at(-1), ["dense/split", null]);
});

Deno.test("sectionsOf() draws quality runs of two seeds as two figures", () => {
  const quality: QualityRow[] = [1, 2].map((seed) => ({
    trace: "novel",
    method: "random",
    bits_per_token_per_kv_head: 32,
    sparsity: 8,
    k: 3,
    head: "all",
    queries: 1,
    recall: 1,
    mass_middle: null,
    mass_total: 1,
    output_rel_err: seed / 10,
    sink: 0,
    recent: 0,
    seed,
    code_bytes: 4,
    budget: "trace",
    query_set: "all",
  }));
  const [{ figures }] = sections([], quality);
  assertEquals(figures.map(({ table }) => table.rows.length), [1, 1]);
  assertStringIncludes(figures[1].caption, "seed 2");
});

Deno.test("sectionsOf() warns of rows that failed, are left out or cannot be compared", () => {
  const step = makeRow({ stage: "pipeline", kernel: "pipeline/sparse", median_us: 11.2 });
  const alone = makeRow({ ...step, speedup_vs_dense: null });
  const failed = makeFailedRow({ kernel: "dense/wrong" });
  const [section] = sections([makeRow(), alone, failed, makeRow()]);
  assertEquals(section.figures, []);
  assertEquals(
    section.warning,
    "Kernels that FAILED, so their times do not count: dense/wrong. No speedup is given where " +
      "dense kernels and sparse steps were timed in different runs: 32x8x128, 8K. Rows left out, " +
      "since a later row has the same kernel and case: 1.",
  );
});

Deno.test("sectionsOf() draws separate lines and bars for hot and cold caches of a case", () => {
  const stages = ["encode_query", "encode_append", "score", "select", "attend", "merge"] as const;
  const rows = (["cold", "hot"] as const).flatMap((cache, i) =>
    inTurns([
      makeRow({ cache, median_us: 20 - 10 * i }),
      makeRow({ cache, stage: "pipeline", kernel: "pipeline/sparse", median_us: 10 - 8 * i }),
      ...stages.map((stage) => makeRow({ cache, stage, kernel: stage })),
    ])
  );
  const [section] = sections(rows);
  assertEquals(rowsOf(section, "speedup-wgsl").map((row) => row.slice(0, 3)), [
    ["32x8x128, cold cache", 8192, 2],
    ["32x8x128, hot cache", 8192, 5],
  ]);
  const bars = rowsOf(section, "stages").filter(([, part]) => part === "whole step");
  assertEquals(new Set(bars.map(([name]) => name)).size, 2);
  assertEquals(bars.map(([, , us]) => us), [10, 2]);
});
