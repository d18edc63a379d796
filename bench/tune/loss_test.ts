/** Tuning while the measuring process really loses its device. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { casesOf } from "../cases/cases.ts";
import { openAdapter } from "../edge/open_adapter.ts";
import { parseOptions } from "../run/options.ts";
import { inFolder } from "../../testing/command.ts";
import { openLog, readLog } from "../edge/files/tune_log.ts";
import { standingOf } from "../tuning/outcome.ts";
import { runJobs, type TuneResult } from "./run.ts";

/**
 * Tunes the merge while a candidate loses the device: the third one of a process, until the file
 * `marker` exists, or the first one of each process if `marker` is `always`.
 */
async function run(folder: string, marker: string, resume = false): Promise<TuneResult> {
  const place = marker === "always" ? 1 : 3;
  const log = openLog(folder, { resume });
  const flags = ["--shape", "4x2x64", "--kv", "256", "--kernels", "merge/merge"];
  const result = await runJobs({
    options: {
      cases: casesOf(parseOptions(flags)),
      budgetMs: 15_000,
      silenceMs: 60_000,
      memoryBytes: 1e9,
      noisePct: 1,
      seed: 1,
      timer: "auto",
    },
    facts: (await openAdapter()).info,
    log,
    onProgress: () => {},
    onOutcome: () => {},
    onNote: () => {},
    spawn: () =>
      new Deno.Command(Deno.execPath(), {
        args: [
          ...[
            "run",
            "-A",
            "--no-check",
            "--preload",
            `${import.meta.dirname}/../../testing/device/loss.ts`,
          ],
          `${import.meta.dirname}/worker/main.ts`,
        ],
        stdin: "piped",
        stdout: "piped",
        stderr: "piped",
        env: { NO_COLOR: "1", TESTING_LOSS: `merge/merge ${place} ${marker}` },
      }),
  });
  log.close();
  return result;
}

Deno.test("runJobs() measures all candidates on a fresh device after a loss", () =>
  inFolder(async (folder) => {
    const { outcomes: [outcome], failure } = await run(folder, `${folder}/lost`);
    assert(Deno.statSync(`${folder}/lost`).isFile);
    assertEquals([failure, outcome.gaveUp, outcome.unmeasured], [null, null, []]);
    assertEquals(outcome.latest.map(({ failure }) => failure), [null, null, null, null, null]);
    assertEquals(standingOf(outcome), "tuned");
  }));

Deno.test("runJobs() fails no candidate if every device is lost, and can be resumed", () =>
  inFolder(async (folder) => {
    const { outcomes: [outcome], failure } = await run(folder, "always");
    assertEquals([failure, standingOf(outcome)], [null, "unfinished"]);
    assertMatch(outcome.gaveUp!, /^its process ended: The GPU device was lost/);
    for (const { why } of outcome.unmeasured) {
      assertMatch(why, /The GPU device was lost.*, twice$/);
    }
    const types = new Set(readLog(folder).map(({ type }) => type));
    assertEquals(types, new Set(["opened", "unmeasured"]));

    await Deno.writeTextFile(`${folder}/lost`, "");
    const { outcomes: [again] } = await run(folder, `${folder}/lost`, true);
    assertEquals([standingOf(again), again.latest.length], ["tuned", 5]);
    const lines = readLog(folder).length;
    const { outcomes: [third] } = await run(folder, `${folder}/lost`, true);
    assertEquals([third.latest, readLog(folder).length], [again.latest, lines]);

    // The log of a tuner that was killed after its last measurement, before it logged the end.
    const text = Deno.readTextFileSync(`${folder}/tune.jsonl`);
    Deno.writeTextFileSync(`${folder}/tune.jsonl`, text.replace(/[^\n]+"done"[^\n]*\n$/, ""));
    assertEquals(readLog(folder).length, lines - 1);
    const { outcomes: [last] } = await run(folder, `${folder}/lost`, true);
    assertEquals([last.latest, readLog(folder).length], [again.latest, lines]);
  }));
