import { assertEquals, assertThrows } from "@std/assert";
import { UsageError } from "../base/usage_error.ts";
import { parseFrontierOptions } from "./options.ts";

Deno.test("frontier measures all methods at ascending budgets and lengths unless told otherwise", () => {
  const all = parseFrontierOptions([]);
  assertEquals([all.budgets, all.kvLens], [[8, 16, 32, 64, 128, 256], [8192, 32768, 131072]]);
  assertEquals([all.traces, all.maxError, all.windows], [null, 0.06, { sink: 128, recent: 128 }]);
  const some = parseFrontierOptions(["--methods", "oracle,rotated-128", "--budgets", "64,8"]);
  assertEquals(some.methods.map(({ name }) => name), ["rotated-128-w2", "oracle"]);
  assertEquals(some.budgets, [8, 64]);
});

Deno.test("frontier --quick has five methods, one length and three budgets", () => {
  const { methods, kvLens, budgets } = parseFrontierOptions(["--quick"]);
  assertEquals(methods.map(({ name }) => name), [
    ...["learned", "rotated-128-w2", "quest", "pq-8", "oracle"],
  ]);
  assertEquals([kvLens.length, budgets.length], [1, 3]);
});

Deno.test("frontier joins traces and maps by their order", () => {
  const { traces } = parseFrontierOptions([
    ...["--traces", "a,b", "--maps", "none,m", "--hata-maps", "h,none"],
  ]);
  assertEquals(traces, [
    { trace: "a", maps: { map: null, "hata-map": "h" } },
    { trace: "b", maps: { map: "m", "hata-map": null } },
  ]);
  assertThrows(
    () => parseFrontierOptions(["--traces", "a,b", "--hata-maps", "h"]),
    UsageError,
    "--hata-maps names 1 map for 2 traces; none stands for no map.",
  );
});
