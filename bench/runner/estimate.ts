/** How long a run will take and how much memory it wants, before anything is measured. Pure. */
import type { DeviceLimits, Plan, Variant } from "../../kernels/core/variant.ts";
import type { Problem } from "../../kernels/core/problem.ts";
import { coldSets, touchedBytes } from "../measure/inputs/cache_rotation.ts";
import type { Refusal } from "../measure/session.ts";
import { stepTooLong } from "./step_limit.ts";

/** What a run allows itself, and on what kind of adapter. */
export interface EstimateSettings {
  readonly limits: DeviceLimits;
  readonly software: boolean;
  readonly hot: boolean;
  readonly maxTimeMs: number;
  /** Bytes set aside for inputs. */
  readonly inputBytes: number;
}

/** What one case will take. */
export interface CaseEstimate {
  /** Kernels that will probably be timed. */
  readonly kernels: number;
  /** The others, whose steps will probably take too long to be timed, and why. */
  readonly refused: readonly Refusal[];
  /** Inputs of all sets, and outputs and scratch of all kernels, which are held together. */
  readonly memoryBytes: number;
  /** Milliseconds until sampling begins: kernels compiled, run once and checked. */
  readonly checkMs: number;
  /** Milliseconds of sampling, the probes' included. */
  readonly sampleMs: number;
}

// Fitted to the time stamps of 13 recorded cases of an H100 (341 s) and to a run on two CPU cores.
/** Milliseconds to compile a kernel, to run it for its checks and to read its outputs. */
const KERNEL_MS = { gpu: 400, software: 600 };

/** Milliseconds of all references of a kernel for a multiply-add of attention over all heads. */
const REFERENCE_MS = 3.5e-6;

/** Multiply-adds beyond which a check looks at fewer heads. */
const REFERENCE_MOST = 5e8;

/** Bytes or operations that a CPU which stands in for a GPU gets through in a millisecond. */
const CPU_RATE = 1e6;

/** Steps of a kernel on a software adapter: two checks, two to get going, the fewest samples. */
const SOFTWARE_STEPS = 10;

/** The share of `--max-time` that the probes take at most. */
const PROBE_SHARE = 1 / 4;

/** What a case of these variants, all of which the device admits, will take: to about a factor 2. */
export function estimateCase(
  p: Problem,
  variants: readonly Variant[],
  settings: EstimateSettings,
): CaseEstimate {
  const { limits, software, maxTimeMs } = settings;
  const all = variants.map((variant) => {
    const params = variant.defaults(p, limits);
    const cost = variant.cost(p, params);
    const bytes = cost.streamBytes + cost.gatherBytes + cost.writeBytes;
    const cpuMs = Math.max(cost.flops, bytes) / CPU_RATE;
    return { variant, plan: variant.plan(p, params), cost, cpuMs };
  });
  // The rate is what CPUs reach, so that the step's time has no share to be divided by.
  const whyNot = (cpuMs: number) => software ? stepTooLong(cpuMs, p.kvLen, maxTimeMs) : undefined;
  const timed = all.filter(({ cpuMs }) => whyNot(cpuMs) === undefined);
  const refused = all.flatMap(({ variant: { name }, cpuMs }) => {
    const why = whyNot(cpuMs);
    return why === undefined ? [] : [{ name, why }];
  });
  const multiplyAdds = 2 * p.kvLen * p.headDim * p.qHeads * Math.min(2, p.batch);
  const referenceMs = REFERENCE_MS * Math.min(REFERENCE_MOST, multiplyAdds);
  const kernelMs = software ? KERNEL_MS.software : KERNEL_MS.gpu;
  const runMs = timed.reduce((sum, { cpuMs }) => sum + cpuMs, 0);
  return {
    kernels: timed.length,
    refused,
    memoryBytes: memoryOf(p, timed, settings),
    checkMs: timed.length * (kernelMs + referenceMs),
    sampleMs: software
      ? PROBE_SHARE * maxTimeMs + SOFTWARE_STEPS * runMs
      : (1 + PROBE_SHARE) * maxTimeMs,
  };
}

interface Planned {
  readonly variant: Variant;
  readonly plan: Plan;
  readonly cost: ReturnType<Variant["cost"]>;
}

/** Inputs are shared by the kernels of a case; each set but the first must fit what is set aside. */
function memoryOf(
  p: Problem,
  planned: readonly Planned[],
  { software, hot, inputBytes }: EstimateSettings,
): number {
  const inputs = new Map<string, { bytes: number; sets: number }>();
  let ownBytes = 0;
  for (const { variant, plan, cost } of planned) {
    const wanted = hot || software ? 1 : coldSets(touchedBytes(p, cost, variant.stage));
    for (const [name, { bytes, role }] of Object.entries(plan.buffers)) {
      if (role !== "input") {
        ownBytes += bytes;
        continue;
      }
      const key = `${name} ${bytes}`;
      const sets = Math.max(wanted, inputs.get(key)?.sets ?? 0);
      inputs.set(key, { bytes, sets });
    }
  }
  const each = [...inputs.values()];
  const firstBytes = each.reduce((sum, { bytes }) => sum + bytes, 0);
  const wantedBytes = each.reduce((sum, { bytes, sets }) => sum + bytes * sets, 0);
  return ownBytes + Math.max(firstBytes, Math.min(wantedBytes, inputBytes));
}

/** Tells how much of a run is left, by its estimates and by how they held up so far. */
export class TimeLeft {
  readonly #cases: readonly Pick<CaseEstimate, "checkMs" | "sampleMs">[];
  readonly #totalMs: number;

  /** Takes the estimates of the cases in the order in which they are measured. */
  constructor(cases: readonly Pick<CaseEstimate, "checkMs" | "sampleMs">[]) {
    this.#cases = cases;
    this.#totalMs = sumMs(cases);
  }

  /**
   * The share of the run that is done, and the milliseconds that are left of it.
   *
   * @param begun Cases that are over.
   * @param checked The share of the next case's kernels that are checked; 1 when it is over.
   */
  at(begun: number, checked: number, elapsedMs: number): { fraction: number; leftMs: number } {
    const now = this.#cases[begun];
    const nowMs = now === undefined ? 0 : checked < 1 ? checked * now.checkMs : sumMs([now]);
    const doneMs = sumMs(this.#cases.slice(0, begun)) + nowMs;
    const fraction = this.#totalMs > 0 ? Math.min(1, doneMs / this.#totalMs) : 1;
    // Early on the estimates know better than what has passed, later the other way round.
    const passedMs = fraction * elapsedMs + (1 - fraction) * doneMs;
    const pace = doneMs > 0 ? passedMs / doneMs : 1;
    return { fraction, leftMs: (this.#totalMs - doneMs) * pace };
  }
}

function sumMs(cases: readonly Pick<CaseEstimate, "checkMs" | "sampleMs">[]): number {
  return cases.reduce((sum, { checkMs, sampleMs }) => sum + checkMs + sampleMs, 0);
}
