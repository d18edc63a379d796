import { assertEquals, assertMatch } from "@std/assert";
import { runProgram } from "../testing/command.ts";

Deno.test("quickstart lists what bench lists, though that takes no profile", async () => {
  const { code, out, err } = await runProgram(`${import.meta.dirname}/quickstart.ts`, "--list");
  assertEquals(code, 0, err);
  assertMatch(out, /^Kernels \(--kernels\)$/m);
});
