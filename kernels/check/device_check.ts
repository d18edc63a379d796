/**
 * Checks by running kernels whether a device keeps the promises that the fastest kernels rely on. A
 * check can only remove a feature. A feature that passes is used if the device has it and, for a
 * hand-over, if the caller asks for it or {@linkcode readHandOver} recommends it.
 */
import type { DeviceLimits, Dispatch, HandOver, Kernel, Plan } from "../core/variant.ts";
import { defineKernel } from "../core/define.ts";
import { HAND_OVER_CODE, handOverBytes } from "../merge/hand_over.ts";
import { limitsOf } from "../core/device_limits.ts";
import { allocate, CompileError } from "../core/run/program.ts";
import { readBytes, runPlan } from "../core/run/run.ts";
import type { Dialect } from "../core/wgsl/wgsl.ts";
import { type Compiler, compilerOf } from "../core/wgsl/wgsl_compiler.ts";
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

/** The features and limits of a device after its check. */
export interface CheckedDevice {
  /** The features that kernels may use: those of the device, except the ones that failed. */
  readonly features: ReadonlySet<string>;
  /**
   * Its limits for a {@linkcode Variant}. `handOver` is the one that was checked, or `dispatch` if
   * the check failed. `subgroupMinSize` is left out together with the feature.
   */
  readonly limits: DeviceLimits;
  /** One sentence for each feature that was removed. */
  readonly notes: readonly string[];
}

/** Compilers and backends whose generated code was read: `storageBarrier()` orders all memory. */
const READ: readonly { readonly compiler: Compiler; readonly backend: string }[] = [
  // naga's OpControlBarrier and OpMemoryBarrier have the scope Device.
  { compiler: "naga", backend: "vulkan" },
];

/**
 * The fastest hand-over that is known to be ordered: `barrier` if the compiler's output for the
 * backend was read, else `dispatch`.
 *
 * @param compiler The device's compiler, from {@linkcode compilerOf}.
 * @param backend `vulkan`, `metal`, `dx12` or `gl`. A device does not report its backend, but the
 * engine chose it or knows its runtime. Any other name gives `dispatch`.
 * @returns A hand-over for {@linkcode checkDevice} and {@linkcode createDecoder}.
 */
export function readHandOver(compiler: Compiler, backend: string): HandOver {
  const known = READ.some((each) => each.compiler === compiler && each.backend === backend);
  return known ? "barrier" : "dispatch";
}

const checked = new WeakMap<GPUDevice, Map<string, Promise<CheckedDevice>>>();

/**
 * Checks that subgroups of a device are consecutive threads of the reported sizes and, for a
 * hand-over within a dispatch, that partials arrive. The result is kept for each device, hand-over
 * and dialect.
 *
 * {@linkcode createDecoder} calls it. An engine may call it earlier to know the result, or to run
 * variants without a decoder. A later decoder with the same hand-over and dialect reuses the
 * result.
 *
 * @param handOver The hand-over to check; `dispatch` needs no check.
 * @param dialect The WGSL dialect of the device's compiler (default: found out on the device).
 * @returns The features and limits that kernels may rely on. A check never adds one.
 * @throws {CompileError} if a check does not compile in the given dialect.
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
      // Only kernels of subgroups ask for it.
      ...(features.has("subgroups") ? { compiler: await compilerOf(device) } : {}),
      handOver: handOverFault ? "dispatch" : handOver,
    },
    notes,
  };
}

/**
 * The result of `find`. If the compiler refuses the check in its own dialect, that is a fault of
 * the device. In a dialect that the caller gave, it is the caller's mistake, and the error is
 * thrown.
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

/** A fault of a device's subgroups; undefined if none was found. */
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
    for (let i = 0; i < 2 * workgroup; i++) {
      const fault = subgroupFaultOf(words.subarray(4 * i, 4 * i + 4), i % workgroup, reportedMin);
      if (fault) return fault;
    }
  }
}

/**
 * The fault in the values that one thread of `check/subgroups` found: subgroup size, its number in
 * the subgroup, the subgroup's first thread, its neighbour. Undefined if they are right.
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

/** A fault of a hand-over by a kernel; undefined if every partial arrived. */
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

/** Runs dispatches one after the other over new buffers, and reads one of the buffers. */
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
