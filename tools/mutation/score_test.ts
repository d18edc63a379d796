import { assertEquals, assertMatch } from "@std/assert";
import { kernelFiles } from "../mutate.ts";
import type { KilledBy, Verdict } from "./messages.ts";
import { EQUIVALENTS, staleEquivalents } from "./equivalents.ts";
import { countsOf, scoreTable, survivorLines, wrongEquivalents } from "./score.ts";

const KNOWN = [{
  kernel: "a/b",
  above: "fn f() {",
  before: "x + 0u",
  after: "x - 0u",
  why: "Nothing is added.",
}];

function verdict(killedBy: KilledBy | null, before = "x", after = "y"): Verdict {
  return {
    mutant: { kernel: "a/b", line: 7, above: "fn f() {", before, after },
    killedBy,
    test: "",
  };
}

const VERDICTS = [
  ...Array.from({ length: 17 }, () => verdict("result")),
  verdict("error"),
  verdict("time"),
  verdict(null),
  verdict(null, "x + 0u", "x - 0u"),
];

Deno.test("countsOf() counts known survivors neither for nor against", () => {
  const counts = { mutants: 21, killed: 19, equivalent: 1, survived: 1, score: 0.95 };
  assertEquals(countsOf(VERDICTS, KNOWN), counts);
  assertEquals(countsOf(VERDICTS, []).survived, 2);
  assertEquals(countsOf([], KNOWN).score, 1);
});

Deno.test("scoreTable() has a line for each kernel and one for all", () => {
  const lines = scoreTable([{ kernel: "a/b", verdicts: VERDICTS, seconds: 61.4 }], KNOWN);
  assertEquals(lines, [
    "kernel  mutants  killed  by time  equivalent  survived  score   s",
    "a/b          21      19        1           1         1    95%  61",
    "all          21      19        1           1         1    95%  61",
  ]);
});

Deno.test("survivorLines() tells file, line, before and after", () => {
  assertEquals(survivorLines(verdict(null, "a < b", "a <= b").mutant), [
    "SURVIVED: kernels/a/b.wgsl:7",
    "  - a < b",
    "  + a <= b",
  ]);
});

Deno.test("wrongEquivalents() finds known survivors that a test kills", () => {
  const wrong = verdict("result", "x + 0u", "x - 0u");
  assertEquals(wrongEquivalents([...VERDICTS, wrong], KNOWN), [wrong.mutant]);
});

Deno.test("staleEquivalents() finds those whose line is gone", () => {
  assertEquals(staleEquivalents("a/b", "fn f() {\n  x + 0u\n}", KNOWN), []);
  assertEquals(staleEquivalents("a/b", "fn f() {\n  y + 0u\n}", KNOWN), KNOWN);
  assertEquals(staleEquivalents("a/b", "fn g() {\n  x + 0u\n}", KNOWN), KNOWN);
  assertEquals(staleEquivalents("a/c", "", KNOWN), []);
});

Deno.test("EQUIVALENTS are of kernels, each once and with a sentence on why", () => {
  const keys = EQUIVALENTS.map(({ kernel, above, before, after }) =>
    [kernel, above, before, after].join("\n")
  );
  assertEquals(new Set(keys).size, keys.length);
  for (const { kernel, before, after, why } of EQUIVALENTS) {
    assertEquals(kernelFiles().includes(kernel), true, kernel);
    assertEquals(before === after, false);
    assertMatch(why, /^[A-Z].+\.$/);
  }
});
