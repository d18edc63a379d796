/**
 * The child process of a tuner: reads a {@linkcode TuneJob} from stdin and says what it does on
 * stdout. Where a kernel hangs, this process hangs, and can be killed.
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
  const session = await openSession(await openAdapter({ request: job.request }), {
    hot: false,
    noisePct: job.noisePct,
    maxTimeMs: job.budgetMs,
    memoryBytes: job.memoryBytes,
    seed: job.seed,
    ...readRevision(),
    timer: job.timer,
    onProgress: () => {},
  });
  say({ type: "ready" });
  for (const note of session.notes) say({ type: "note", note });
  const [refused] = eligible(session, job.problem, [variant]).refused;
  if (refused) say({ type: "refused", why: refused.why });
  else await session.guard.run(() => tuneKernel(session, { ...job, variant }, begunMs, say));
}

/** Throws when nobody listens any more: a child must not outlive its tuner. */
function say(message: TuneMessage): void {
  const bytes = new TextEncoder().encode(`${JSON.stringify(message)}\n`);
  for (let at = 0; at < bytes.length;) at += Deno.stdout.writeSync(bytes.subarray(at));
}

if (import.meta.main) {
  // Whatever went wrong is told in a line, and ends the process: a device keeps it alive.
  Deno.exit(
    await runCommand(async () => {
      await main();
      return EXIT.ok;
    }, []),
  );
}
