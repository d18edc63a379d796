/**
 * Finds out what of a device the fastest kernels may rely on, by trying it. A check can only take
 * something away: what it finds no fault with is used where the device's limits and the caller, or
 * {@linkcode readHandOver}, say so. Web APIs only.
 */
import type { DeviceLimits, Dispatch, HandOver, Kernel, Plan } from "../core/variant.ts";
import { defineKernel } from "../core/define.ts";
import { HAND_OVER_CODE, handOverBytes } from "../merge/hand_over.ts";
import { limitsOf } from "../core/device_limits.ts";
import { allocate, CompileError } from "../core/program.ts";
import { readBytes, runPlan } from "../core/run.ts";
import type { Dialect } from "../core/wgsl.ts";
import type { Compiler } from "../core/wgsl_compiler.ts";
import handOverSource from "./hand_over.wgsl" with { type: "text" };
import subgroupsSource from "./subgroups.wgsl" with { type: "text" };

/** `subgroups.wgsl`. */
export const subgroupsKernel: Kernel = defineKernel({
  name: "check/subgroups",
  source: subgroupsSource,
  params: { WORKGROUP: [64, 128, 256] },
  features: ["subgroups"],
});

/** `hand_over.wgsl`. */
export const handOverKernel: Kernel = defineKernel({
  name: "check/hand_over",
  source: handOverSource,
  params: {
    SPLITS: { min: 2, max: 64 },
    LISTS: { min: 1, max: 1024 },
    WORKGROUP: [64],
    HAND_OVER: [HAND_OVER_CODE.barrier, HAND_OVER_CODE.atomics],
  },
});

/** The kernels of this folder. */
export const CHECK_KERNELS: readonly Kernel[] = [subgroupsKernel, handOverKernel];

/** A device as it turned out to be. */
export interface CheckedDevice {
  /** The features that kernels may use: those of the device, less what does not hold. */
  readonly features: ReadonlySet<string>;
  /**
   * Its limits for a {@linkcode Variant}. `handOver` is the one that was checked, or `dispatch`
   * where that failed; `subgroupMinSize` is left out with the feature.
   */
  readonly limits: DeviceLimits;
  /** A sentence for whatever was taken away; none where nothing was. */
  readonly notes: readonly string[];
}

/** A compiler and a backend whose machine code was read: `storageBarrier()` orders all memory. */
const READ: readonly { readonly compiler: Compiler; readonly backend: string }[] = [
  // naga's OpControlBarrier and OpMemoryBarrier have the scope Device.
  { compiler: "naga", backend: "vulkan" },
];

/**
 * The fastest hand-over that is known to be ordered: `barrier` where the compiler's output for the
 * backend was read, else `dispatch`.
 *
 * @param compiler What {@linkcode compilerOf} says of the device.
 * @param backend `vulkan`, `metal`, `dx12` or `gl`. A device does not tell: only the engine, which
 * chose it or knows its runtime, can. Any other name gets `dispatch`.
 * @returns A hand-over to check by {@linkcode checkDevice} and to give {@linkcode createDecoder}.
 */
export function readHandOver(compiler: Compiler, backend: string): HandOver {
  const known = READ.some((each) => each.compiler === compiler && each.backend === backend);
  return known ? "barrier" : "dispatch";
}

const checked = new WeakMap<GPUDevice, Map<string, Promise<CheckedDevice>>>();

/**
 * Checks a device: that subgroups are consecutive threads of the sizes that it reports, and, for a
 * hand-over within a dispatch, that partials arrive. Each device is checked once for each hand-over
 * and dialect.
 *
 * {@linkcode createDecoder} does so itself. An engine that wants to know beforehand, or that runs
 * variants without a decoder, calls it; a decoder of the same hand-over and dialect then finds
 * the device checked.
 *
 * @param handOver The hand-over to try; `dispatch` needs no trial.
 * @param dialect The WGSL that the device's compiler takes (default: the device is asked).
 * @returns What kernels may rely on, which is never more than the device and the caller said.
 * @throws {CompileError} where a check does not compile in the dialect that was given.
 */
export function checkDevice(
  device: GPUDevice,
  handOver: HandOver,
  dialect?: Dialect,
): Promise<CheckedDevice> {
  const known = checked.get(device) ?? new Map<string, Promise<CheckedDevice>>();
  checked.set(device, known);
  const key = JSON.stringify([handOver, dialect && [...dialect.enables].sort()]);
  let found = known.get(key);
  if (!found) {
    found = check(device, handOver, dialect);
    known.set(key, found);
    found.catch(() => known.delete(key));
  }
  return found;
}

async function check(
  device: GPUDevice,
  handOver: HandOver,
  dialect: Dialect | undefined,
): Promise<CheckedDevice> {
  const features = new Set<string>(device.features);
  const { subgroupMinSize, ...limits } = limitsOf(device);
  const notes: string[] = [];
  const subgroupFault = features.has("subgroups")
    ? await orCompileFault(dialect, () => findSubgroupFault(device, subgroupMinSize, dialect))
    : undefined;
  if (subgroupFault) {
    features.delete("subgroups");
    notes.push(`Kernels with subgroups are left out: ${subgroupFault}.`);
  }
  const handOverFault = handOver === "dispatch" ? undefined : await orCompileFault(
    dialect,
    () => findHandOverFault(device, handOver, handOverKernel, dialect),
  );
  if (handOverFault) {
    notes.push(`A dispatch of its own merges partials on this device: ${handOverFault}.`);
  }
  return {
    features,
    limits: {
      ...limits,
      ...(subgroupFault || !subgroupMinSize ? {} : { subgroupMinSize }),
      handOver: handOverFault ? "dispatch" : handOver,
    },
    notes,
  };
}

/**
 * What `find` found; a compiler that refuses the check in its own dialect is a fault of the device.
 * In a dialect that the caller gave it is the caller's mistake, and is thrown.
 */
async function orCompileFault(
  dialect: Dialect | undefined,
  find: () => Promise<string | undefined>,
): Promise<string | undefined> {
  try {
    return await find();
  } catch (error) {
    if (dialect !== undefined || !(error instanceof CompileError)) throw error;
    return error.message.split("\n")[0];
  }
}

/** What is wrong with a device's subgroups; undefined if nothing was found. */
async function findSubgroupFault(
  device: GPUDevice,
  reportedMin: number | undefined,
  dialect: Dialect | undefined,
): Promise<string | undefined> {
  for (const workgroup of [64, 256]) {
    const dispatch: Dispatch = {
      kernel: subgroupsKernel,
      params: { WORKGROUP: workgroup },
      workgroups: [2, 1, 1],
    };
    const bytes = 16 * 2 * workgroup;
    const buffers = { found: bytes };
    const words = await runAndRead(device, [dispatch], buffers, "found", bytes, dialect);
    for (let at = 0; at < 2 * workgroup; at++) {
      const fault = subgroupFaultOf(
        words.subarray(4 * at, 4 * at + 4),
        at % workgroup,
        reportedMin,
      );
      if (fault) return fault;
    }
  }
}

/**
 * What is wrong with what one thread of `check/subgroups` found: size, number in the subgroup, the
 * subgroup's first thread, neighbour.
 */
export function subgroupFaultOf(
  [size, lane, first, neighbour]: Uint32Array,
  thread: number,
  reportedMin: number | undefined,
): string | undefined {
  if (reportedMin !== undefined && size < reportedMin) {
    return `a subgroup has ${threadsText(size)}, the device reports at least ${reportedMin}`;
  }
  if (size < 4 || (size & (size - 1)) !== 0) return `a subgroup has ${threadsText(size)}`;
  if (lane !== thread % size || first !== thread - lane) {
    return `thread ${thread} is number ${lane} of a subgroup of ${size} that thread ${first} begins`;
  }
  if (neighbour !== (thread ^ 1)) {
    return `a shuffle gives thread ${thread} the value of ${neighbour} instead of ${thread ^ 1}`;
  }
}

function threadsText(threads: number): string {
  return threads === 1 ? "1 thread" : `${threads} threads`;
}

const LISTS = 64;
const SPLITS = 8;
const WORKGROUP = 64;
const TURNS = 64;

/** What is wrong with a hand-over by a kernel; undefined if every partial arrived. */
export async function findHandOverFault(
  device: GPUDevice,
  handOver: HandOver,
  kernel: Kernel = handOverKernel,
  dialect?: Dialect,
): Promise<string | undefined> {
  const params = { SPLITS, LISTS, WORKGROUP, HAND_OVER: HAND_OVER_CODE[handOver] };
  const dispatch: Dispatch = { kernel, params, workgroups: [SPLITS, LISTS, 1] };
  const buffers = {
    hand_over: handOverBytes(LISTS, SPLITS * (WORKGROUP + 1)),
    findings: 8 + 4 * LISTS,
  };
  const dispatches = Array.from({ length: TURNS }, () => dispatch);
  const [wrong, handOvers] = await runAndRead(
    device,
    dispatches,
    buffers,
    "findings",
    8,
    dialect,
  );
  const all = TURNS * LISTS;
  if (handOvers !== all) return `${handOvers} of ${all} hand-overs by ${handOver} took place`;
  if (wrong > 0) {
    const partials = wrong === 1 ? "1 partial" : `${wrong} partials`;
    return `${partials} did not arrive in ${all} hand-overs by ${handOver}`;
  }
}

/** Runs dispatches one after the other over new buffers and reads one of these. */
async function runAndRead(
  device: GPUDevice,
  dispatches: readonly Dispatch[],
  bytesOf: Readonly<Record<string, number>>,
  name: string,
  bytes: number,
  dialect: Dialect | undefined,
): Promise<Uint32Array> {
  const plan: Plan = {
    buffers: Object.fromEntries(
      Object.entries(bytesOf).map(([each, size]) => [each, { bytes: size, role: "scratch" }]),
    ),
    dispatches,
  };
  const buffers = allocate(device, plan.buffers);
  try {
    await runPlan(device, plan, buffers, { dialect, unroll: false });
    return new Uint32Array((await readBytes(device, buffers[name], 0, bytes)).buffer);
  } finally {
    for (const buffer of Object.values(buffers)) buffer.destroy();
  }
}
