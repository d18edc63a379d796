/** How commands behave on full disks and closed pipes, and when another run uses their folder. */
import {
  assert,
  assertEquals,
  assertGreater,
  assertMatch,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { saveMap } from "../edge/files/map_file.ts";
import { readResults } from "../edge/files/read_files.ts";
import { openResults } from "../edge/files/results_writer.ts";
import { printError } from "../edge/run_command.ts";
import { parseRun } from "../results/run_json.ts";
import { command, inFolder, runProgram } from "../../testing/command.ts";
import { UsageError } from "../base/usage_error.ts";

const MAIN = `${import.meta.dirname}/main.ts`;
const COMMANDS = ["run", "tune", "fit", "quality", "report", "compare"]
  .map((name) => `${import.meta.dirname}/../${name}/main.ts`);
const ROOT = `${import.meta.dirname}/../..`;
const TINY = ["--shape", "4x1x64", "--kv", "256", "--max-time", "0.2", "--kernels", "merge/merge"];

const linux = Deno.build.os === "linux";
const posix = Deno.build.os !== "windows";

/** Runs a line of bash, in which `$DENO` runs a program. */
async function shell(line: string, cwd = ROOT) {
  const { code, stdout, stderr } = await new Deno.Command("bash", {
    args: ["-c", `set -o pipefail; ${line}`],
    cwd,
    env: { NO_COLOR: "1", DENO: `${Deno.execPath()} run -A --no-check` },
  }).output();
  const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  return { code, out, err };
}

Deno.test("--help of every command lists the exit codes", async () => {
  for (
    const { code, out } of await Promise.all(COMMANDS.map((main) => runProgram(main, "--help")))
  ) {
    assertEquals(code, 0);
    assertMatch(out, /\nExit code\n {2}0 [^]*\n {2}2 [^]*\n {2}3 [^]*\n {2}130 [^\n]*\n$/);
  }
});

Deno.test({ name: "every command reports a full standard output", ignore: !linux }, async () => {
  for (const main of COMMANDS) {
    const { code, err } = await shell(`$DENO "${main}" --help > /dev/full`);
    assertEquals([main, code, err], [
      ...[main, 3, "Cannot write the output: No space left on device (os error 28).\n"],
    ]);
    assertEquals(await shell(`$DENO "${main}" --help > /dev/full 2> /dev/full`), {
      code: 3,
      out: "",
      err: "",
    });
  }
});

Deno.test(
  { name: "every command ends quietly when the reader of its output goes", ignore: !posix },
  () =>
    inFolder(async (folder) => {
      for (const main of COMMANDS) {
        const { code, err } = await shell(`$DENO "${main}" --help | head -c 1`);
        assertEquals([main, code, err], [main, 0, ""]);
      }
      const args = `${TINY.join(" ")} --out ${folder}/run`;
      const both = await shell(`$DENO "${MAIN}" ${args} --json /dev/stdout 2>&1 | head -c 1`);
      assertEquals([both.code, both.err, both.out.length], [0, "", 1]);
      assertGreater(readResults(`${folder}/run`).rows.length, 1);
    }),
);

Deno.test(
  { name: "bench and report write documents to standard output and to pipes", ignore: !posix },
  () =>
    inFolder(async (folder) => {
      const args = `${TINY.join(" ")} --out ${folder}/run`;
      const printed = await shell(`$DENO "${MAIN}" ${args} --json /dev/stderr 2>&1 > /dev/null`);
      assertEquals(printed.code, 0, printed.err);
      assertStringIncludes(printed.out, '"schema": 1');
      const piped = await shell(`$DENO "${MAIN}" ${args} --json >(cat > ${folder}/run.json); wait`);
      assertEquals(piped.code, 0, piped.err);
      const path = `${folder}/run.json`;
      const { rows } = parseRun(Deno.readTextFileSync(path), path);
      assertEquals(rows.length, readResults(`${folder}/run`).rows.length);
      // The document does not replace the output that the shell redirects to a file.
      const sent = await shell(`$DENO "${MAIN}" ${args} --json /dev/stdout > ${folder}/all`);
      assertEquals(sent.code, 0, sent.err);
      const all = Deno.readTextFileSync(`${folder}/all`);
      assertMatch(all, /^Adapter: [^]*"schema": 1[^]*\nJSON: \/dev\/stdout\n/);
      const report = `${import.meta.dirname}/../report/main.ts`;
      const page = await shell(`$DENO "${report}" ${folder}/run --out /dev/stdout | cat`);
      assertEquals(page.code, 0, page.err);
      assertMatch(page.out, /<\/html>\n?Written: \/dev\/stdout\n$/);
    }),
);

Deno.test(
  { name: "bench loses no measured row when the disk fills up", ignore: !linux },
  () =>
    inFolder(async (folder) => {
      // The limit on the size of a file holds only some of the rows.
      const line =
        `trap '' XFSZ; ulimit -f 8; exec $DENO "${MAIN}" --shape 4x1x64 --max-time 0.2 ` +
        `--kv 256,512,1024,2048 --kernels merge/merge,dense/split --out ${folder}/run`;
      const { code, out, err } = await shell(line);
      assertEquals(code, 3, err);
      assertMatch(
        err,
        /\nCannot write \S+\/run\/\S+: File too large [^\n]+ What is measured is kept\.\n$/,
      );
      assert(!err.includes("    at "), err);
      assertStringIncludes(out, "4x1x64, 256 tokens");
      const { rows, warning } = readResults(`${folder}/run`);
      assertGreater(rows.length, 1);
      assertEquals(warning, null);
      for (const name of ["results.csv", "samples.jsonl"]) {
        assert(Deno.readTextFileSync(`${folder}/run/${name}`).endsWith("\n"), name);
      }
    }),
);

Deno.test(
  { name: "tune leaves a whole log on a full disk, which --resume continues", ignore: !linux },
  () =>
    inFolder(async (folder) => {
      const args = `--shape 4x2x64 --kv 256 --kernels merge/merge --budget 8 --out ${folder}/run ` +
        `--tuned ${folder}/tuning.json`;
      const main = `${import.meta.dirname}/../tune/main.ts`;
      const full = await shell(`trap '' XFSZ; ulimit -f 2; exec $DENO "${main}" ${args}`);
      assertEquals(full.code, 3, full.err);
      assertMatch(
        full.err,
        /\nCannot write \S+\/tune\.jsonl: [^\n]+\.\nGo on with --resume --out /,
      );
      const before = Deno.readTextFileSync(`${folder}/run/tune.jsonl`);
      assert(before.endsWith("}\n"), before);
      const rest = await shell(`$DENO "${main}" ${args} --resume`);
      assertEquals(rest.code, 0, rest.err);
      assert(Deno.readTextFileSync(`${folder}/run/tune.jsonl`).startsWith(before));
    }),
);

Deno.test(
  { name: "saveMap() fails with the system's exit code on a full disk", ignore: !linux },
  () => {
    const map = { layers: 1, hidden: 64, dtype: "f32" } as const;
    const shape = { headDim: 64, bits: 32, sharing: "head", map, heads: 1 } as const;
    const numbers = new Float32Array(65 * 32);
    const failure = assertThrows(() =>
      saveMap("/dev/full", { shape, query: numbers, key: numbers, about: {} })
    );
    assertEquals(printError(failure), 3);
    assertEquals(printError(new UsageError("A mistake of the caller.")), 2);
  },
);

Deno.test("bench refuses a folder that another run is writing to", () =>
  inFolder(async (folder) => {
    const dir = `${folder}/run`;
    const args = [...TINY.with(3, "65536").with(7, "dense/*"), "--out", dir];
    const child = command(MAIN, ...args).spawn();
    const out = child.stdout.cancel();
    for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) {
      if (text.includes("checking")) break;
    }
    const before = Deno.readTextFileSync(`${dir}/results.csv`);
    const second = await runProgram(MAIN, ...TINY, "--out", dir);
    assertEquals(second.code, 2);
    assertEquals(second.err, `Another run is writing to ${dir}; choose another --out.\n`);
    assertEquals(Deno.readTextFileSync(`${dir}/results.csv`), before);
    // A killed run no longer holds the folder.
    child.kill("SIGKILL");
    await Promise.all([out, child.status]);
    const third = await runProgram(MAIN, ...TINY, "--out", dir);
    assertEquals(third.code, 0, third.err);
  }));

Deno.test(
  { name: "bench holds its folder until all of its files are written", ignore: !posix },
  () =>
    inFolder(async (folder) => {
      const [dir, pipe] = [`${folder}/run`, `${folder}/pipe`];
      assertEquals((await shell(`mkfifo ${pipe}`)).code, 0);
      const child = command(MAIN, ...TINY, "--out", dir, "--json", pipe).spawn();
      const errors = child.stderr.cancel();
      // After this line the run waits for a reader of the pipe.
      const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
      for (let out = ""; !out.includes("Results: ");) out += (await reader.read()).value ?? "";
      const second = await runProgram(MAIN, ...TINY, "--out", dir);
      assertEquals(second.err, `Another run is writing to ${dir}; choose another --out.\n`);
      const { rows } = parseRun(await Deno.readTextFile(pipe), pipe);
      assertEquals(rows.length, readResults(dir).rows.length);
      await Promise.all([errors, child.status]);
      await reader.cancel();
    }),
);

Deno.test("openResults() gives runs that start in the same second separate folders", () =>
  inFolder(async (folder) => {
    await Deno.mkdir(`${folder}/results`);
    const first = openResults(`${folder}/results/now`, { fresh: true });
    const second = openResults(`${folder}/results/now`, { fresh: true });
    assertEquals([first.dir, second.dir], [
      `${folder}/results/now`,
      `${folder}/results/now-2`,
    ]);
    first.close();
    second.close();

    const runs = await Promise.all(
      [1, 2, 3].map(() => shell(`$DENO "${MAIN}" ${TINY.join(" ")}`, folder)),
    );
    const paths = runs.map(({ code, out, err }) => {
      assertEquals(code, 0, err);
      return /^Results: (\S+)$/m.exec(out)![1];
    });
    assertEquals(new Set(paths).size, 3);
    for (const path of paths) assertGreater(readResults(`${folder}/${path}`).rows.length, 1);
  }));
