/** What the quick profile times, on a GPU and on a CPU in its place. Pure. */
import type { BenchCase } from "./cases.ts";

/** Its KV lengths: around the one from which sparse attention pays on a GPU. */
export const QUICK_KV_LENS: readonly number[] = [1024, 4096, 16384];

/** The one of them that two CPU cores time in two minutes, beside the trace. */
export const SOFTWARE_KV_LEN: number = 4096;

/** The quick profile's cases as the adapter wants them: few on a software adapter. */
export function quickCases(cases: readonly BenchCase[], software: boolean): readonly BenchCase[] {
  if (!software) return cases;
  return cases.filter(({ problem, trace }) => trace || problem.kvLen === SOFTWARE_KV_LEN);
}
