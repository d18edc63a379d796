/** The variants that run a kernel, and problems that show what they do. */
import { casesOf } from "../bench/cases/cases.ts";
import { parseCaseOptions } from "../bench/flags/case_flags.ts";
import { eligible } from "../bench/measure/session.ts";
import { EVERY_VARIANT, findVariant } from "../kernels/core/registry.ts";
import type { Dispatch } from "../kernels/core/variant.ts";
import { openTestDevice } from "../testing/testing.ts";

/** The main job's problem: long enough for several blocks and runs, so that it runs every kernel. */
const PROBLEM = ["--shape", "4x1x64", "--kv", "5000"];

/** That of a prompt's attention, which a software adapter would be at for minutes. */
const PROMPT_PROBLEM = PROBLEM.with(3, "700");

/** That of a code which the group shares: some variants take no other. */
const SHARED_PROBLEM = [...PROBLEM, "--sharing", "group", "--map", "random"];

/** That of rotated codes, for variants that take no other. */
const ROTATED_PROBLEM = [...PROBLEM, "--score", "rotated", "--centre"];

/** The problem that shows what variants of one kind do, as flags of the main job. */
export function problemOf(variants: readonly string[]): readonly string[] {
  if (variants.every((name) => name.startsWith("prefill/"))) return PROMPT_PROBLEM;
  if (variants.every((name) => findVariant(name).codes === "rotated")) return ROTATED_PROBLEM;
  return variants.every((name) => name.endsWith("_group")) ? SHARED_PROBLEM : PROBLEM;
}

/** Who runs a kernel. */
export interface KernelUsers {
  /** Names of the variants. */
  readonly variants: string[];
  /** Their dispatches of the kernel. */
  readonly dispatches: Dispatch[];
}

/** The users of each kernel on this device, by the kernel's name. */
export async function kernelUsers(): Promise<Map<string, KernelUsers>> {
  const { device, features, limits } = await openTestDevice();
  device.destroy();
  const users = new Map<string, KernelUsers>();
  for (const variant of EVERY_VARIANT) {
    const { problem } = casesOf(parseCaseOptions(problemOf([variant.name])))[0];
    if (eligible({ features, limits }, problem, [variant]).able.length === 0) continue;
    for (const handOver of ["barrier", "dispatch"] as const) {
      const params = variant.defaults(problem, { ...limits, handOver });
      for (const dispatch of variant.plan(problem, params).dispatches) {
        const { name } = dispatch.kernel;
        const known = users.get(name) ?? { variants: [], dispatches: [] };
        users.set(name, known);
        if (!known.variants.includes(variant.name)) known.variants.push(variant.name);
        known.dispatches.push(dispatch);
      }
    }
  }
  return users;
}
