/**
 * Test support: stands in for the process that measures. Candidates are WORKGROUP 1 to 5; it
 * measures those that are not known, one after the other; the defaults come last. Its first argument
 * says what it does when it comes to WORKGROUP 3: `hang`, `hang-together` (only where several are
 * timed at once), `crash`, `crash-once` (the file that the second argument names tells that it has),
 * `silent` (an end without a word) or `nothing`; `dead` and `deaf` end before the device is open and
 * right after it, `dying` at every candidate.
 */
import type { Measured, TuneJob, TuneMessage } from "../tuning/messages.ts";

const [fault, marker] = Deno.args;
const job: TuneJob = await new Response(Deno.stdin.readable).json();
const say = (message: TuneMessage) => console.log(JSON.stringify(message));

async function fail(): Promise<void> {
  if (fault === "crash" || fault === "dying") throw new Error("the device is lost");
  if (fault === "silent") Deno.exit(7);
  if (fault === "crash-once") {
    if (Deno.readTextFileSync(marker) !== "") return;
    Deno.writeTextFileSync(marker, "crashed");
    throw new Error("the device is lost");
  }
  if (fault !== "nothing") await new Promise((resolve) => setTimeout(resolve, 600_000));
}

if (fault === "dead") throw new Error("no adapter");
say({ type: "ready" });
if (fault === "deaf") throw new Error("the host is out of memory");
console.log("a driver says hello");
say({ type: "opened", defaults: { WORKGROUP: 5 } });
const known = new Set(
  [...job.known.map(({ params }) => params), ...job.leftOut].map((params) => params.WORKGROUP),
);
const open = [1, 2, 3, 4, 5].filter((each) => !known.has(each));
while (open.length > 0) {
  const batch = open.splice(0, job.batch).map((WORKGROUP) => ({ WORKGROUP }));
  for (const params of batch) {
    say({ type: "trying", candidates: [params] });
    if (fault === "dying") await fail();
    if (params.WORKGROUP === 3 && (fault !== "hang-together" || job.batch === 1)) await fail();
  }
  say({ type: "trying", candidates: batch });
  if (batch.some(({ WORKGROUP }) => WORKGROUP === 3)) await fail();
  for (const params of batch) {
    const us = 10 * params.WORKGROUP;
    const measured: Measured = {
      phase: "final",
      params,
      us,
      low: us,
      high: us,
      samples: 20,
      failure: null,
    };
    say({ type: "measured", ...measured });
  }
}
say({ type: "done" });
