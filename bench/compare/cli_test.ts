import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { readResults } from "../edge/files/read_files.ts";
import { openResults } from "../edge/files/results_writer.ts";
import type { ResultRow } from "../results/row.ts";
import { makeRow } from "../../testing/row.ts";
import type { PairRecord } from "./formats.ts";
import { inFolder, runProgram } from "../../testing/command.ts";

const MAIN = `${import.meta.dirname}/main.ts`;
const STORED = `${import.meta.dirname}/../../fixtures/results/h100-2026-11-28.csv`;
const PEERS = STORED.replace(".csv", "-peers.csv");

const compare = (...args: string[]) => runProgram(MAIN, ...args);

/** A results folder in `parent` with one row, whose samples all take `us`. */
function makeRun(parent: string, name: string, us: number, changes: Partial<ResultRow> = {}) {
  const writer = openResults(`${parent}/${name}`);
  const timed = { median_us: us, ci_low_us: us, ci_high_us: us };
  writer.append([makeRow({ kernel: "dense/own", case_id: "own", ...timed, ...changes })]);
  writer.close();
  return `${parent}/${name}`;
}

Deno.test("compare exits 2 on wrong usage, with one sentence and nothing else", () =>
  inFolder(async (folder) => {
    const own = makeRun(folder, "own", 100);
    const lines = (await Deno.readTextFile(STORED)).split("\r\n");
    const file = async (name: string, text: string) => {
      await Deno.writeTextFile(`${folder}/${name}`, text);
      return `${folder}/${name}`;
    };
    const damaged = lines.slice(0, 5).with(3, lines[3].replace(",true,", ",")).join("\n");
    const { median_us } = readResults(STORED).rows[1];
    const negative = `${lines.slice(0, 3).join("\r\n").replace(`,${median_us},`, ",-5,")}\r\n`;
    const older = lines.slice(0, 3).join("\n").replace(",lengths,", ",");
    const wrong: [string[], RegExp][] = [
      [[own], /^compare takes 2 to 26 results files or folders, not 1\.$/m],
      [[STORED, `${folder}/none.csv`], /^Cannot read \S+none\.csv: No such file or directory/],
      [[STORED, folder], /^Cannot read \S+results\.csv: /],
      [[STORED, await file("empty.csv", "")], /empty\.csv is empty\.$/m],
      [[STORED, await file("header.csv", `${lines[0]}\r\n`)], /header\.csv has no rows\.$/m],
      [
        [STORED, PEERS],
        /peers\.csv has other columns than .+: it is a file of peers, which --peers takes\.$/m,
      ],
      [[STORED, MAIN], /main\.ts has other columns than this version writes\.$/m],
      [
        [STORED, await file("older.csv", older)],
        /older\.csv, line 1: has the columns of another version of the suite: it lacks lengths\.$/m,
      ],
      [[STORED, await file("damaged.csv", damaged)], /damaged\.csv, line 4: /],
      [
        [STORED, await file("negative.csv", negative)],
        /negative\.csv, line 3: median_us cannot be "-5"\.$/m,
      ],
      [[STORED, own], /^.+ and .+own have no kernel and case in common\.$/m],
      [
        [STORED, STORED, "--markdown", "--json"],
        /^--markdown and --json contradict each other\.$/m,
      ],
      [[STORED, STORED, "--metric", "speed"], /^--metric takes one of time, gbytes, roofline/],
      [[STORED, STORED, "--fail-on", "faster"], /^--fail-on takes slower or slower:PCT/],
      [[STORED, STORED, "--frobnicate"], /^Unknown flag --frobnicate/],
    ];
    for (const [args, message] of wrong) {
      const { code, out, err } = await compare(...args);
      assertEquals([args, code, out], [args, 2, ""]);
      assertMatch(err, /^[^\n]+\.\n$/);
      assertMatch(err, message);
    }
  }));

/**
 * Rows that scatter by 1.5 to 2.5% and have too few samples (12 or 38). Their intervals are wider
 * than the limit, so that they are UNSURE even against themselves. Found by hand from the file: the
 * rows where exp(hypot(ln(median / ci_low), ln(ci_high / median))) is above 1.02 + 0.1 / median.
 */
const WIDE = [
  ["attend/gather", "32x32x128-n131072-b1-f16-c32h-mlp3x128f16-s32-w0+0"],
  ["attend/gather", "32x32x128-n32768-b1-f16-c32h-mlp3x128f16-s32-w0+0"],
  ["attend/gather_merge", "32x32x128-n131072-b1-f16-c32h-mlp3x128f16-s32-w0+0"],
  ["pipeline/sparse_four", "32x32x128-n32768-b1-f16-c32h-mlp3x128f16-s32-w0+0"],
];

Deno.test("compare finds a stored run the SAME as itself, except rows that scatter", async () => {
  for (const metric of ["time", "gbytes", "roofline"]) {
    const { code, out, err } = await compare(STORED, STORED, "--metric", metric);
    assertEquals([code, err], [0, ""]);
    assertMatch(
      out,
      /^A .+\nB .+\n\n\d+ pairs: \d+ SAME, 0 (FASTER, 0 SLOWER|NEARER, 0 FARTHER), 4 UNSURE(, \d+ NO VALUE)?\.\n\n/,
    );
    const unsure = Array.from(out.matchAll(/ UNSURE .* (\S+\/\S+) +(\S+)$/gm), ([, ...row]) => row);
    assertEquals(unsure.sort(), WIDE);
  }
});

Deno.test("--fail-on makes a slower run exit 1 and names its rows on stderr", () =>
  inFolder(async (folder) => {
    const [base, slower] = [makeRun(folder, "base", 100), makeRun(folder, "slower", 105)];
    const outcomes = await Promise.all([
      compare(base, slower),
      compare(base, slower, "--fail-on", "slower"),
      compare(base, slower, "--fail-on", "slower:4"),
      compare(base, slower, "--fail-on", "slower:6"),
      compare(slower, base, "--fail-on", "slower"),
      compare(base, base, slower, "--fail-on", "slower", "--json"),
    ]);
    assertEquals(outcomes.map(({ code }) => code), [0, 1, 1, 0, 0, 1]);
    assertEquals(outcomes[1].err, "Slower or newly FAILED: dense/own [own].\n");
    assertEquals(outcomes[2].err, "Slower by more than 4% or newly FAILED: dense/own [own].\n");
    assertStringIncludes(outcomes[0].out, "SLOWER");
    assertEquals(JSON.parse(outcomes[5].out).rows.length, 2);
  }));

Deno.test("--kernels compares kernels that match a glob, and refuses other globs", async () => {
  const kernels = ["--kernels", "dense/split*,pipeline/sparse_two"];
  const { code, out } = await compare(STORED, STORED, "--json", ...kernels);
  const names = new Set(JSON.parse(out).rows.map(({ kernel }: PairRecord) => kernel));
  assertEquals([code, [...names].sort()], [
    0,
    ["dense/split", "dense/split_subgroup", "pipeline/sparse_two"],
  ]);
  const none = await compare(STORED, STORED, "--kernels", "dense/none");
  assertEquals([none.code, none.out], [2, ""]);
  assertMatch(
    none.err,
    /^--kernels dense\/none matches no kernel of the files, which have .+\.\n$/,
  );
});

Deno.test("compare takes a file with rows of two drivers for two runs", () =>
  inFolder(async (folder) => {
    const mixed = makeRun(folder, "mixed", 100);
    makeRun(folder, "mixed", 50, { driver: "NVIDIA 590.1" });
    const { code, out, err } = await compare(mixed, makeRun(folder, "other", 100));
    assertEquals([code, err], [0, ""]);
    assertMatch(
      out,
      /^A .+ NVIDIA 580\.1, .+, 1 rows?\nB .+ NVIDIA 590\.1, .+\nC .+ NVIDIA 580\.1, /,
    );
    assertMatch(out, /\n0\.500 .+ FASTER +1\.000 .+ SAME +100\.0 +dense\/own +own\n/);
    assert(!out.includes("Replaced"));
  }));

Deno.test("compare drops an incomplete last line of a killed run, with a warning", () =>
  inFolder(async (folder) => {
    const base = makeRun(folder, "base", 100);
    const path = `${base}/results.csv`;
    await Deno.writeTextFile(path, `${await Deno.readTextFile(path)}cut sho`);
    const { code, out, err } = await compare(path, base, "--json");
    assertEquals([code, err], [
      0,
      `${path}: dropped a last line without a line break, which may be incomplete.\n`.repeat(2),
    ]);
    assertEquals(JSON.parse(out).rows.length, 1);
  }));

Deno.test("--help of compare explains usage, flags and method", async () => {
  const { code, out, err } = await compare("--help");
  assertEquals([code, err], [0, ""]);
  assertStringIncludes(out, "deno task compare A B");
  assertMatch(out, /Zou\s+and\s+Donner/);
});
