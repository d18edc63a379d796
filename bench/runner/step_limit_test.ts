import { assertEquals, assertMatch } from "@std/assert";
import { tooLong } from "./step_limit.ts";

const GPU = { software: false, maxTimeMs: 10_000 };

Deno.test("a step of which the fewest samples exceed the limit is left out in one sentence", () => {
  assertEquals(tooLong(135_000, 32768, GPU), undefined);
  assertEquals(tooLong(540_000, 65536, GPU), undefined);
  assertEquals(
    tooLong(2_150_000, 131072, GPU),
    "at 131072 tokens a step would take about 4.3 s here, more than the 1.7 s that --max-time leaves it",
  );
  assertEquals(tooLong(2_150_000, 131072, { ...GPU, maxTimeMs: 30_000 }), undefined);
});

Deno.test("the two times differ in what is told of them", () => {
  const told = (rooflineUs: number) => tooLong(rooflineUs, 1, GPU)?.match(/[\d.]+ s\b/g);
  assertEquals(told(836_000), ["1.672 s", "1.667 s"]);
  assertEquals(told(860_000), ["1.72 s", "1.67 s"]);
  assertEquals(told(1_000_000), ["2.0 s", "1.7 s"]);
  assertMatch(tooLong(1_000_000, 1, GPU)!, /^at 1 token a step /);
});

Deno.test("a software adapter is trusted with less", () => {
  const software = { ...GPU, software: true };
  assertEquals(tooLong(70_000, 8192, software), undefined);
  assertMatch(tooLong(17_700_000, 8192, software)!, /about 177 s here, more than the 1\.7 s that/);
});

Deno.test("short steps are never left out", () => {
  assertEquals(tooLong(100_000, 512, { software: true, maxTimeMs: 1 }), undefined);
});
