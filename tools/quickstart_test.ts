import { assertEquals, assertMatch } from "@std/assert";
import { runProgram } from "../testing/command.ts";

Deno.test("quickstart --list lists the kernels, and adds no --quick to it", async () => {
  const { code, out, err } = await runProgram(`${import.meta.dirname}/quickstart.ts`, "--list");
  assertEquals(code, 0, err);
  assertMatch(out, /^Kernels \(--kernels\)$/m);
});
