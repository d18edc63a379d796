/** Which kernels a run leaves out because their steps would take too long to be sampled. */
import { counted } from "../base/counted.ts";
import { FEWEST_SAMPLES, LONG_STEP_MS } from "../measure/clock/sampler.ts";

/** The settings of a run that decide which steps are too long. */
export interface StepSettings {
  readonly software: boolean;
  /** Time limit for sampling a case. */
  readonly maxTimeMs: number;
}

/** Share of its roofline that a kernel with much arithmetic surely reaches. CPUs vary a lot. */
const SHARE = { gpu: 1 / 2, software: 1 / 10 };

/**
 * The reason why a kernel is left out of a case: judged by its roofline, the fewest samples of a
 * median would take longer than `--max-time`. Undefined if they would not.
 */
export function tooLong(
  rooflineUs: number,
  tokens: number,
  { software, maxTimeMs }: StepSettings,
): string | undefined {
  const stepMs = rooflineUs / 1000 / (software ? SHARE.software : SHARE.gpu);
  return stepTooLong(stepMs, tokens, maxTimeMs);
}

/** {@linkcode tooLong} for a step whose time is known, not only its roofline. */
export function stepTooLong(
  stepMs: number,
  tokens: number,
  maxTimeMs: number,
): string | undefined {
  const limitMs = Math.max(LONG_STEP_MS, maxTimeMs / FEWEST_SAMPLES);
  if (stepMs <= limitMs) return undefined;
  const [step, limit] = secondsApart(stepMs, limitMs);
  return `at ${counted(tokens, "token")} a step would take about ${step} here, ` +
    `more than the ${limit} that --max-time allows a sample`;
}

/** Two times as texts with enough digits to differ. */
function secondsApart(oneMs: number, otherMs: number): [string, string] {
  const digits = [0, 1, 2, 3].find((more) => seconds(oneMs, more) !== seconds(otherMs, more)) ?? 3;
  return [seconds(oneMs, digits), seconds(otherMs, digits)];
}

function seconds(ms: number, moreDigits: number): string {
  return `${(ms / 1000).toFixed((ms < 10_000 ? 1 : 0) + moreDigits)} s`;
}
