import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { type SafetensorsTensor, writeSafetensors } from "../../kernels/maps/safetensors.ts";
import { inFolder, runProgram } from "../../testing/command.ts";
import { readFrontier } from "../edge/files/frontier_file.ts";
import { FRONTIER_HEADER, frontierLines } from "../results/frontier_rows.ts";
import { smallTrace } from "../frontier_runner/testing_frontier_run.ts";
import { frontierRow } from "../results/testing_frontier.ts";

const MAIN = `${import.meta.dirname}/main.ts`;

const run = (...args: string[]) => runProgram(MAIN, ...args);

/** Writes a small trace, whose queries are at the given positions. */
function writeTrace(path: string, positions?: readonly number[]): void {
  const trace = smallTrace();
  const f16 = (rows: Float32Array) => new Uint8Array(new Float16Array(rows).buffer);
  const size = 64 * 4 * trace.positions.length;
  const queries = positions?.length ?? trace.positions.length;
  const tensors: Record<string, SafetensorsTensor> = {
    k: { dtype: "F16", shape: [320, 64], data: f16(trace.k) },
    v: { dtype: "F16", shape: [320, 64], data: f16(trace.v) },
    q: {
      dtype: "F16",
      shape: [4, queries, 64],
      data: f16(trace.q.subarray(0, size * queries / trace.positions.length)),
    },
    pos: {
      dtype: "I32",
      shape: [queries],
      data: new Uint8Array(Int32Array.from(positions ?? trace.positions).buffer),
    },
  };
  Deno.writeFileSync(path, writeSafetensors(new Map(Object.entries(tensors))));
}

Deno.test("frontier exits 2 with one sentence and writes nothing if a flag or file is wrong", () =>
  inFolder(async (folder) => {
    const at = (name: string) => `${folder}/${name}`;
    writeTrace(at("a"));
    writeTrace(at("early"), [3, 7]);
    await Deno.mkdir(at("b"));
    writeTrace(at("b/a"));
    const small = ["--shape", "8x2x64", "--kv", "512"];
    const wrong: [string[], RegExp][] = [
      [["--frobnicate"], /^Unknown flag --frobnicate/],
      [["--methods", "h2o"], /^--methods names no method "h2o"; the methods are learned, /],
      [["--budgets", "0"], /^--budgets takes a whole number from 1 /],
      [["--budgets", "600", "--kv", "512"], /^--budgets 600 picks none of the 512 tokens of --kv/],
      [["--kv", "8k,x"], /^--kv takes a whole number of tokens/],
      [["--shape", "5x2x64"], /^--shape 5x2x64: /],
      [["--max-error", "-1"], /^--max-error /],
      [["--quick", "--kv", "8K"], /^--quick and --kv contradict each other/],
      [["--quick", "--methods", "oracle"], /^--quick and --methods contradict each other/],
      [["--maps", "m"], /^--maps needs the --traces that the maps are for/],
      [["--traces", at("a"), "--maps", "none,none"], /^--maps names 2 maps for 1 trace; none /],
      [["--traces", at("missing")], /^Cannot read the trace \S+missing: /],
      [["--traces", at("a")], /^The trace a has a head dim of 64, and --shape one of 128: /],
      [[...small, "--traces", at("early")], /^The trace early has no query in its last quarter, /],
      [
        [...small, "--traces", `${at("a")},${at("b/a")}`],
        /^--traces names two files .* called a\.$/m,
      ],
      [[...small, "--traces", at("a"), "--maps", at("a")], /^.+a: /],
    ];
    const outcomes = await Promise.all(
      wrong.map(([args]) => run(...args, "--out", at("results"))),
    );
    for (const [i, { code, err }] of outcomes.entries()) {
      assertEquals([wrong[i][0], code], [wrong[i][0], 2]);
      const [sentence] = err.trimEnd().split("\n").slice(-1);
      assertMatch(sentence, wrong[i][1]);
      assertMatch(sentence, /\.$/);
    }
    assertEquals(
      Array.from(Deno.readDirSync(folder), ({ name }) => name).sort(),
      ["a", "b", "early"],
    );
  }));

Deno.test("frontier writes rows, a figure and a page, and goes on where it was stopped", () =>
  inFolder(async (folder) => {
    writeTrace(`${folder}/one`);
    writeTrace(`${folder}/two`);
    const out = `${folder}/results`;
    const args = [
      ...["--traces", `${folder}/one,${folder}/two`, "--shape", "8x2x64", "--kv", "512"],
      ...["--budgets", "4,8", "--max-error", "0.5", "--out", out, "--methods"],
    ];
    const first = await run(...args, "oracle");
    assertEquals([first.code, first.err.includes("FAILED")], [0, false]);
    const before = await Deno.readTextFile(`${out}/frontier.csv`);
    // A kill leaves half a line.
    await Deno.writeTextFile(`${out}/frontier.csv`, "streaming,4,", { append: true });
    const { code, out: text, err } = await run(...args, "oracle,streaming");
    assertEquals(code, 0, err);
    assertStringIncludes(text, "\nKept 4 rows of an earlier run of this commit.\n");
    assertMatch(text, /\nAt 512 tokens the step that moves the fewest bytes with a mean error of/);
    assertMatch(text, /\nA software adapter says nothing about time, so the cost is the bytes/);
    assertMatch(text, /\nErrors are of traces of 320 tokens, .* bytes are of 512 tokens\./);
    const csv = await Deno.readTextFile(`${out}/frontier.csv`);
    assert(csv.startsWith(before));
    const rows = readFrontier(out);
    assertEquals(rows.map(({ method, trace }) => `${method} ${trace}`), [
      ...["oracle one", "oracle two", "oracle one", "oracle two"],
      ...["streaming one", "streaming two"],
    ]);
    const svg = await Deno.readTextFile(`${out}/frontier-512.svg`);
    for (const part of ["bytes that a step moves", "mean of 2 traces", "worst of 2 traces"]) {
      assertStringIncludes(svg, part);
    }
    const page = await Deno.readTextFile(`${out}/frontier.html`);
    assertStringIncludes(page, "Error against bytes moved, 8x2x64 on ");
    // Rows of another commit are of other code.
    await Deno.writeTextFile(
      `${out}/frontier.csv`,
      FRONTIER_HEADER + frontierLines([frontierRow()]),
    );
    const refused = await run(...args, "oracle");
    assertEquals(refused.code, 2);
    assertMatch(refused.err, /frontier\.csv has rows of commit 0123456789ab, this is \S+; choose/);
  }));
