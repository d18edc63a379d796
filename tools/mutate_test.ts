import { assertEquals, assertThrows } from "@std/assert";
import { UsageError } from "../bench/base/usage_error.ts";
import { WGPU } from "../bench/measure/device/gpu_choice.ts";
import { MUTANTS, plant } from "./mutation/mutants.ts";
import {
  chooseKernels,
  copyTree,
  failures,
  kernelFiles,
  missedByRow,
  missedByTests,
  readMutateOptions,
} from "./mutate.ts";

Deno.test("every kernel but the probes has one mutant, which can be planted", () => {
  assertEquals(MUTANTS.map(({ kernel }) => kernel).sort(), kernelFiles().sort());
  for (const mutant of MUTANTS) {
    const file = new URL(`../kernels/${mutant.kernel}.wgsl`, import.meta.url);
    plant(Deno.readTextFileSync(file), mutant);
  }
});

Deno.test("kernels are chosen by name, glob or folder, and what fits none is refused", () => {
  assertEquals(chooseKernels([]), kernelFiles());
  const merges = ["merge/join_ragged", "merge/join_splits", "merge/merge", "merge/nsa_gates"];
  assertEquals(chooseKernels(["merge/merge", "merge"]), merges);
  assertEquals(chooseKernels(["dense"]), chooseKernels(["dense/*"]));
  assertThrows(() => chooseKernels(["merge/x"]), UsageError, "No kernel is called merge/x; the");
});

Deno.test("readMutateOptions() takes kernels as words or as a list, and how many random mutants", () => {
  const read = (line: string) => readMutateOptions(line.split(" "));
  const kernels = ["merge/join_ragged", "merge/join_splits", "merge/merge", "merge/nsa_gates"];
  const gpu = WGPU;
  assertEquals(read("merge"), { kernels, random: null, seed: 1, gpu });
  assertEquals(read("--kernels merge/*"), { kernels, random: null, seed: 1, gpu });
  assertEquals(read("--random 10 --kernels merge"), { kernels, random: 10, seed: 1, gpu });
  assertEquals(read("--random 10 --seed 7 merge"), { kernels, random: 10, seed: 7, gpu });
  const refuses = (line: string, message: string) =>
    assertThrows(() => read(line), UsageError, message);
  refuses("--frob", "Unknown flag --frob;");
  refuses("--random 0", '--random takes a whole number from 1 to 1000, not "0".');
  refuses("--seed 2", "--seed needs --random.");
  refuses("--random 1 --kernels merge/x", "No kernel is called merge/x; the");
});

Deno.test("copyTree() leaves out results at the root and nobody's code", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const files = ["results/a.csv", ".git/b", "bench/results/c.ts", "bench/.d", "e.json"];
    for (const file of files) {
      const place = `${folder}/from/${file}`.replace(/\/[^/]*$/, "");
      Deno.mkdirSync(place, { recursive: true });
      Deno.writeTextFileSync(`${folder}/from/${file}`, "");
    }
    copyTree(`${folder}/from`, `${folder}/to`);
    const there = files.filter((file) => {
      try {
        return Deno.statSync(`${folder}/to/${file}`).isFile;
      } catch {
        return false;
      }
    });
    assertEquals(there, ["bench/results/c.ts", "e.json"]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("a mutant goes where it is meant to, or nowhere", () => {
  const mutant = { kernel: "a/b", find: "x - y", replace: "x + y" };
  assertEquals(plant("let z = x - y;", mutant), "let z = x + y;");
  const message = (times: number) => `"x - y" stands ${times} times in kernels/a/b.wgsl`;
  assertThrows(() => plant("let z = y - x;", mutant), RangeError, message(0));
  assertThrows(() => plant("x - y; x - y;", mutant), RangeError, message(2));
});

Deno.test("only a wrong result counts as caught by tests", () => {
  const tap = [
    "TAP version 14",
    "ok 1 - a/b: equals the reference",
    "not ok 2 - a/c: equals the reference",
    "  ---",
    '  {"message":"AssertionError: relative error 0.5, worst ..."}',
    "  ...",
    "not ok 3 - a/d: equals the reference",
    "  ---",
    '  {"message":"Error: a/d does not compile: ..."}',
    "  ...",
    "1..3",
  ].join("\n");
  const failed = failures(tap);
  assertEquals([...failed.keys()], ["a/c", "a/d"]);
  assertEquals(missedByTests(failed.get("a/b")), "no test failed");
  assertEquals(missedByTests(failed.get("a/c")), null);
  assertEquals(missedByTests(failed.get("a/d")), "does not compile");
  assertEquals(missedByTests("out of memory"), "failed for another reason: out of memory");
});

Deno.test("only a failed row without times counts as caught by bench", () => {
  const failed = { verified: "false", median_us: "", failure: "out at [0]: got 1, want 2" };
  assertEquals(missedByRow(failed), null);
  assertEquals(missedByRow({ ...failed, median_us: "3" }), "verified");
  assertEquals(missedByRow({ verified: "true", median_us: "3", failure: "" }), "verified");
  assertEquals(missedByRow(undefined), "no row");
});
