import { assertEquals } from "@std/assert";
import type { ResultRow } from "../results/row.ts";
import { seriesOf } from "./series.ts";
import { makeRow } from "../../testing/row.ts";

const DENSE = { kernel: "dense/split", stage: "dense" } as const;
const STEP = { kernel: "pipeline/sparse", stage: "pipeline" } as const;
const labels = (rows: readonly ResultRow[]) => seriesOf(rows).map(({ label }) => label);

Deno.test("seriesOf() separates rows of other drivers, commits, runtimes and timers", () => {
  const others: [Partial<ResultRow>, string, string][] = [
    [{ driver: "590" }, "Some GPU, vulkan, driver NVIDIA 580.1", "Some GPU, vulkan, driver 590"],
    [
      { commit: "beef" },
      "Some GPU, vulkan, commit 0123456789ab",
      "Some GPU, vulkan, commit beef",
    ],
    [{ runtime: "node 22" }, "Some GPU, vulkan, deno 2.9.6", "Some GPU, vulkan, node 22"],
    [{ backend: "d3d12" }, "Some GPU, vulkan", "Some GPU, d3d12"],
    [{ timer: "wall" }, "Some GPU, vulkan, timed by timestamp", "Some GPU, vulkan, timed by wall"],
    [{ adapter: "Other" }, "Some GPU, vulkan", "Other, vulkan"],
    [
      { adapter: "some-gpu", runtime: "dawn" },
      "Some GPU, vulkan, deno 2.9.6",
      "some-gpu, vulkan, dawn",
    ],
  ];
  for (const [changes, first, second] of others) {
    const rows = [makeRow(DENSE), makeRow({ ...DENSE, ...changes }), makeRow(STEP)];
    const [one, other, ...none] = seriesOf(rows);
    assertEquals([one.label, other.label, none], [first, second, []]);
    assertEquals([one.rows, other.rows], [[rows[0], rows[2]], [rows[1]]]);
  }
});

Deno.test("seriesOf() joins files of the same code, unless two have a case in common", () => {
  const rowIn = (source: string, case_id: string, utc: string, changes = {}) => ({
    ...makeRow({ case_id, utc, ...changes }),
    source,
  });
  const [early, late] = ["2026-01-02T03:04:05.678Z", "2026-01-02T04:05:06.789Z"];
  assertEquals(labels([rowIn("a", "one", early), rowIn("b", "two", late)]), ["Some GPU, vulkan"]);
  const rows = [rowIn("a", "one", early, DENSE), rowIn("b", "one", late, STEP)];
  assertEquals(seriesOf(rows).map(({ label, rows }) => [label, rows.length]), [
    ["Some GPU, vulkan, run of 2026-01-02 03:04 UTC", 1],
    ["Some GPU, vulkan, run of 2026-01-02 04:05 UTC", 1],
  ]);
  assertEquals(labels([rowIn("a", "one", early), rowIn("b", "one", early)]), [
    "Some GPU, vulkan, run of 2026-01-02 03:04 UTC, a",
    "Some GPU, vulkan, run of 2026-01-02 03:04 UTC, b",
  ]);
});

Deno.test("seriesOf() keeps the last row of a kernel and case, and counts the others", () => {
  const rows = [makeRow({ median_us: 3 }), makeRow(STEP), makeRow({ median_us: 2 })];
  const [{ rows: kept, replaced }] = seriesOf(rows);
  assertEquals([kept, replaced], [[rows[2], rows[1]], 1]);
  const hot = seriesOf([makeRow(), makeRow({ cache: "hot" })]);
  assertEquals([hot[0].rows.length, hot[0].replaced], [2, 0]);
});
