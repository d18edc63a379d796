import { assertEquals } from "@std/assert";
import { type CaseTimes, caseTimes } from "../../findings/ratios.ts";
import { inTurns, makeRow } from "../../../testing/row.ts";
import { caseTable } from "./case_table.ts";

/** The times of a line of cases with these ratios at these lengths. */
function line(...ratios: [kvLen: number, ratio: number][]): CaseTimes[] {
  const rows = ratios.flatMap(([kv_len, ratio]) => {
    const place = { kv_len, case_id: `n${kv_len}` };
    const step = { ...place, stage: "pipeline", kernel: "pipeline/sparse" } as const;
    return inTurns([
      makeRow({ ...place, median_us: 10 * ratio }),
      makeRow({ ...step, median_us: 10, floor_us: 5 }),
    ]);
  });
  return caseTimes(rows, [], new Map(ratios.map(([kvLen]) => [`n${kvLen}`, "line"])));
}

const wins = (...ratios: [number, number][]) =>
  caseTable([{ name: "Some GPU", times: line(...ratios) }]).rows.slice(1).map((row) => row[5]);

Deno.test("caseTable() names a crossing only between two measured lengths", () => {
  assertEquals(wins([8192, 0.9], [1024, 0.5], [32768, 2]), ["from 32K", "from 32K", "from 32K"]);
  assertEquals(wins([1024, 1.1], [8192, 2]), ["all lengths", "all lengths"]);
  assertEquals(wins([1024, 0.5], [8192, 0.9]), ["no length", "no length"]);
  assertEquals(wins([1024, 2], [8192, 0.9]), ["not at 8K", "not at 8K"]);
  assertEquals(wins([8192, 2]), ["yes"]);
  assertEquals(wins([8192, 0.9]), ["no"]);
});

Deno.test("caseTable() lists lengths under lines, and several devices under cases", () => {
  const one = caseTable([{ name: "A", times: line([8192, 2], [1024, 0.5]) }]);
  assertEquals(one.rows, [
    ["line"],
    ["1K", 5, 10, 0.5, 50, "from 8K"],
    ["8K", 20, 10, 2, 50, "from 8K"],
  ]);
  const two = caseTable([
    { name: "A", times: line([8192, 2], [1024, 0.5]) },
    { name: "B", times: line([8192, 4]) },
  ]);
  assertEquals(two.columns[0], "device");
  assertEquals(two.rows, [
    ["line, 1K"],
    ["A", 5, 10, 0.5, 50, "from 8K"],
    ["line, 8K"],
    ["A", 20, 10, 2, 50, "from 8K"],
    ["B", 40, 10, 4, 50, "yes"],
  ]);
});
