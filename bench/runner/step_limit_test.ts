import { assertEquals, assertMatch } from "@std/assert";
import { tooLong } from "./step_limit.ts";

const GPU = { software: false, maxTimeMs: 10_000 };

Deno.test("tooLong() gives a sentence if the fewest samples exceed the limit", () => {
  assertEquals(tooLong(135_000, 32768, GPU), undefined);
  assertEquals(tooLong(540_000, 65536, GPU), undefined);
  assertEquals(
    tooLong(2_150_000, 131072, GPU),
    "at 131072 tokens a step would take about 4.3 s here, more than the 1.7 s that --max-time " +
      "allows a sample",
  );
  assertEquals(tooLong(2_150_000, 131072, { ...GPU, maxTimeMs: 30_000 }), undefined);
});

Deno.test("tooLong() prints both times with enough digits to differ", () => {
  const printed = (rooflineUs: number) => tooLong(rooflineUs, 1, GPU)?.match(/[\d.]+ s\b/g);
  assertEquals(printed(836_000), ["1.672 s", "1.667 s"]);
  assertEquals(printed(860_000), ["1.72 s", "1.67 s"]);
  assertEquals(printed(1_000_000), ["2.0 s", "1.7 s"]);
  assertMatch(tooLong(1_000_000, 1, GPU)!, /^at 1 token a step /);
});

Deno.test("tooLong() expects a smaller share of the roofline from a software adapter", () => {
  const software = { ...GPU, software: true };
  assertEquals(tooLong(70_000, 8192, software), undefined);
  assertMatch(tooLong(17_700_000, 8192, software)!, /about 177 s here, more than the 1\.7 s that/);
});

Deno.test("tooLong() never leaves out short steps", () => {
  assertEquals(tooLong(100_000, 512, { software: true, maxTimeMs: 1 }), undefined);
});
