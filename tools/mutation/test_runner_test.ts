import { assertEquals, assertRejects } from "@std/assert";
import { CompileError } from "../../kernels/core/run/program.ts";
import type { Kernel } from "../../kernels/core/variant.ts";
import { registeredTests, ReplaceableKernel, testsOf } from "./kernel_tests.ts";
import { TestRunner } from "./test_runner.ts";

function fakeKernel(): Kernel {
  return { name: "a/b", source: "right", bindings: [], params: {} };
}

Deno.test("ReplaceableKernel shows its text to whoever holds the kernel", () => {
  const [one, two] = [fakeKernel(), fakeKernel()];
  const kernel = new ReplaceableKernel([one, two]);
  kernel.source = "wrong";
  assertEquals([one.source, two.source, kernel.original], ["wrong", "wrong", "right"]);
  assertEquals(kernel.reads, 2);
});

Deno.test("TestRunner tells why the first test failed", async () => {
  const own = fakeKernel();
  const runner = new TestRunner(new ReplaceableKernel([own]), [
    { name: "a/b: passes", fn: () => void own.source },
    {
      name: "a/b: fails",
      fn() {
        const { source } = own;
        if (source === "wrong") assertEquals(source, "right");
        const cause = source === "no WGSL" ? new CompileError(source) : undefined;
        if (source !== "right") throw new Error(source, { cause });
      },
    },
  ]);
  const test = "a/b: fails";
  assertEquals(await runner.firstFailure("wrong"), { kind: "result", test });
  assertEquals(await runner.firstFailure("no WGSL"), { kind: "compile", test });
  assertEquals(await runner.firstFailure("lost"), { kind: "error", test });
  assertEquals(await runner.firstFailure("right"), null);
});

Deno.test("TestRunner runs a test that never reads the kernel once, and the likely ones first", async () => {
  const own = fakeKernel();
  const ran: string[] = [];
  const runner = new TestRunner(new ReplaceableKernel([own]), [
    { name: "idle", fn: () => void ran.push("idle") },
    { name: "meek", fn: () => void ran.push(`meek ${own.source}`) },
    {
      name: "strict",
      fn() {
        ran.push(`strict ${own.source}`);
        assertEquals(own.source, "right");
      },
    },
  ]);
  await runner.firstFailure("wrong");
  const first = ["idle", "meek right", "meek wrong", "strict right", "strict wrong"];
  assertEquals(ran.splice(0), first);
  await runner.firstFailure("false");
  assertEquals(ran, ["strict false"]);
});

Deno.test("TestRunner leaves the long tests out where it should", async () => {
  const own = fakeKernel();
  const fn = () => assertEquals(own.source, "right");
  const runner = new TestRunner(new ReplaceableKernel([own]), [{ name: "on a grid", fn }]);
  assertEquals(await runner.firstFailure("wrong", "short"), null);
  assertEquals(await runner.firstFailure("wrong"), { kind: "result", test: "on a grid" });
});

Deno.test("TestRunner blames no mutant for a test that fails without one", async () => {
  const fn = () => Promise.reject(new Error("broken"));
  const runner = new TestRunner(new ReplaceableKernel([fakeKernel()]), [{ name: "a test", fn }]);
  const message = '"a test" fails without a mutant: Error: broken';
  await assertRejects(() => runner.firstFailure("wrong"), Error, message);
});

Deno.test("registeredTests() collects the tests of files, which then do not run", async () => {
  const file = await Deno.makeTempFile({ suffix: ".ts" });
  try {
    await Deno.writeTextFile(
      file,
      `Deno.test("one", () => {}); Deno.test({ name: "two", ignore: true, fn() {} });
       Deno.test({ name: "three", fn() { throw new Error("ran"); } });`,
    );
    const { test } = Deno;
    const found = await registeredTests([new URL(`file://${file}`)]);
    assertEquals(found.map(({ name }) => name), ["one", "three"]);
    assertEquals(Deno.test, test);
  } finally {
    await Deno.remove(file);
  }
});

Deno.test("testsOf() leaves out the tests of other variants alone", () => {
  const names = ["merge/merge: x", "dense/split: x", "dense/split_subgroup: x", "a reference"];
  const tests = names.map((name) => ({ name, fn() {} }));
  const kept = testsOf(["dense/split"], tests).map(({ name }) => name);
  assertEquals(kept, ["dense/split: x", "a reference"]);
});
