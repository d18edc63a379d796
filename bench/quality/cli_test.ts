import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { parse } from "@std/csv";
import { saveMap } from "../edge/files/map_file.ts";
import { SHIPPED_TRACE } from "../edge/files/trace_file.ts";
import { shownPath } from "../edge/files/parse_file.ts";
import { METHODS } from "../selection/methods/methods.ts";
import { parseQuality, QUALITY_COLUMNS } from "../results/quality_rows.ts";
import { inFolder, runProgram } from "../../testing/command.ts";

const MAIN = `${import.meta.dirname}/main.ts`;
const TRACE = shownPath(SHIPPED_TRACE);

const run = (...args: string[]) => runProgram(MAIN, ...args);

Deno.test("quality exits 2 with one sentence and writes nothing if a flag or file is wrong", () =>
  inFolder(async (folder) => {
    const file = `${folder}/file`;
    await Deno.writeTextFile(file, "no trace and no map");
    const wrong: [string[], RegExp][] = [
      [[], /^--trace FILE is needed/],
      [["--frobnicate"], /^Unknown flag --frobnicate/],
      [["--trace", TRACE, "--sparsity", "8,0"], /^--sparsity takes a whole number from 1 .* "0"/],
      [["--trace", TRACE, "--sparsity", "8,"], /^--sparsity has an empty entry/],
      [["--trace", TRACE, "--sink=-1"], /^--sink takes a whole number of tokens from 0/],
      [["--trace", TRACE, "--sparsity", "9000"], /^--sparsity 9000 picks none of the 5632 tokens/m],
      [["--trace", TRACE, "--methods", "h2o"], /^--methods names no method "h2o"; .* oracle, /],
      [["--trace", TRACE, "--methods", "learned"], /^The method learned needs --map FILE/],
      [["--trace", TRACE, "--methods", "learned-w2"], /^The method learned-w2 needs --map FILE/],
      [["--trace", TRACE, "--methods", "rotated"], /^--methods names no method "rotated"; /],
      [["--trace", TRACE, "--budget", "query"], /^--budget takes one of trace, context, not "q/],
      [["--trace", TRACE, "--queries", "5"], /^--queries takes one of all, last-quarter, not "5"/],
      [
        ["--trace", TRACE, "--sparsity", "5620", "--budget", "context"],
        /^--sparsity 5620 picks none of the 5611 tokens up to the last query of /m,
      ],
      [
        ["--trace", TRACE, "--methods", "edges,double-sparsity-16"],
        /^The method double-sparsity-16 needs --fit-trace FILE/,
      ],
      [["--trace", TRACE, "--csv", "a", "--svg", "a"], /^--csv and --svg name the same file a\.$/m],
      [["--trace", `${folder}/missing`], /^Cannot read the trace \S+missing: /],
      [["--trace", file, "--csv", `${folder}/out.csv`], /^.+file: /],
      [["--trace", TRACE, "--fit-trace", file], /^.+file: /],
      [["--trace", TRACE, "--map", file], /^.+file: /],
      [["--trace", TRACE, "--csv", `${file}/out.csv`], /^Cannot write \S+out\.csv: /],
      [["--trace", TRACE, "--svg", folder], /^Cannot write \S+: it is a folder/],
    ];
    const outcomes = await Promise.all(wrong.map(([args]) => run(...args)));
    for (const [i, { code, out, err }] of outcomes.entries()) {
      assertEquals([wrong[i][0], code, out], [wrong[i][0], 2, ""]);
      assertMatch(err, /^[^\n]+\.\n$/);
      assertMatch(err, wrong[i][1]);
    }
    assertEquals(Array.from(Deno.readDirSync(folder), ({ name }) => name), ["file"]);
  }));

Deno.test("quality runs a map on the device, and refuses one for another shape", () =>
  inFolder(async (folder) => {
    const save = (heads: number, bits: number) => {
      const map = { layers: 1, hidden: 64, dtype: "f32" } as const;
      const numbers = Float32Array.from({ length: heads * 129 * bits }, (_, i) => Math.sin(i * i));
      const path = `${folder}/${heads}.safetensors`;
      const shape = { headDim: 128, bits, sharing: "head", map, heads } as const;
      saveMap(path, { shape, query: numbers, key: numbers, about: {} });
      return path;
    };
    const args = ["--trace", TRACE, "--methods", "learned", "--sparsity", "32", "--map"];
    const refused = await run(...args, save(8, 32));
    assertEquals(refused.code, 2);
    assertMatch(
      refused.err,
      /\n--map for the trace .+: the map is for another problem: code heads 8 and not 4\.\n$/,
    );

    const { code, out, err } = await run(...args, save(4, 64));
    assertEquals(code, 0, err);
    assertMatch(out, /^Adapter: .+\n/);
    assertMatch(out, /\nlearned +256 +32 +32 +176 /);
    assertMatch(out, /\nlearned ran as pipeline\/sparse\w*\.\n/);
  }));

Deno.test("quality ranks by rotated codes without a map, by the names with and without planes", async () => {
  const args = ["--trace", TRACE, "--sparsity", "32", "--compute", "f64", "--methods"];
  const [one, both] = await Promise.all(
    ["rotated-128-w2", "rotated-128,rotated-128-w2,rotated-64"].map((names) => run(...args, names)),
  );
  assertEquals([one.code, both.code], [0, 0], one.err + both.err);
  const row = /\nrotated-128-w2 +136 +17 +32 +176 .+/;
  assertMatch(one.out, row);
  assertEquals(one.out.match(/rotated/g)?.length, 1);
  assertEquals(
    row.exec(both.out)![0].replace(/ +/g, " "),
    row.exec(one.out)![0].replace(/ +/g, " "),
  );
  assertMatch(both.out, /\nrotated-64-w2 +72 +9 +32 +176 /);
});

Deno.test("quality runs rotated codes on the device, without a map", async () => {
  const args = ["--methods", "rotated-128", "--sparsity", "32", "--queries", "last-quarter"];
  const { code, out, err } = await run("--trace", TRACE, ...args);
  assertEquals(code, 0, err);
  assertMatch(out, /^Adapter: .+\n/);
  assertMatch(out, /\nrotated-128-w2 +136 +17 +32 +176 /);
  assertMatch(out, /\nrotated-128-w2 ran as pipeline\/rotated\w*\.\n/);
});

Deno.test("quality weighs the codes of a map in f64 without a device", async () => {
  const map = `${import.meta.dirname}/../../fixtures/maps/L7-kv1.safetensors`;
  const f64 = ["--compute", "f64"];
  const args = ["--methods", "learned-w2", "--sparsity", "32", "--map", map, ...f64];
  const { code, out, err } = await run("--trace", TRACE, ...args);
  assertEquals(code, 0, err);
  assertMatch(out, /\nlearned-w2 +128 +16 +32 +176 /);
  assertEquals(out.includes("Adapter"), false);
});

Deno.test("quality measures the last quarter by budgets of each context", () =>
  inFolder(async (folder) => {
    const csv = `${folder}/out.csv`;
    const args = ["--methods", "oracle", "--sparsity", "64", "--csv", csv];
    const flags = ["--queries", "last-quarter", "--budget", "context"];
    const { code, out, err } = await run("--trace", TRACE, ...args, ...flags);
    assertEquals(code, 0, err);
    assertMatch(
      out,
      /^sympy-L7-kv1-5632: 88 queries of all heads in the last quarter, .+by context/,
    );
    const rows = parseQuality(await Deno.readTextFile(csv), csv);
    assertEquals(rows.length, 5);
    for (const row of rows) {
      assertEquals([row.k, row.budget, row.query_set], [77, "context", "last-quarter"]);
      assertEquals([row.bits_per_token_per_kv_head, row.code_bytes], [2048, 256]);
    }
  }));

Deno.test("quality --help names every method", async () => {
  const { code, out, err } = await run("--help");
  assertEquals([code, err], [0, ""]);
  for (const { name } of METHODS) assertStringIncludes(out, `\n  ${name} `);
});

Deno.test("quality prints a table and writes whole files", () =>
  inFolder(async (folder) => {
    const [csv, svg] = [`${folder}/out.csv`, `${folder}/out.svg`];
    const methods = ["--methods", "oracle,edges", "--sparsity", "32,64"];
    const { code, out, err } = await run("--trace", TRACE, ...methods, "--csv", csv, "--svg", svg);
    assertEquals(code, 0, err);
    assertMatch(out, /^sympy-L7-kv1-5632: 104 queries of all heads, sink 128, recent 128\n/);
    assertMatch(out, /\noracle +2048 +256 +32 +176 +1\.000 +0\.960 /);
    assertStringIncludes(out, `Written: ${csv}\nWritten: ${svg}\n`);
    const text = await Deno.readTextFile(csv);
    assertMatch(text, /\r\n$/);
    const [header, ...rows] = parse(text);
    assertEquals(header, [...QUALITY_COLUMNS]);
    assertEquals(rows.map((row) => row.slice(1, 6)).slice(0, 5), [
      ...["0", "1", "2", "3", "all"].map((head) => ["oracle", "2048", "32", "176", head]),
    ]);
    assertEquals(rows.length, 2 * 2 * 5);
    assertStringIncludes(await Deno.readTextFile(svg), "</svg>");
    assertEquals(Array.from(Deno.readDirSync(folder), ({ name }) => name).sort(), [
      ...["out.csv", "out.svg"],
    ]);
  }));
