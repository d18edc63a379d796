/** Tunes one kernel for one problem on an open device. */
import type { Params } from "../../../kernels/core/problem/constants.ts";
import type { Variant } from "../../../kernels/core/variant.ts";
import type { Problem } from "../../../kernels/core/problem/problem.ts";
import type { Session } from "../../measure/session.ts";
import { InputSets } from "../../measure/inputs/inputs.ts";
import { candidateKey, candidateSpace } from "../../tuning/candidates.ts";
import { measureTogether, samplingMs } from "./measure_candidates.ts";
import type { Measured, TuneJob, TuneMessage, Unmeasured } from "../../tuning/messages.ts";
import { FINALISTS, nextCandidates, ranked } from "../../tuning/search.ts";

/** The milliseconds that the finalists take if steps are short. */
const FINALS_MS = 3500;

/** A job with the variant in place of the kernel's name. */
export interface KernelJob extends Omit<TuneJob, "kernel"> {
  readonly variant: Variant;
}

/**
 * Tries candidates until the budget is spent, then measures the finalists and the defaults against
 * each other. Reports everything through `send`.
 *
 * @param begunMs The `performance.now()` at which the budget began.
 */
export async function tuneKernel(
  session: Session,
  job: KernelJob,
  begunMs: number,
  send: (message: TuneMessage) => void,
): Promise<void> {
  const { variant, problem, budgetMs, batch } = job;
  const space = candidateSpace(variant, problem, session.limits);
  const spentMs = () => performance.now() - begunMs;
  send({ type: "opened", defaults: space.defaults });
  if (finalsKnown(job.known, space.defaults)) {
    send({ type: "done" });
    return;
  }
  const inputs = openInputs(session, problem);
  const tried = new Map(job.known.map((known) => [candidateKey(known.params), known]));
  const left = new Map(job.leftOut.map((params) => [candidateKey(params), { params, us: null }]));
  const standing = () =>
    ranked([...tried.values()].filter(({ params }) => !left.has(candidateKey(params))));
  const onMeasured = (measured: Measured) => {
    tried.set(candidateKey(measured.params), measured);
    send({ type: "measured", ...measured });
  };
  const onUnmeasured = (unmeasured: Unmeasured) => {
    const { params } = unmeasured;
    left.set(candidateKey(params), { params, us: null });
    send({ type: "unmeasured", ...unmeasured });
  };
  try {
    const isLate = () => spentMs() >= Math.max(budgetMs / 2, budgetMs - FINALS_MS);
    const { noisePct } = job;
    const callbacks = { send, onMeasured, onUnmeasured, isLate };
    const bench = { session, inputs, variant, noisePct, ...callbacks };
    // The defaults are tried even if there is no time.
    for (let first = tried.size === 0; first || !isLate(); first = false) {
      const known = [...tried.values(), ...left.values()];
      const next = nextCandidates(space, known, batch);
      if (next.length === 0) break;
      await measureTogether(bench, next, "explore");
      const defaultUs = tried.get(candidateKey(space.defaults))?.us ?? 0;
      if (samplingMs(defaultUs) > budgetMs) {
        const seconds = (defaultUs / 1e6).toFixed(1);
        send({ type: "refused", why: `a step takes ${seconds} s here, too long for its budget` });
        return;
      }
    }
    const order = standing();
    if (order.length > 0) {
      // Long steps allow fewer finalists, but at least two, even if there is no time.
      const most = Math.max(2, Math.floor((budgetMs - spentMs()) / samplingMs(order[0].us)));
      const best = order.slice(0, Math.min(FINALISTS, most)).map(({ params }) => params);
      const all = withDefaults(best, space.defaults, tried, left);
      // A batch of 1 follows a hang among several candidates: each is then measured alone.
      const isDue = (params: Params) => tried.get(candidateKey(params))!.phase !== "final";
      for (const part of batch === 1 ? all.filter(isDue).map((one) => [one]) : [all]) {
        await measureTogether(bench, part, "final");
      }
    }
    send({ type: "done" });
  } finally {
    inputs.destroy();
  }
}

/** The finalists, and the defaults if they ran. */
function withDefaults(
  best: readonly Params[],
  defaults: Params,
  tried: ReadonlyMap<string, Measured>,
  left: ReadonlyMap<string, unknown>,
): readonly Params[] {
  const key = candidateKey(defaults);
  const isFinalist = best.some((params) => candidateKey(params) === key);
  return isFinalist || left.has(key) || tried.get(key)?.us == null ? best : [...best, defaults];
}

/** Whether the finals are over: then the finalists were measured together with the defaults. */
function finalsKnown(known: readonly Measured[], defaults: Params): boolean {
  const key = candidateKey(defaults);
  const finals = known.filter(({ phase, us }) => phase === "final" && us !== null);
  return finals.length > 1 && finals.some(({ params }) => candidateKey(params) === key);
}

function openInputs(
  { device, facts, limits, settings, inputBytes }: Session,
  problem: Problem,
): InputSets {
  return new InputSets(device, problem, {
    limits,
    seed: settings.seed,
    unroll: !facts.software,
    budgetBytes: inputBytes,
  });
}
