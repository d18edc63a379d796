import { assert, assertEquals, assertThrows } from "@std/assert";
import { UsageError } from "../base/usage_error.ts";
import { meanCount, queriesOf } from "./queries.ts";
import { rowsFor, smallContext } from "../selection/methods/testing_context.ts";

Deno.test("queriesOf() keeps the queries of the last quarter, in each head", () => {
  const context = smallContext([39, 29, 3, 30]);
  const last = queriesOf(context, "last-quarter", "small");
  assertEquals([...last.positions], [39, 30]);
  const rowsOf = (head: number, ...queries: number[]) =>
    queries.flatMap((query) => [...context.q.slice(8 * (4 * head + query)).slice(0, 8)]);
  assertEquals([...last.q], [...rowsOf(0, 0, 3), ...rowsOf(1, 0, 3)]);
  assert(queriesOf(context, "all", "small") === context);
});

Deno.test("queriesOf() refuses a context without such queries", () => {
  assertThrows(
    () => queriesOf(smallContext([3, 29]), "last-quarter", "small"),
    UsageError,
    "--queries last-quarter leaves no query of small: the last is at position 29, and the quarter " +
      "begins at 30.",
  );
});

Deno.test("meanCount() is the budget, or the mean of the queries' own", () => {
  const context = smallContext([15, 38]);
  assertEquals(meanCount(context, { count: 5 }), 5);
  assertEquals(meanCount(context, { sparsity: 8 }), (2 + 4) / 2);
});

Deno.test("runQuality() measures each query at its own budget and says so", async () => {
  const methods = ["oracle", "rotated-128-w2", "quest-16"];
  const both = smallContext([15, 38]);
  const changes = { sparsities: [8], windows: { sink: 2, recent: 2 } };
  const [rows, atTwo, atFour] = await Promise.all([
    rowsFor(both, methods, { ...changes, budget: "context" }),
    // The first query's budget is 2, the second's is 4.
    rowsFor(queryAt(0), methods, { ...changes, sparsities: [20] }),
    rowsFor(queryAt(1), methods, { ...changes, sparsities: [10] }),
  ]);
  for (const [i, row] of rows.entries()) {
    assertEquals([atTwo[i].k, row.k, atFour[i].k], [2, 3, 4]);
    assertEquals([row.budget, row.query_set, atTwo[i].budget], ["context", "all", "trace"]);
    const mean = (atTwo[i].mass_total + atFour[i].mass_total) / 2;
    assertEquals(row.mass_total.toFixed(12), mean.toFixed(12));
  }

  function queryAt(query: number) {
    const { q, positions } = both;
    const rows = [0, 1].flatMap((head) => [...q.slice(8 * (2 * head + query)).slice(0, 8)]);
    return { ...both, positions: positions.slice(query, query + 1), q: Float32Array.from(rows) };
  }
});

Deno.test("runQuality() measures the last quarter alone and says so", async () => {
  const [rows, wanted] = await Promise.all([
    rowsFor(smallContext([39]), ["oracle"]),
    rowsFor(smallContext([39]), ["oracle"], { querySet: "last-quarter" }),
  ]);
  assertEquals(rows.map((row) => ({ ...row, query_set: "last-quarter" })), [...wanted]);
  const some = await rowsFor(smallContext([5, 39]), ["oracle"], { querySet: "last-quarter" });
  assertEquals(some.map(({ queries }) => queries), [1, 1, 2]);
});
