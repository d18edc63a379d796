/** Which kernels a run leaves out because their steps would take too long to be sampled. Pure. */
import { FEWEST_SAMPLES, LONG_STEP_MS } from "./sampler.ts";

/** What a run allows. */
export interface StepSettings {
  readonly software: boolean;
  /** Most time to sample a case. */
  readonly maxTimeMs: number;
}

/** Share of its floor that a kernel with much arithmetic can be trusted to reach; CPUs vary a lot. */
const SHARE = { gpu: 1 / 2, software: 1 / 10 };

/**
 * Why a kernel is left out of a case: the fewest samples that make a median would take longer than
 * `--max-time`, by its floor; undefined if they do not.
 */
export function tooLong(
  floorUs: number,
  tokens: number,
  { software, maxTimeMs }: StepSettings,
): string | undefined {
  const stepMs = floorUs / 1000 / (software ? SHARE.software : SHARE.gpu);
  const mostMs = Math.max(LONG_STEP_MS, maxTimeMs / FEWEST_SAMPLES);
  if (stepMs <= mostMs) return undefined;
  return `at ${tokens} tokens a step would take about ${seconds(stepMs)} here, ` +
    `more than the ${seconds(mostMs)} that --max-time leaves it`;
}

function seconds(ms: number): string {
  return `${ms < 10_000 ? (ms / 1000).toFixed(1) : (ms / 1000).toFixed(0)} s`;
}
