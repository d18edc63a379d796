/**
 * The child process of a tuner: reads a {@linkcode TuneJob} from stdin and says what it does on
 * stdout. Where a kernel hangs, this process hangs, and can be killed.
 * @module
 */
import { findContender } from "../../../kernels/core/registry.ts";
import { eligible, openContext } from "../../measure/context.ts";
import { EXIT } from "../../edge/exit_codes.ts";
import { openAdapter } from "../../edge/open_adapter.ts";
import { readRevision } from "../../edge/revision.ts";
import { runCommand } from "../../edge/run_command.ts";
import type { TuneJob, TuneMessage } from "../../tuning/messages.ts";
import { tuneKernel } from "./tune_kernel.ts";

async function main(): Promise<void> {
  const begunMs = performance.now();
  const job: TuneJob = await new Response(Deno.stdin.readable).json();
  const contender = findContender(job.kernel);
  const context = await openContext(await openAdapter({ request: job.request }), {
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
  for (const note of context.notes) say({ type: "note", note });
  const [refused] = eligible(context, job.problem, [contender]).refused;
  if (refused) say({ type: "refused", why: refused.why });
  else await context.guard.run(() => tuneKernel(context, { ...job, contender }, begunMs, say));
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
