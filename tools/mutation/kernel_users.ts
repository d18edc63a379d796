/** The variants that run a kernel, and problems that show what they do. */
import { casesOf } from "../../bench/cases/cases.ts";
import { parseCaseOptions } from "../../bench/flags/case_flags.ts";
import { eligible } from "../../bench/measure/session.ts";
import { EVERY_VARIANT, findVariant } from "../../kernels/core/registry.ts";
import type { Dispatch } from "../../kernels/core/variant.ts";
import { languageFeaturesOf } from "../../kernels/core/wgsl/wgsl_compiler.ts";
import { openTestDevice } from "../../testing/device/test_device.ts";

/** The main job's problem: long enough for several blocks and runs, so that it runs every kernel. */
const PROBLEM = ["--shape", "4x1x64", "--kv", "5000"];

/** That of a prompt's attention, which a software adapter would be at for minutes. */
const PROMPT_PROBLEM = PROBLEM.with(3, "700");

/** That of a code which the group shares: some variants take no other. */
const SHARED_PROBLEM = [...PROBLEM, "--sharing", "group", "--map", "random"];

/** That of rotated codes, for variants that take no other. */
const ROTATED_PROBLEM = [...PROBLEM, "--score", "rotated", "--centre"];

/** Requests of variants for sequences that share a prefix. */
const REQUESTS = { prefix: 4992, requests: [2], tail: 16 };

/** That of these variants. */
const PREFIX_PROBLEM = ["--shape", "4x1x64", "--prefix", "4992", "--requests", "2", "--tail", "16"];

/** That of NSA's scores, which have a dispatch of their own for large groups. */
const GROUP_PROBLEM = ["--shape", "64x1x64", "--kv", "9000"];

/** That of NSA's compressed row, which every 16th token completes. */
const SIXTEENTHS_PROBLEM = PROBLEM.with(3, "4992");

/** That of kernels which variants run for sequences of unequal length alone. */
const RAGGED_PROBLEM = ["--shape", "4x1x64", "--lengths", "5000,700"];

/**
 * The problem that shows what variants of one kind do with a kernel, as flags of the main job.
 * Without a kernel, it is that of most of their kernels.
 */
export function problemOf(variants: readonly string[], kernel = ""): readonly string[] {
  if (kernel.endsWith("_ragged")) return RAGGED_PROBLEM;
  if (kernel === "score/nsa_blocks") return GROUP_PROBLEM;
  if (variants.every((name) => name.startsWith("prefill/"))) return PROMPT_PROBLEM;
  if (variants.every((name) => name === "encode/nsa_compress")) return SIXTEENTHS_PROBLEM;
  if (variants.every((name) => findVariant(name).sharedPrefix === "only")) return PREFIX_PROBLEM;
  if (variants.every((name) => findVariant(name).codes === "rotated")) return ROTATED_PROBLEM;
  return variants.every((name) => name.endsWith("_group")) ? SHARED_PROBLEM : PROBLEM;
}

/** Who runs a kernel. */
export interface KernelUsers {
  /** Names of the variants. */
  readonly variants: string[];
  /** Those of them that tests emulate, since the device lacks a feature. */
  readonly emulated: string[];
  /** Their dispatches of the kernel. */
  readonly dispatches: Dispatch[];
}

/** The users of each kernel on this device, by the kernel's name. */
export async function kernelUsers(): Promise<Map<string, KernelUsers>> {
  const { device, features, limits } = await openTestDevice();
  const own: ReadonlySet<string> = new Set([
    ...device.features,
    ...await languageFeaturesOf(device),
  ]);
  device.destroy();
  const users = new Map<string, KernelUsers>();
  for (const variant of EVERY_VARIANT) {
    const isEmulated = !variant.features.every((name) => own.has(name));
    const caseOf = (kernel?: string) => {
      // Only the main job has flags for requests that share a prefix.
      const options = variant.sharedPrefix === "only"
        ? { ...parseCaseOptions(ROTATED_PROBLEM.slice(0, -1)), shared: REQUESTS }
        : parseCaseOptions(problemOf([variant.name], kernel));
      return casesOf(options)[0].problem;
    };
    const single = caseOf();
    const problems = [single, { ...single, batch: 2, ragged: true }];
    if (variant.name === "pipeline/nsa") problems.push(caseOf("score/nsa_blocks"));
    for (const problem of problems) {
      if (eligible({ features, limits }, problem, [variant]).able.length === 0) continue;
      for (const handOver of ["barrier", "dispatch"] as const) {
        const params = variant.defaults(problem, { ...limits, handOver });
        for (const dispatch of variant.plan(problem, params).dispatches) {
          const { name } = dispatch.kernel;
          const known = users.get(name) ?? { variants: [], emulated: [], dispatches: [] };
          users.set(name, known);
          if (!known.variants.includes(variant.name)) known.variants.push(variant.name);
          if (isEmulated && !known.emulated.includes(variant.name)) {
            known.emulated.push(variant.name);
          }
          known.dispatches.push(dispatch);
        }
      }
    }
  }
  return users;
}
