/** The cases of the quick profile, on a GPU and on a software adapter. */
import type { BenchCase } from "./cases.ts";

/** KV lengths of the profile, around the length from which sparse attention pays on a GPU. */
export const QUICK_KV_LENS: readonly number[] = [1024, 4096, 16384];

/** The one KV length of a software adapter. Two CPU cores time it and the trace in two minutes. */
export const SOFTWARE_KV_LEN: number = 4096;

/** The cases of the quick profile. On a software adapter there are fewer. */
export function quickCases(cases: readonly BenchCase[], software: boolean): readonly BenchCase[] {
  if (!software) return cases;
  return cases.filter(({ problem, trace }) => trace || problem.kvLen === SOFTWARE_KV_LEN);
}
