/** Tunes one kernel for one problem on an open device. */
import type { Params, Variant } from "../../../kernels/core/variant.ts";
import type { Problem } from "../../../kernels/core/problem.ts";
import type { Session } from "../../measure/session.ts";
import { InputSets } from "../../measure/inputs/inputs.ts";
import { candidateKey, candidateSpace } from "../../tuning/candidates.ts";
import { measureTogether, samplingMs } from "./measure_candidates.ts";
import type { Measured, TuneJob, TuneMessage, Unmeasured } from "../../tuning/messages.ts";
import { FINALISTS, nextCandidates, ranked } from "../../tuning/search.ts";

/** What the finalists take where steps are short. */
const FINALS_MS = 3500;

/** A job with its kernel found. */
export interface KernelJob extends Omit<TuneJob, "kernel"> {
  readonly variant: Variant;
}

/**
 * Tries candidates until the budget is spent, measures the finalists and the defaults against each
 * other, and tells all of it through `say`.
 *
 * @param begunMs `performance.now()` when the budget began to run.
 */
export async function tuneKernel(
  session: Session,
  job: KernelJob,
  begunMs: number,
  say: (message: TuneMessage) => void,
): Promise<void> {
  const { variant, problem, budgetMs, batch } = job;
  const space = candidateSpace(variant, problem, session.limits);
  const spentMs = () => performance.now() - begunMs;
  say({ type: "opened", defaults: space.defaults });
  if (finalsKnown(job.known, space.defaults)) {
    say({ type: "done" });
    return;
  }
  const inputs = openInputs(session, problem);
  const tried = new Map(job.known.map((known) => [candidateKey(known.params), known]));
  const left = new Map(job.leftOut.map((params) => [candidateKey(params), { params, us: null }]));
  const standing = () =>
    ranked([...tried.values()].filter(({ params }) => !left.has(candidateKey(params))));
  const keep = (measured: Measured) => {
    tried.set(candidateKey(measured.params), measured);
    say({ type: "measured", ...measured });
  };
  const leave = (unmeasured: Unmeasured) => {
    const { params } = unmeasured;
    left.set(candidateKey(params), { params, us: null });
    say({ type: "unmeasured", ...unmeasured });
  };
  try {
    const late = () => spentMs() >= Math.max(budgetMs / 2, budgetMs - FINALS_MS);
    const bench = { session, inputs, variant, noisePct: job.noisePct, say, keep, leave, late };
    // However little time there is, the defaults are tried.
    for (let first = tried.size === 0; first || !late(); first = false) {
      const known = [...tried.values(), ...left.values()];
      const next = nextCandidates(space, known, batch);
      if (next.length === 0) break;
      await measureTogether(bench, next, "explore");
      const usualUs = tried.get(candidateKey(space.defaults))?.us ?? 0;
      if (samplingMs(usualUs) > budgetMs) {
        const seconds = (usualUs / 1e6).toFixed(1);
        say({ type: "refused", why: `a step takes ${seconds} s here, too long for its budget` });
        return;
      }
    }
    const order = standing();
    if (order.length > 0) {
      // Where steps are long, fewer are finalists: two, however late it is.
      const most = Math.max(2, Math.floor((budgetMs - spentMs()) / samplingMs(order[0].us)));
      const best = order.slice(0, Math.min(FINALISTS, most)).map(({ params }) => params);
      const all = withDefaults(best, space.defaults, tried, left);
      // A hang among several could not be told to one of them; then they are measured apart.
      const isDue = (params: Params) => tried.get(candidateKey(params))!.phase !== "final";
      for (const part of batch === 1 ? all.filter(isDue).map((one) => [one]) : [all]) {
        await measureTogether(bench, part, "final");
      }
    }
    say({ type: "done" });
  } finally {
    inputs.destroy();
  }
}

/** The finalists, and the defaults beside them if they ran at all. */
function withDefaults(
  best: readonly Params[],
  defaults: Params,
  tried: ReadonlyMap<string, Measured>,
  left: ReadonlyMap<string, unknown>,
): readonly Params[] {
  const key = candidateKey(defaults);
  const there = best.some((params) => candidateKey(params) === key);
  return there || left.has(key) || tried.get(key)?.us == null ? best : [...best, defaults];
}

/** Whether the last round is over: whoever was in it was measured together with the defaults. */
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
