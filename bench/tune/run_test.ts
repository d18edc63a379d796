import { assert, assertEquals, assertMatch } from "@std/assert";
import { casesOf } from "../cases.ts";
import { parseOptions } from "../options.ts";
import { openLog } from "./log.ts";
import { entryOf, type Outcome } from "./outcome.ts";
import { runJobs } from "./run.ts";

const FACTS = {
  ...{ runtime: "deno 2.9.6", adapter: "Some GPU", vendor: "nvidia", driver: "1.0" },
  ...{ backend: "vulkan", software: false },
};

/** Runs `kernels` with a child that has a fault; the log is that of `folder`. */
async function run(
  folder: string,
  fault: string,
  { kernels = "merge/merge", resume = false } = {},
): Promise<{ outcomes: Outcome[]; children: number }> {
  let children = 0;
  const log = openLog(folder, resume);
  const cases = casesOf(parseOptions(["--shape", "4x2x64", "--kv", "256", "--kernels", kernels]));
  const outcomes = await runJobs({
    options: {
      ...{ cases, budgetMs: 60_000, strategy: null, silenceMs: 4000, memoryBytes: 1e9 },
      ...{ noisePct: 1, seed: 1 },
      timer: "auto",
    },
    ...{ facts: FACTS, log, onProgress: () => {}, onOutcome: () => {} },
    onNote: () => {},
    spawn() {
      children++;
      return new Deno.Command(Deno.execPath(), {
        args: ["run", "-A", "--no-check", `${import.meta.dirname}/testing_child.ts`, fault],
        ...{ stdin: "piped", stdout: "piped", stderr: "piped" },
      });
    },
  });
  log.close();
  return { outcomes, children };
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
    ["crash", /^ended the process: .*the device is lost$/, 2],
  ] as const
) {
  Deno.test(`a candidate that makes its process ${fault} costs itself alone`, () =>
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

Deno.test("what the log has is not measured again, and what is done is not begun", () =>
  inFolder(async (folder) => {
    const first = await run(folder, "nothing", { kernels: "merge/merge" });
    const both = await run(folder, "nothing", { kernels: "merge/*,dense/split", resume: true });
    assertEquals([first.children, both.children], [1, 1]);
    assertEquals(both.outcomes[0].latest, first.outcomes[0].latest);
    // A tuner that was killed has no end in its log: the child is told what there is.
    const path = `${folder}/tune.jsonl`;
    const lines = Deno.readTextFileSync(path).split("\n").slice(0, 4);
    assert(lines.slice(1).every((line) => line.includes('"measured"')));
    Deno.writeTextFileSync(path, `${lines.join("\n")}\n`);
    const { outcomes } = await run(folder, "nothing", { resume: true });
    assertEquals(outcomes[0].latest.length, 5);
    assertEquals(Deno.readTextFileSync(path).trim().split("\n").length, 1 + 5 + 1);
  }));
