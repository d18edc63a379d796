/** Estimates the time and memory of a run before anything is measured. */
import {
  costOperations,
  type DeviceLimits,
  type Plan,
  type Variant,
} from "../../kernels/core/variant.ts";
import { planOn } from "../../kernels/core/pieces.ts";
import type { Problem } from "../../kernels/core/problem/problem.ts";
import {
  copiesOf,
  type Rotation,
  touchedBytes,
  wantedSets,
} from "../measure/inputs/cache_rotation.ts";
import type { Refusal } from "../measure/session.ts";
import { stepTooLong } from "./step_limit.ts";

/** The limits of a run, and the kind of its adapter. */
export interface EstimateSettings extends Rotation {
  readonly limits: DeviceLimits;
  readonly software: boolean;
  readonly maxTimeMs: number;
  /** Bytes set aside for inputs. */
  readonly inputBytes: number;
}

/** The time and memory of one case. */
export interface CaseEstimate {
  /** Number of kernels that will probably be timed. */
  readonly kernels: number;
  /** Kernels whose steps will probably take too long to be timed. */
  readonly refused: readonly Refusal[];
  /** Bytes of the inputs of all sets and of the outputs and scratch of all kernels. */
  readonly memoryBytes: number;
  /** Bytes of inputs that keep the steps of all kernels cold; 0 if they are to be hot. */
  readonly coldInputBytes: number;
  /** Time to compile the kernels, run them once and verify them, in milliseconds. */
  readonly checkMs: number;
  /** Time of sampling, probes included, in milliseconds. */
  readonly sampleMs: number;
}

// Fitted to the time stamps of 13 recorded cases of an H100 (341 s) and to a run on two CPU cores.
/** Milliseconds to compile a kernel, to run it for its checks and to read its outputs. */
const KERNEL_MS = { gpu: 400, software: 600 };

/**
 * Milliseconds that all references of a kernel take per multiply-add of attention over all heads.
 */
const REFERENCE_MS = 3.5e-6;

/** Multiply-adds beyond which a check covers fewer heads. */
const MAX_REFERENCE = 5e8;

/** Bytes or operations per millisecond of a CPU that stands in for a GPU. */
const CPU_RATE = 1e6;

/** Steps of a kernel on a software adapter: two checks, two in the pilot, the fewest samples. */
const SOFTWARE_STEPS = 10;

/** The probes take at most this share of `--max-time`. */
const PROBE_SHARE = 1 / 4;

/** Estimates a case to about a factor of 2. The device must admit all `variants`. */
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
    const cpuMs = Math.max(costOperations(cost), bytes) / CPU_RATE;
    return { variant, plan: planOn(variant, p, params, limits), cost, cpuMs };
  });
  // CPU_RATE is a rate that CPUs reach, so this is the time of a step itself, not its roofline.
  const whyNot = (cpuMs: number) => software ? stepTooLong(cpuMs, p.kvLen, maxTimeMs) : undefined;
  const timed = all.filter(({ cpuMs }) => whyNot(cpuMs) === undefined);
  const refused = all.flatMap(({ variant: { name }, cpuMs }) => {
    const why = whyNot(cpuMs);
    return why === undefined ? [] : [{ name, why }];
  });
  const multiplyAdds = 2 * p.kvLen * p.headDim * p.qHeads * Math.min(2, p.batch);
  const referenceMs = REFERENCE_MS * Math.min(MAX_REFERENCE, multiplyAdds);
  const kernelMs = software ? KERNEL_MS.software : KERNEL_MS.gpu;
  const runMs = timed.reduce((sum, { cpuMs }) => sum + cpuMs, 0);
  return {
    kernels: timed.length,
    refused,
    ...memoryOf(p, timed, settings),
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

/** The kernels of a case share its inputs. Only set 0 may exceed the bytes set aside for inputs. */
function memoryOf(
  p: Problem,
  planned: readonly Planned[],
  { software, hot, layers, inputBytes }: EstimateSettings,
): Pick<CaseEstimate, "memoryBytes" | "coldInputBytes"> {
  const inputs = new Map<string, { bytes: number; sets: number }>();
  let outputBytes = 0;
  for (const { variant, plan, cost } of planned) {
    const rotation = { hot: hot || software, layers };
    const wanted = wantedSets(touchedBytes(p, cost, variant.stage), rotation);
    for (const [name, { bytes, role }] of Object.entries(plan.buffers)) {
      if (role !== "input") {
        outputBytes += bytes;
        continue;
      }
      const key = `${name} ${bytes}`;
      const sets = Math.max(
        copiesOf(name, variant.stage, wanted),
        inputs.get(key)?.sets ?? 0,
      );
      inputs.set(key, { bytes, sets });
    }
  }
  const each = [...inputs.values()];
  const firstBytes = each.reduce((sum, { bytes }) => sum + bytes, 0);
  const wantedBytes = each.reduce((sum, { bytes, sets }) => sum + bytes * sets, 0);
  return {
    memoryBytes: outputBytes + Math.max(firstBytes, Math.min(wantedBytes, inputBytes)),
    coldInputBytes: hot || software ? 0 : wantedBytes,
  };
}

/** Predicts the time that is left of a run, from its estimates and from their accuracy so far. */
export class TimeLeft {
  readonly #cases: readonly Pick<CaseEstimate, "checkMs" | "sampleMs">[];
  readonly #totalMs: number;

  /** Takes the estimates of the cases in the order in which they are measured. */
  constructor(cases: readonly Pick<CaseEstimate, "checkMs" | "sampleMs">[]) {
    this.#cases = cases;
    this.#totalMs = sumMs(cases);
  }

  /**
   * The share of the run that is done, and the milliseconds that are left.
   *
   * @param begun Number of cases that are done.
   * @param checked Share of the next case's kernels that are verified; 1 when that case is done.
   */
  at(begun: number, checked: number, elapsedMs: number): { fraction: number; leftMs: number } {
    const now = this.#cases[begun];
    const nowMs = now === undefined ? 0 : checked < 1 ? checked * now.checkMs : sumMs([now]);
    const doneMs = sumMs(this.#cases.slice(0, begun)) + nowMs;
    const fraction = this.#totalMs > 0 ? Math.min(1, doneMs / this.#totalMs) : 1;
    // The estimates count more at the beginning, the measured pace counts more towards the end.
    const passedMs = fraction * elapsedMs + (1 - fraction) * doneMs;
    const pace = doneMs > 0 ? passedMs / doneMs : 1;
    return { fraction, leftMs: (this.#totalMs - doneMs) * pace };
  }
}

function sumMs(cases: readonly Pick<CaseEstimate, "checkMs" | "sampleMs">[]): number {
  return cases.reduce((sum, { checkMs, sampleMs }) => sum + checkMs + sampleMs, 0);
}
