import { assertEquals, assertThrows } from "@std/assert";
import { UsageError } from "../../../base/usage_error.ts";
import { prepareContexts, splitContexts } from "./contexts.ts";
import { type Recipe, RECIPES } from "../recipe.ts";
import { smallContext, smallFile } from "../../testing_trace.ts";

const WINDOWS = { sink: 8, recent: 8 };

function prepare(context: Partial<ReturnType<typeof smallContext>>, recipe: Recipe = RECIPES.best) {
  const changed = { name: "changed", contexts: [{ name: "", context: smallContext(1) }] };
  Object.assign(changed.contexts[0].context, context);
  return prepareContexts([smallFile(), changed], WINDOWS, recipe);
}

Deno.test("splitContexts() holds out the named contexts, or the last of three or more", () => {
  const contexts = prepare({});
  const labels = (list: readonly { readonly label: string }[]) => list.map(({ label }) => label);
  assertEquals(labels(contexts), ["changed", "small/a", "small/b", "small/c"]);
  const { training, validation } = splitContexts(contexts, null);
  assertEquals(labels(training), ["changed", "small/a", "small/b"]);
  assertEquals(labels(validation), ["small/c"]);
  assertEquals(labels(splitContexts(contexts.slice(2), null).validation), []);
  assertEquals(labels(splitContexts(contexts, []).validation), []);
  const named = splitContexts(contexts, ["b", "changed", "small/a"]);
  assertEquals(labels(named.training), ["small/c"]);
});

Deno.test("splitContexts() refuses names that match no context, or all", () => {
  const contexts = prepare({});
  assertThrows(
    () => splitContexts(contexts, ["d"]),
    UsageError,
    '--val names no context "d"; the traces have changed, small/a, small/b, small/c.',
  );
  assertThrows(
    () => splitContexts(contexts, ["a", "b", "c", "changed"]),
    UsageError,
    "--val leaves no context to train on.",
  );
});

Deno.test("prepareContexts() refuses contexts that cannot be fitted, in one sentence", () => {
  const refused = (
    context: Parameters<typeof prepare>[0],
    message: string,
    recipe: Recipe = RECIPES.best,
  ) => assertThrows(() => prepare(context, recipe), UsageError, message);
  refused({ queryHeads: 3 }, "small/a has 2 heads of 16, but changed has 3 of 16.");
  refused({ headDim: 15 }, "changed has head dim 15; it must be even.");
  refused({ positions: Int32Array.of(300) }, "changed has a single query; fitting needs at least");
  refused(
    { positions: Int32Array.of(20, 25) },
    "changed has at most 10 keys between sink and recent window; fitting needs more than the 10",
  );
  refused(
    { positions: Int32Array.of(20, 46) },
    "changed has at most 31 keys between sink and recent window; fitting needs more than the 32",
    RECIPES.paper,
  );
  refused({ kvLen: 31, positions: Int32Array.of(20, 25) }, "more than the 1 that it selects");
  assertThrows(
    () => prepareContexts([smallFile(), smallFile()], WINDOWS, RECIPES.best),
    UsageError,
    "Two contexts are called small/a.",
  );
});

Deno.test("prepareContexts() leaves out queries with too few keys to learn", () => {
  const positions = Int32Array.of(3, 300, 15, 16, 60);
  const usableFor = (recipe: Recipe) => prepare({ positions }, recipe)[0].usable;
  assertEquals(usableFor(RECIPES.best), [1, 3, 4]);
  assertEquals(usableFor(RECIPES.paper), [1, 4]);
});
