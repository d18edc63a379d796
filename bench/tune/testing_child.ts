/**
 * Test support: replaces the measuring process. The candidates are WORKGROUP 1 to 5. The child
 * measures those that are not known, one by one; the defaults come last. Its first argument chooses
 * the fault at WORKGROUP 3: `hang`, `hang-together` (only when several are timed at once), `crash`,
 * `crash-once` (the file in the second argument records the crash), `silent` (ends without a word)
 * or `nothing`. `dead` ends before the device is open, `deaf` right after that, `dying` at every
 * candidate.
 */
import type { Measured, TuneJob, TuneMessage } from "../tuning/messages.ts";

const [fault, marker] = Deno.args;
const job: TuneJob = await new Response(Deno.stdin.readable).json();
const send = (message: TuneMessage) => console.log(JSON.stringify(message));

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
send({ type: "ready" });
if (fault === "deaf") throw new Error("the host is out of memory");
console.log("a driver says hello");
send({ type: "opened", defaults: { WORKGROUP: 5 } });
const known = new Set(
  [...job.known.map(({ params }) => params), ...job.leftOut].map((params) => params.WORKGROUP),
);
const open = [1, 2, 3, 4, 5].filter((each) => !known.has(each));
while (open.length > 0) {
  const batch = open.splice(0, job.batch).map((WORKGROUP) => ({ WORKGROUP }));
  for (const params of batch) {
    send({ type: "trying", candidates: [params] });
    if (fault === "dying") await fail();
    if (params.WORKGROUP === 3 && (fault !== "hang-together" || job.batch === 1)) await fail();
  }
  send({ type: "trying", candidates: batch });
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
    send({ type: "measured", ...measured });
  }
}
send({ type: "done" });
