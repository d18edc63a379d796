import { assertEquals, assertThrows } from "@std/assert";
import { UsageError } from "../base/usage_error.ts";
import { FRONTIER_HEADER, frontierLines, latestFrontier, parseFrontier } from "./frontier_rows.ts";
import { frontierRow } from "./testing_frontier.ts";

const textOf = (...rows: Parameters<typeof frontierLines>[0]) =>
  FRONTIER_HEADER + frontierLines(rows);

Deno.test("rows of frontier survive their CSV, with empty fields and commas", () => {
  const rows = [
    frontierRow(),
    frontierRow({ budget: null, planes: null, error: null, us: null, ratio: null, samples: 0 }),
    frontierRow({ trace: 'a "trace", so called', driver: "x, y" }),
  ];
  assertEquals(parseFrontier(textOf(...rows), "f.csv"), rows);
});

Deno.test("an error that is no number becomes an empty field", () => {
  const [row] = parseFrontier(textOf(frontierRow({ error: NaN, mass: Infinity })), "f.csv");
  assertEquals([row.error, row.mass], [null, null]);
});

Deno.test("a line that a kill cut short is dropped, and a damaged one is named", () => {
  const text = textOf(frontierRow(), frontierRow({ us: 3 }));
  assertEquals(parseFrontier(text.slice(0, -5), "f.csv"), [frontierRow()]);
  assertThrows(
    () => parseFrontier(textOf(frontierRow()).replace("131072", "8K"), "f.csv"),
    UsageError,
    'f.csv, line 2: kv_len cannot be "8K"',
  );
});

Deno.test("latestFrontier() keeps the last row of a step, a length, a trace and a machine", () => {
  const first = frontierRow({ us: 1 });
  const others = [frontierRow({ trace: "b" }), frontierRow({ adapter: "Another GPU" })];
  const last = frontierRow({ us: 2 });
  assertEquals(latestFrontier([first, ...others, last]), [last, ...others]);
});
