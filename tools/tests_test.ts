import { assertEquals } from "@std/assert";
import { countTests } from "./tests.ts";

Deno.test("countTests() reads the last summary, with or without colours", () => {
  assertEquals(countTests("ok | 3 passed | 0 failed (7ms)\n", 0), { passed: 3, failed: 0 });
  assertEquals(
    countTests(
      "ok | 9 passed | 9 failed\n\x1b[31mFAILED\x1b[0m | 2 passed (4 steps) | 1 failed\n",
      1,
    ),
    { passed: 2, failed: 1 },
  );
});

Deno.test("countTests() counts a crash as a failure", () => {
  assertEquals(countTests("running 1 test\n", 139), { passed: 0, failed: 1 });
  assertEquals(countTests("", 0), { passed: 0, failed: 1 });
  assertEquals(countTests("ok | 3 passed | 0 failed (7ms)\n", 1), { passed: 3, failed: 1 });
});
