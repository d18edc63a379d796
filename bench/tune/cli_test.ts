import {
  assert,
  assertEquals,
  assertGreater,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import { parseLog } from "../tuning/log.ts";
import { readTuning } from "../edge/files/tuning_file.ts";
import { command, inFolder, runProgram } from "../../testing/command.ts";

const MAIN = `${import.meta.dirname}/main.ts`;
const BENCH = `${import.meta.dirname}/../run/main.ts`;

/** A small case and a short budget: these tests are about the command, not its timings. */
const TINY = ["--shape", "4x2x64", "--kv", "256", "--kernels", "merge/merge", "--budget", "15"];

Deno.test("tune exits 2 on wrong usage, with one sentence and no files", () =>
  inFolder(async (folder) => {
    const damaged = `${folder}/damaged`;
    await Deno.writeTextFile(damaged, "no tuning");
    const wrong: [string, string[], RegExp][] = [
      [MAIN, ["--frobnicate"], /^Unknown flag --frobnicate/],
      [MAIN, ["--kernels", "nothing/*"], /no kernel matches nothing\/\*/],
      [MAIN, ["--models", "llama-3.1-8b", "--shape", "4x2x64"], /contradict each other/],
      [MAIN, ["--strategy", "random"], /^Unknown flag --strategy/],
      [MAIN, ["--silence", "0"], /^--silence takes a number of seconds from 0\.001/],
      [MAIN, ["--budget", "0"], /^--budget takes a number of seconds from 0\.001/],
      [MAIN, ["--resume"], /^--resume needs the --out/],
      [MAIN, ["--resume", "--out", `${folder}/none`, ...TINY], /^There is nothing to resume/],
      [MAIN, ["--out", damaged, ...TINY], /^Cannot write the log to .+: --out takes a folder\.$/m],
      [MAIN, ["--tuned", damaged, ...TINY], /damaged is not JSON, so it is not a tuning file/],
      [MAIN, ["--tuned", `${damaged}/t.json`, ...TINY], /^Cannot (read|write) \S+t\.json/],
      [BENCH, ["--tuned", `${folder}/none`], /^There is no tuning file/],
      [BENCH, ["--tuned", damaged], /damaged is not JSON, so it is not a tuning file/],
      [BENCH, ["--tuned", damaged, "--no-tuned"], /^--tuned and --no-tuned contradict/],
    ];
    for (const [program, args, sentence] of wrong) {
      const { code, err } = await runProgram(program, ...args);
      assertEquals([args, code], [args, 2], err);
      assertMatch(err, /^[^\n]+\.\n$/);
      assertMatch(err, sentence);
    }
    assertEquals(Array.from(Deno.readDirSync(folder), ({ name }) => name), ["damaged"]);
    const help = await runProgram(MAIN, "--help");
    assertEquals([help.code, help.err], [0, ""]);
    assertStringIncludes(help.out, "--silence SEC");
  }));

Deno.test("tune resumes a killed run without loss, and bench uses its winners", () =>
  inFolder(async (folder) => {
    const files = ["--out", `${folder}/run`, "--tuned", `${folder}/tuning.json`];
    const path = `${folder}/run/tune.jsonl`;
    const child = command(MAIN, ...TINY, ...files).spawn();
    let ended = false;
    child.status.then(() => ended = true);
    while (lineCount(path) < 2 && !ended) await new Promise((resolve) => setTimeout(resolve, 20));
    child.kill("SIGKILL");
    await Promise.all([child.stdout.cancel(), child.stderr.cancel(), child.status]);
    const before = Deno.readTextFileSync(path);

    const { code, out, err } = await runProgram(MAIN, ...TINY, ...files, "--resume");
    assertEquals(code, 0, err);
    assertMatch(out, /kernel +tried +failed +default us +95% interval +best us/);
    assertMatch(out, /\nmerge\/merge +5 +0 /);
    const after = Deno.readTextFileSync(path);
    assert(after.startsWith(before.slice(0, before.lastIndexOf("\n") + 1)));
    const lines = parseLog(after, path);
    assertEquals(lines.at(-1)!.type, "done");
    const explored = lines.filter((line) => line.type === "measured" && line.phase === "explore");
    assertEquals(explored.length, 5);

    const [entry] = readTuning(`${folder}/tuning.json`)!.entries;
    assertEquals([entry.kernel, entry.problem.kvLen], ["merge/merge", 256]);
    assertGreater(entry.us, 0);
    const timed = await runProgram(
      BENCH,
      ...TINY.slice(0, 6),
      ...["--max-time", "0.1", "--out", `${folder}/bench`, "--tuned", `${folder}/tuning.json`],
    );
    assertEquals(timed.code, 0, timed.err);
    assertMatch(timed.out, /4x2x64 at 256 tokens, merge\/merge: tuned, /);
  }));

function lineCount(path: string): number {
  try {
    return Deno.readTextFileSync(path).split("\n").length - 1;
  } catch {
    return 0;
  }
}
