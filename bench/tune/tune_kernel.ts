/** Tunes one kernel for one problem on an open device. */
import type { Contender, Params } from "../../kernels/contender.ts";
import type { Problem } from "../../kernels/problem.ts";
import type { MeasureContext } from "../context.ts";
import { type Contestant, prepare } from "../contestant.ts";
import { InputSets } from "../inputs.ts";
import { sampleInterleaved, type SampleSettings } from "../sampler.ts";
import { median, medianInterval } from "../statistics.ts";
import { candidateKey, type CandidateSpace, candidateSpace } from "./candidates.ts";
import { roundSizes } from "./halving.ts";
import { failed, type Measured, type Phase, type TuneJob, type TuneMessage } from "./messages.ts";
import {
  countAllowed,
  nextCandidates,
  ranked,
  type Strategy,
  usualStrategy,
} from "./strategies.ts";

/** Share of the budget after which no new candidates are tried: the finalists want the rest. */
const EXPLORE_SHARE = 0.75;

/** What a candidate costs on a GPU: it is compiled, checked and gets its share of a timing call. */
const CANDIDATE_MS = 400;

/** When a phase has samples enough; a final goes by the noise too. */
const SAMPLES: Readonly<Record<Phase, { readonly least: number; readonly mostMs: number }>> = {
  explore: { least: 6, mostMs: 400 },
  round: { least: 12, mostMs: 800 },
  final: { least: 20, mostMs: 2500 },
};

/** A job with its kernel found. */
export interface KernelJob extends Omit<TuneJob, "kernel"> {
  readonly contender: Contender;
}

/**
 * Tries candidates until the budget is spent, halves them, measures the finalists and the defaults
 * against each other, and tells all of it through `say`.
 *
 * @param begunMs `performance.now()` when the budget began to run.
 */
export async function tuneKernel(
  context: MeasureContext,
  job: KernelJob,
  begunMs: number,
  say: (message: TuneMessage) => void,
): Promise<void> {
  const { contender, problem, budgetMs, batch, seed } = job;
  const space = candidateSpace(contender, problem, context.limits);
  const strategy = job.strategy ?? suitableStrategy(space, budgetMs * EXPLORE_SHARE);
  say({ type: "opened", allowed: countAllowed(space), strategy });
  const inputs = openInputs(context, problem, job.memoryBytes);
  const tried = new Map(job.known.map((known) => [candidateKey(known.params), known]));
  const keep = (measured: Measured) => {
    tried.set(candidateKey(measured.params), measured);
    say({ type: "measured", ...measured });
  };
  const spent = () => (performance.now() - begunMs) / budgetMs;
  try {
    const late = () => spent() >= EXPLORE_SHARE;
    const bench = { context, inputs, contender, noisePct: job.noisePct, say, keep, late };
    // However little time there is, a first batch is tried: the defaults are in it.
    for (let first = tried.size === 0; first || !late(); first = false) {
      const next = nextCandidates(strategy, space, [...tried.values()], batch, seed);
      if (next.length === 0) break;
      await measureTogether(bench, next, "explore");
    }
    const sizes = roundSizes(ranked([...tried.values()]).length);
    for (const [i, size] of sizes.entries()) {
      const best = ranked([...tried.values()]).slice(0, size).map(({ params }) => params);
      const last = i === sizes.length - 1;
      const all = last ? withDefaults(best, space.defaults, tried) : best;
      // A hang among several could not be told to one of them; then they are measured apart.
      for (const part of batch === 1 ? all.map((one) => [one]) : [all]) {
        await measureTogether(bench, part, last ? "final" : "round");
      }
    }
    say({ type: "done" });
  } finally {
    inputs.destroy();
  }
}

function suitableStrategy(space: CandidateSpace, exploreMs: number): Strategy {
  return usualStrategy(countAllowed(space), exploreMs / CANDIDATE_MS);
}

/** The finalists, and the defaults beside them if they ran at all. */
function withDefaults(
  best: readonly Params[],
  defaults: Params,
  tried: ReadonlyMap<string, Measured>,
): readonly Params[] {
  const key = candidateKey(defaults);
  const there = best.some((params) => candidateKey(params) === key);
  return there || tried.get(key)?.us == null ? best : [...best, defaults];
}

function openInputs(
  { device, facts, limits, settings }: MeasureContext,
  problem: Problem,
  memoryBytes: number,
): InputSets {
  return new InputSets(device, problem, {
    ...{ limits, seed: settings.seed, unroll: !facts.software },
    budgetBytes: facts.software ? 2e9 : memoryBytes,
  });
}

/** What measuring candidates takes. */
interface Bench {
  readonly context: MeasureContext;
  readonly inputs: InputSets;
  readonly contender: Contender;
  readonly noisePct: number;
  readonly say: (message: TuneMessage) => void;
  readonly keep: (measured: Measured) => void;
  /** The time to try new candidates is over. */
  readonly late: () => boolean;
}

/** Checks each candidate, then times those that are right against each other. */
async function measureTogether(
  bench: Bench,
  candidates: readonly Params[],
  phase: Phase,
): Promise<void> {
  const { context, say, keep } = bench;
  const ready: Contestant[] = [];
  try {
    for (const params of candidates) {
      // Those that are ready are still timed; the others stay untried.
      if (phase === "explore" && ready.length > 0 && bench.late()) break;
      say({ type: "trying", candidates: [params] });
      const contestant = await prepareChecked(bench, params);
      if (typeof contestant === "string") keep(failed(params, contestant));
      else ready.push(contestant);
    }
    if (ready.length === 0) return;
    say({ type: "trying", candidates: ready.map(({ params }) => params) });
    const settings = settingsOf(context, phase, bench.noisePct);
    const all = await sampleInterleaved(context.timer, ready, settings);
    for (const [i, contestant] of ready.entries()) {
      const { params } = contestant;
      const { us } = all[i];
      // What the timed steps of a finalist left is judged as a benchmark would.
      const wrong = phase === "final" ? whatFailed(await contestant.judgeLast()) : null;
      if (wrong !== null || us.length === 0) {
        keep(failed(params, wrong ?? "all samples were taken at a low clock"));
      } else {
        const [samples, failure] = [us.length, null];
        keep({ phase, params, us: median(us), ...medianInterval(us), samples, failure });
      }
    }
  } finally {
    for (const contestant of ready) contestant.destroy();
  }
}

/** A candidate that is right, or in a few words what is wrong with it. */
async function prepareChecked(
  { context, inputs, contender }: Bench,
  params: Params,
): Promise<Contestant | string> {
  let contestant: Contestant;
  try {
    contestant = await prepare(inputs, contender, params, context.facts.software);
  } catch (error) {
    return firstLine((error as Error).message);
  }
  const wrong = whatFailed(await contestant.verify(0));
  if (wrong === null) return contestant;
  contestant.destroy();
  return wrong;
}

function whatFailed(
  { ok, checked, worst }: Awaited<ReturnType<Contestant["verify"]>>,
): string | null {
  if (ok) return null;
  return worst ? `${worst.what}: got ${worst.got}, want ${worst.want}` : checked;
}

function firstLine(text: string): string {
  return text.split("\n")[0];
}

function settingsOf(
  { sampling, facts }: MeasureContext,
  phase: Phase,
  noise: number,
): SampleSettings {
  const { least, mostMs } = SAMPLES[phase];
  const final = phase === "final";
  return {
    ...sampling,
    minSamples: facts.software ? sampling.minSamples : least,
    maxTimeMs: mostMs,
    noisePct: final && !facts.software ? noise : Infinity,
  };
}
