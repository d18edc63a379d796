import {
  assert,
  assertEquals,
  assertGreater,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import { readResults } from "../edge/files/read_files.ts";
import type { SampleRecord } from "../results/row.ts";
import { command, inFolder, runProgram } from "../../testing/command.ts";

const MAIN = `${import.meta.dirname}/main.ts`;
/** Two small cases and a few kernels: these tests are about files, not about timings. */
const KERNELS = ["dense/split", "pipeline/sparse", "merge/merge"];
const args = (dir: string, kv = "256,512", kernels = KERNELS.join()) => [
  ...["--shape", "4x1x64", "--max-time", "0.2"],
  ...["--kv", kv, "--kernels", kernels, "--out", dir],
];

/** The text of a file; empty if there is no such file yet. */
function textOf(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return "";
  }
}

/** Starts a run, kills it as soon as `due` holds, and returns the texts of its files. */
async function killed(dir: string, due: (rows: number, err: string) => boolean) {
  const [csv, samples] = [`${dir}/results.csv`, `${dir}/samples.jsonl`];
  const child = command(MAIN, ...args(dir)).spawn();
  let [err, ended] = ["", false];
  const stderrEnd = child.stderr.pipeThrough(new TextDecoderStream())
    .pipeTo(new WritableStream({ write: (text) => void (err += text) }));
  const status = child.status.then(() => ended = true);
  while (!ended && !due(textOf(csv).split("\n").length - 2, err)) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assertEquals(ended, false, err);
  child.kill("SIGKILL");
  await Promise.all([status, stderrEnd, child.stdout.cancel()]);
  return { csv: textOf(csv), samples: textOf(samples) };
}

Deno.test("bench continues a killed run and loses no row", () =>
  inFolder(async (folder) => {
    const dir = `${folder}/results`;
    const whole = (text: string) => text.slice(0, text.lastIndexOf("\n") + 1);
    const first = await killed(dir, (rows) => rows > 0);
    const second = await killed(dir, (_, err) => err.includes("512 tokens: checking"));
    assert(second.csv.startsWith(whole(first.csv)));
    assert(second.samples.startsWith(whole(first.samples)));
    // A kill during a write leaves half a line.
    for (const name of ["results.csv", "samples.jsonl"]) {
      await Deno.writeTextFile(`${dir}/${name}`, '{"half,"a li', { append: true });
    }

    const { code, out, err } = await runProgram(MAIN, ...args(dir));
    assertEquals(code, 0, err);
    const csv = textOf(`${dir}/results.csv`);
    const samples = textOf(`${dir}/samples.jsonl`);
    assert(csv.startsWith(whole(second.csv)));
    assert(samples.startsWith(whole(second.samples)));

    const { rows, warning } = readResults(dir);
    assertEquals([warning, rows.filter(({ verified }) => !verified)], [null, []]);
    const names = rows.map(({ case_id, kernel }) => `${case_id} ${kernel}`);
    assertEquals(names.length, new Set(names).size);
    const cases = [...Map.groupBy(rows, ({ case_id }) => case_id).values()];
    assertEquals(cases.length, 2);
    for (const caseRows of cases) {
      const kernels = caseRows.filter(({ stage }) => stage !== "probe").map(({ kernel }) => kernel);
      assertEquals(kernels.sort(), [...KERNELS].sort());
      assertGreater(caseRows.length - kernels.length, 5);
    }
    const kept = whole(second.csv).split("\n").length - 2;
    assertGreater(kept, 0);
    assertStringIncludes(out, `\nKept ${kept} rows of an earlier run of this commit.\n`);
    for (const kernel of KERNELS) assertEquals(out.split(`\n${kernel} `).length, 3);

    assertMatch(samples, /\n$/);
    const records: SampleRecord[] = samples.trimEnd().split("\n").map((line) => JSON.parse(line));
    for (const { utc, case_id, kernel, samples } of rows) {
      const matches = records.filter((record) =>
        record.utc === utc && record.case_id === case_id && record.kernel === kernel
      );
      assertEquals(matches.map(({ us }) => us.length), [samples]);
    }

    const again = await runProgram(MAIN, ...args(dir));
    assertEquals(again.code, 0, again.err);
    assertEquals(textOf(`${dir}/results.csv`), csv);
    const all = `\nKept ${rows.length} rows of an earlier run of this commit.\n`;
    assertStringIncludes(again.out, all);
  }));

Deno.test("bench measures rows that failed, or have other settings, again", () =>
  inFolder(async (dir) => {
    const csv = `${dir}/results.csv`;
    const measure = async (...flags: string[]) => {
      const before = textOf(csv);
      const { code, err } = await runProgram(MAIN, ...args(dir, "256"), ...flags);
      assertEquals(code, 0, err);
      assert(textOf(csv).startsWith(before));
      const known = before.split("\n").length;
      return readResults(dir).rows.slice(Math.max(0, known - 2))
        .filter(({ stage }) => stage !== "probe").map(({ kernel }) => kernel).sort();
    };
    assertEquals(await measure(), [...KERNELS].sort());
    const failed = textOf(csv).replace(/(,merge\/merge,.*),true,,/, "$1,false,wrong,");
    await Deno.writeTextFile(csv, failed);
    assertEquals(await measure(), ["merge/merge"]);
    assertEquals(await measure(), []);
    assertEquals(await measure("--seed", "2"), [...KERNELS].sort());
  }));

Deno.test("bench refuses a folder of another commit or with damage, and leaves it unchanged", () =>
  inFolder(async (folder) => {
    const tiny = (dir: string) => args(dir, "256", "merge/merge");
    const { code, err } = await runProgram(MAIN, ...tiny(folder));
    assertEquals(code, 0, err);
    const csv = `${folder}/results.csv`;
    const text = textOf(csv);
    const [{ commit }] = readResults(folder).rows;
    const refusals: [string, RegExp][] = [
      [
        text.replaceAll(`,${commit},`, ",0123456789ab,"),
        /^\S+results\.csv has rows of commit 0123456789ab, this is [0-9a-f+tree-]+; choose another --out\.\n$/,
      ],
      [text.replace(",true,", ",perhaps,"), /^\S+results\.csv, line 2: [^\n]+\.\n$/],
      [text.replace(",seed,", ",seeds,"), /^\S+results\.csv, line 1: [^\n]+\.\n$/],
    ];
    const names = () => Array.from(Deno.readDirSync(folder), ({ name }) => name).sort();
    const before = names();
    for (const [damaged, sentence] of refusals) {
      await Deno.writeTextFile(csv, damaged);
      const { code, out, err } = await runProgram(MAIN, ...tiny(folder));
      assertEquals([code, out], [2, ""]);
      assertMatch(err, sentence);
      assertEquals(textOf(csv), damaged);
    }
    assertEquals(names(), before);
  }));
