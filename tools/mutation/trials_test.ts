import { assertEquals } from "@std/assert";
import { trials } from "./trials.ts";
import type { Failure } from "./test_runner.ts";

/** Five mutants, whose texts say what becomes of them. */
const DRAWN = ["compile", "result", "none", "compile", "time", "result"].map((source, at) => ({
  kernel: "a/b",
  line: at + 1,
  above: "",
  before: "x",
  after: source,
  source,
}));

const judge = ({ source }: { source: string }) =>
  Promise.resolve(source === "none" ? null : { kind: source, test: "a test" } as Failure);

async function run(from: number, count: number): Promise<string[]> {
  const said: string[] = [];
  for await (const message of trials(DRAWN, { from, count }, judge)) {
    if (message.type === "verdict") said.push(`${message.at} ${message.verdict.killedBy}`);
    else if (message.type !== "try") said.push("at" in message ? `${message.at} again` : "end");
  }
  return said;
}

Deno.test("trials() draws again what does not compile", async () => {
  assertEquals(await run(0, 2), ["0 again", "1 result", "2 null", "end"]);
  assertEquals(await run(0, 1), ["0 again", "1 result", "end"]);
});

Deno.test("trials() ends after a mutant that may have taken the device with it", async () => {
  assertEquals(await run(2, 9), ["2 null", "3 again", "4 time"]);
});

Deno.test("trials() ends where no site is left", async () => {
  assertEquals(await run(5, 9), ["5 result", "end"]);
});
