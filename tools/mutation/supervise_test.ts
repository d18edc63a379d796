import { assertEquals, assertRejects } from "@std/assert";
import { SystemError } from "../../bench/base/system_error.ts";
import { tryMutants } from "./supervise.ts";

/** A worker of mutants 0, 1, 2 ...: `act` says what it does with the mutant at `at`. */
function fakeWorker(act: string) {
  const code = `
    const { from, count } = JSON.parse(await new Response(Deno.stdin.readable).text());
    const say = (message) => console.log(JSON.stringify(message));
    for (let at = from; at < from + count; at++) {
      const mutant = { kernel: "a/b", line: at, above: "", before: "x", after: "y" };
      ${act}
      say({ type: "try", at, mutant });
      if (at === 1) Deno.exit(7);
      say({ type: "verdict", at, verdict: { mutant, killedBy: null, test: "" } });
      if (at === 2) Deno.exit(0);
    }
    say({ type: "end" });`;
  return () =>
    new Deno.Command(Deno.execPath(), {
      args: ["eval", code],
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    });
}

const JOB = { kernel: "a/b", seed: 1, count: 5 };

Deno.test("tryMutants() starts another worker after one that fell, which counts as a kill", async () => {
  const told: number[] = [];
  const verdicts = await tryMutants(JOB, ({ mutant }) => told.push(mutant.line), fakeWorker(""));
  assertEquals(told, [0, 1, 2, 3, 4]);
  assertEquals(verdicts.map(({ killedBy }) => killedBy), [null, "error", null, null, null]);
  assertEquals(verdicts[1].test, "exit code 7");
});

Deno.test("tryMutants() gives up on a worker that cannot begin, or says why it stops", async () => {
  const give = (act: string) => tryMutants(JOB, () => {}, fakeWorker(act));
  await assertRejects(() => give("Deno.exit(3)"), SystemError, "Cannot mutate a/b: exit code 3.");
  const fault = 'say({ type: "fault", message: "no adapter" }); break;';
  await assertRejects(() => give(fault), SystemError, "Cannot mutate a/b: no adapter.");
});

Deno.test("tryMutants() has a kernel's mutants judged by its tests", async () => {
  const [{ mutant, killedBy, test }] = await tryMutants(
    { kernel: "merge/merge", seed: 1, count: 1 },
    () => {},
  );
  assertEquals(mutant.kernel, "merge/merge");
  assertEquals(test === "", killedBy === null);
});
