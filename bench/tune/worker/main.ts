/**
 * The child process of a tuner: reads a {@linkcode TuneJob} from stdin and writes messages to
 * stdout. If a kernel hangs, this process hangs and can be killed.
 * @module
 */
import { findVariant } from "../../../kernels/core/registry.ts";
import { eligible, openSession } from "../../measure/session.ts";
import { EXIT } from "../../edge/exit_codes.ts";
import { openAdapter } from "../../edge/open_adapter.ts";
import { readRevision } from "../../edge/revision.ts";
import { runCommand } from "../../edge/run_command.ts";
import type { TuneJob, TuneMessage } from "../../tuning/messages.ts";
import { tuneKernel } from "./tune_kernel.ts";

async function main(): Promise<void> {
  const begunMs = performance.now();
  const job: TuneJob = await new Response(Deno.stdin.readable).json();
  const variant = findVariant(job.kernel);
  const session = await openSession(await openAdapter({ gpu: job.gpu, request: job.request }), {
    hot: false,
    layers: 1,
    noisePct: job.noisePct,
    maxTimeMs: job.budgetMs,
    memoryBytes: job.memoryBytes,
    seed: job.seed,
    ...readRevision(),
    timer: job.timer,
    onProgress: () => {},
  });
  send({ type: "ready" });
  for (const note of session.notes) send({ type: "note", note });
  const [refused] = eligible(session, job.problem, [variant]).refused;
  if (refused) send({ type: "refused", why: refused.why });
  else await session.guard.run(() => tuneKernel(session, { ...job, variant }, begunMs, send));
}

/** Writes a message. Throws if the tuner has gone, since a child must not outlive its tuner. */
function send(message: TuneMessage): void {
  const bytes = new TextEncoder().encode(`${JSON.stringify(message)}\n`);
  for (let sent = 0; sent < bytes.length;) {
    sent += Deno.stdout.writeSync(bytes.subarray(sent));
  }
}

if (import.meta.main) {
  // An error is printed in one line. The exit is explicit, since an open device keeps Deno alive.
  Deno.exit(
    await runCommand(async () => {
      await main();
      return EXIT.ok;
    }, []),
  );
}
