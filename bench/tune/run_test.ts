import { assert, assertEquals, assertMatch } from "@std/assert";
import { casesOf } from "../cases/cases.ts";
import { parseOptions } from "../run/options.ts";
import { openLog, readLog } from "../edge/files/tune_log.ts";
import { entryOf, standingOf } from "../tuning/outcome.ts";
import { runJobs, type TuneResult } from "./run.ts";

const CHILD = `${import.meta.dirname}/testing_child.ts`;

const FACTS = {
  runtime: "deno 2.9.6",
  adapter: "Some GPU",
  vendor: "nvidia",
  driver: "1.0",
  backend: "vulkan",
  software: false,
  compiler: "naga",
  toggles: "",
  limits: "adapter" as const,
};

/** Tunes `kernels` with a child that has a fault, and logs to `folder`. */
async function run(
  folder: string,
  fault: string,
  { kernels = "merge/merge", resume = false } = {},
): Promise<TuneResult & { children: number }> {
  let children = 0;
  const log = openLog(folder, { resume });
  await Deno.writeTextFile(`${folder}/marker`, "", { append: true });
  const cases = casesOf(parseOptions(["--shape", "4x2x64", "--kv", "256", "--kernels", kernels]));
  const result = await runJobs({
    options: {
      cases,
      budgetMs: 60_000,
      silenceMs: 4000,
      memoryBytes: 1e9,
      noisePct: 1,
      seed: 1,
      timer: "auto",
    },
    facts: FACTS,
    log,
    onProgress: () => {},
    onOutcome: () => {},
    onNote: () => {},
    spawn() {
      children++;
      return new Deno.Command(Deno.execPath(), {
        args: ["run", "-A", "--no-check", CHILD, fault, `${folder}/marker`],
        stdin: "piped",
        stdout: "piped",
        stderr: "piped",
      });
    },
  });
  log.close();
  return { ...result, children };
}

async function inFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

for (
  const [fault, failure, children] of [
    ["hang", /^hung: nothing was heard for 4 s$/, 2],
    ["hang-together", /^hung: nothing was heard for 4 s$/, 3],
  ] as const
) {
  Deno.test(`runJobs() fails only the candidate that makes its process ${fault}`, () =>
    inFolder(async (folder) => {
      const found = await run(folder, fault);
      const [{ latest, refused }] = found.outcomes;
      assertEquals([refused, found.children], [null, children]);
      assertEquals(latest.length, 5);
      for (const { params, us, failure: why } of latest) {
        if (params.WORKGROUP === 3) assertMatch(why!, failure);
        else assertEquals([us, why], [10 * params.WORKGROUP, null]);
      }
      const entry = entryOf(found.outcomes[0]);
      assertEquals([entry?.params, entry?.us, entry?.defaultUs], [{ WORKGROUP: 1 }, 10, 50]);
    }));
}

Deno.test("runJobs() repeats neither measurements nor jobs of its log", () =>
  inFolder(async (folder) => {
    const first = await run(folder, "nothing", { kernels: "merge/merge" });
    const both = await run(folder, "nothing", { kernels: "merge/merge,dense/split", resume: true });
    assertEquals([first.children, both.children], [1, 1]);
    assertEquals(both.outcomes[0].latest, first.outcomes[0].latest);
    // The log of a killed tuner has no end. The child gets the measurements that the log has.
    const path = `${folder}/tune.jsonl`;
    const lines = Deno.readTextFileSync(path).split("\n").slice(0, 4);
    assert(lines.slice(1).every((line) => line.includes('"measured"')));
    Deno.writeTextFileSync(path, `${lines.join("\n")}\n`);
    const { outcomes } = await run(folder, "nothing", { resume: true });
    assertEquals(outcomes[0].latest.length, 5);
    assertEquals(Deno.readTextFileSync(path).trim().split("\n").length, 1 + 5 + 1);
  }));

for (
  const [fault, why] of [
    ["crash", /^its process ended: .*the device is lost, twice$/],
    ["silent", /^its process ended: exit code 7, twice$/],
  ] as const
) {
  Deno.test(`runJobs() leaves a candidate unmeasured after a second ${fault} end`, () =>
    inFolder(async (folder) => {
      const { outcomes: [outcome], children, failure } = await run(folder, fault);
      assertEquals([outcome.gaveUp, failure, children], [null, null, 3]);
      assertEquals(outcome.latest.map(({ params }) => params.WORKGROUP), [1, 2, 4, 5]);
      assertEquals(outcome.latest.map(({ failure }) => failure), [null, null, null, null]);
      assertEquals(outcome.unmeasured.map(({ params }) => params), [{ WORKGROUP: 3 }]);
      assertMatch(outcome.unmeasured[0].why, why);
      assertEquals([standingOf(outcome), entryOf(outcome)?.us], ["tuned", 10]);
      const lines = readLog(folder);
      assertEquals(lines.filter(({ type }) => type === "unmeasured").length, 1);
      assertEquals(lines.at(-1)!.type, "done");
    }));
}

Deno.test("runJobs() measures the candidate of a lost device on a fresh one", () =>
  inFolder(async (folder) => {
    const { outcomes: [outcome], children } = await run(folder, "crash-once");
    assertEquals([children, outcome.unmeasured, outcome.gaveUp], [2, [], null]);
    assertEquals(outcome.latest.map(({ us }) => us), [10, 20, 30, 40, 50]);
  }));

Deno.test("runJobs() gives up a kernel whose process dies at every candidate", () =>
  inFolder(async (folder) => {
    const kernels = "merge/merge,dense/split";
    const { outcomes, failure } = await run(folder, "dying", { kernels });
    assertEquals(outcomes.map(standingOf), ["unfinished", "unfinished"]);
    for (const { gaveUp, latest } of outcomes) {
      assertMatch(gaveUp!, /^its process ended: .*the device is lost$/);
      assertEquals(latest, []);
    }
    assertEquals([failure, readLog(folder).filter(({ type }) => type === "done")], [null, []]);
    // A resumed run tries the candidates again.
    const again = await run(folder, "nothing", { kernels, resume: true });
    assertEquals(again.outcomes.map(standingOf), ["tuned", "tuned"]);
  }));

Deno.test("runJobs() ends without a device, and keeps its measurements", () =>
  inFolder(async (folder) => {
    await run(folder, "nothing");
    const before = Deno.readTextFileSync(`${folder}/tune.jsonl`);
    const kernels = "merge/merge,dense/split,score/hamming";
    const dead = await run(folder, "dead", { kernels, resume: true });
    assertEquals([dead.children, dead.outcomes.map(standingOf)], [2, ["tuned"]]);
    assertMatch(dead.failure!.message, /^The device cannot be opened: its process .*no adapter\.$/);
    assertEquals(Deno.readTextFileSync(`${folder}/tune.jsonl`), before);
    const deaf = await run(folder, "deaf", { kernels, resume: true });
    assertEquals(deaf.failure, null);
    for (const outcome of deaf.outcomes) {
      if (outcome.variant.name === "merge/merge") assertEquals(standingOf(outcome), "tuned");
      else assertMatch(outcome.gaveUp!, /the host is out of memory$/);
    }
  }));
