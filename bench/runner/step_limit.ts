/** Which kernels a run leaves out because their steps would take too long to be sampled. Pure. */
import { counted } from "../base/counted.ts";
import { FEWEST_SAMPLES, LONG_STEP_MS } from "../measure/clock/sampler.ts";

/** What a run allows. */
export interface StepSettings {
  readonly software: boolean;
  /** Most time to sample a case. */
  readonly maxTimeMs: number;
}

/** Share of its roofline that a kernel with much arithmetic can be trusted to reach; CPUs vary a lot. */
const SHARE = { gpu: 1 / 2, software: 1 / 10 };

/**
 * Why a kernel is left out of a case: the fewest samples that make a median would take longer than
 * `--max-time`, by its roofline; undefined if they do not.
 */
export function tooLong(
  rooflineUs: number,
  tokens: number,
  { software, maxTimeMs }: StepSettings,
): string | undefined {
  const stepMs = rooflineUs / 1000 / (software ? SHARE.software : SHARE.gpu);
  return stepTooLong(stepMs, tokens, maxTimeMs);
}

/** {@linkcode tooLong} of a step of which the time itself is known, not its roofline. */
export function stepTooLong(
  stepMs: number,
  tokens: number,
  maxTimeMs: number,
): string | undefined {
  const mostMs = Math.max(LONG_STEP_MS, maxTimeMs / FEWEST_SAMPLES);
  if (stepMs <= mostMs) return undefined;
  const [step, most] = secondsApart(stepMs, mostMs);
  return `at ${counted(tokens, "token")} a step would take about ${step} here, ` +
    `more than the ${most} that --max-time leaves it`;
}

/** Two times with as many digits as tell them apart. */
function secondsApart(oneMs: number, otherMs: number): [string, string] {
  const digits = [0, 1, 2, 3].find((more) => seconds(oneMs, more) !== seconds(otherMs, more)) ?? 3;
  return [seconds(oneMs, digits), seconds(otherMs, digits)];
}

function seconds(ms: number, moreDigits: number): string {
  return `${(ms / 1000).toFixed((ms < 10_000 ? 1 : 0) + moreDigits)} s`;
}
