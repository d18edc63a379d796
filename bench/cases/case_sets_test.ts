import { assert, assertEquals, assertLessOrEqual, assertMatch, assertThrows } from "@std/assert";
import { checkProblem } from "../../kernels/core/problem/check_problem.ts";
import type { Problem } from "../../kernels/core/problem/problem.ts";
import { parseQuality } from "../results/quality_rows.ts";
import { EVERY_VARIANT } from "../../kernels/core/registry.ts";
import { CASE_SETS, EQUAL_ERROR, findCaseSet } from "./case_sets.ts";
import { caseId, casesOf } from "./cases.ts";
import { matching } from "./kernel_globs.ts";
import { parseOptions } from "../run/options.ts";
import { UsageError } from "../base/usage_error.ts";

const cases = (...args: string[]) => casesOf(parseOptions(args));

Deno.test("CASE_SETS have valid and distinct cases, whose kernels exist", () => {
  for (const { cases } of CASE_SETS) {
    for (const { label, problem, kernels } of cases) {
      checkProblem(problem);
      assertLessOrEqual(label.length, 18);
      for (const glob of kernels) assert(matching(EVERY_VARIANT, [glob]).length > 0, glob);
    }
    assertEquals(new Set(cases.map(({ problem }) => caseId(problem))).size, cases.length);
  }
});

Deno.test("casesOf() the decode set are the cases of the published claim", () => {
  const found = cases("--set", "decode");
  assertEquals(found.map(({ caseId }) => caseId), [
    "32x8x128-n8192-b1-f16-c32h-mlp3x128f16-s32-w0+0",
    "32x8x128-n32768-b1-f16-c32h-mlp3x128f16-s32-w0+0",
    "32x8x128-n131072-b1-f16-c32h-mlp3x128f16-s32-w0+0",
    "32x8x128-n32768-b8-f16-c32h-mlp3x128f16-s32-w0+0",
    "32x32x128-n32768-b1-f16-c32h-mlp3x128f16-s32-w0+0",
    "32x32x128-n131072-b1-f16-c32h-mlp3x128f16-s32-w0+0",
    "32x8x128-n131072-b1-f16-c128g-linearf16-s32-w0+0",
    "32x8x128-n8192-b1-f16-c32h-mlp3x128f16-s32-w128+128",
    "32x8x128-n32768-b1-f16-c32h-mlp3x128f16-s32-w128+128",
    "32x8x128-n131072-b1-f16-c32h-mlp3x128f16-s32-w128+128",
    "28x4x128-n32768-b1-f16-c32h-mlp3x128f16-s32-w0+0",
    "24x8x128-n32768-b1-f16-c32h-mlp3x128f16-s32-w0+0",
    "32x8x64-n32768-b1-f16-c32h-mlp3x128f16-s32-w0+0",
  ]);
  assertEquals([found[3].name, found[6].label], [
    "32x8x128, batch 8 at 32768 tokens",
    "HATA's sharing",
  ]);
  // Flags can ask for the same measurement.
  const line = "--shape 32x8x128 --kv 8192 --sink 0 --recent 0";
  assertEquals(found[0].problem, cases(...line.split(" "))[0].problem);
});

Deno.test("casesOf() a set run the kernels that both the case and --kernels name", () => {
  const names = (...args: string[]) =>
    cases("--set", "decode", ...args).map(({ variants }) => variants.map(({ name }) => name));
  const [all, prompts, dense] = [
    names(),
    names("--kernels", "encode/prompt"),
    names(
      "--kernels",
      "dense/split,encode/query",
    ),
  ];
  assert(all[0].includes("select/bitonic") && !all[3].includes("select/bitonic"));
  assert(
    all.every((kernels) => kernels.includes("dense/split") && kernels.includes("pipeline/sparse")),
  );
  // Cases without any of the kernels are left out.
  assertEquals(prompts, prompts.map(() => ["encode/prompt"]));
  assertLessOrEqual(prompts.length, all.length - 1);
  assertEquals([dense[0], dense[7]], [["encode/query", "dense/split"], ["dense/split"]]);
});

Deno.test("casesOf() the neighbours are other systems beside dense attention and rotated codes", () => {
  for (const { problem, variants, quality } of cases("--set", "neighbours")) {
    const names = variants.map(({ name }) => name);
    if (problem.valueDim) assertEquals(names, ["pipeline/nsa"]);
    else {for (const name of ["dense/split_subgroup", "pipeline/rotated_two"]) {
        assert(names.includes(name));
      }}
    assert([32768, 131072].includes(problem.kvLen));
    assertEquals(quality, undefined);
  }
  const [first] = cases("--set", "neighbours", "--kernels", "pipeline/nsa");
  assertEquals([first.label, first.problem.kvLen], ["32x8 times only", 32768]);
});

Deno.test("casesOf() and findCaseSet() refuse unknown sets, and --set the flags of cases", () => {
  const contradictions =
    "--models x,--shape 1x1x64,--kv 1,--batch 1,--quick,--trace x,--dtype f16," +
    "--score hamming,--planes 2,--bins 64,--ties lower,--bits 32,--sharing head,--map mlp,--k 1,--sparsity 1,--sink 0,--recent 0";
  for (const flags of contradictions.split(",--").map((flag) => flag.replace(/^-*/, "--"))) {
    const error = assertThrows(() => cases("--set", "decode", ...flags.split(" ")), UsageError);
    assertEquals(error.message, `--set and ${flags.split(" ")[0]} contradict each other.`);
  }
  const options = { ...parseOptions(["--set", "decode"]), variants: [] };
  assertThrows(() => casesOf(options), UsageError, "No case of the set decode has a kernel");
  const error = assertThrows(() => cases("--set", "x"), UsageError);
  assertEquals(
    error.message,
    "--set: no set of cases is called x; known are decode, equal-error, long, groups, neighbours, " +
      "scbench.",
  );
  assertMatch(assertThrows(() => findCaseSet("x"), RangeError).message, /^no set/);
});

Deno.test("EQUAL_ERROR has the errors of the stored quality, none above the paper's", () => {
  const path = `${import.meta.dirname}/../../fixtures/quality/sympy.csv`;
  const rows = parseQuality(Deno.readTextFileSync(path), path);
  const methods = ["learned", "learned-w2", "rotated-128-w2", "rotated-128-w3"] as const;
  const methodOf = ({ map, planes = 0 }: Partial<Problem>) =>
    map === undefined ? methods[planes === 0 ? 0 : 1] : methods[planes];
  const find = (trace: string, method: string, sparsity: number) =>
    rows.find((row) => row.trace === trace && row.method === method && row.sparsity === sparsity)!;
  for (const { label, quality, topK = { sparsity: 32 }, ...code } of EQUAL_ERROR) {
    const trace = label.startsWith("L0") ? "sympy-L0-kv0" : "sympy-L7-kv1";
    assert("sparsity" in topK);
    const row = find(trace, methodOf(code), topK.sparsity);
    assertEquals(quality, {
      error: row.output_rel_err,
      mass: row.mass_total,
      tokens: 16384,
    });
    const paper = find(trace, "learned", 32).output_rel_err!;
    const most = label === "L7 third of error" ? paper / 3 : paper;
    assertLessOrEqual(quality!.error, most, label);
  }
});
