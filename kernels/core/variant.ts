/**
 * The vocabulary of the suite. A {@linkcode Kernel} is one WGSL file with its bindings and
 * parameters; a {@linkcode Variant} is one way to do a stage: a list of dispatches of kernels
 * over named buffers. Harness, tests, tuner and pages read variants and know nothing else.
 */
import type { Problem } from "./problem.ts";

/** A stage of the decode step, of the prompt phase, or a probe of the device. */
export type Stage =
  | "encode_query"
  | "encode_append"
  | "encode_prompt"
  | "score"
  | "select"
  | "attend"
  | "merge"
  | "pipeline"
  | "dense"
  | "prefill"
  | "probe";

/** Values a `// @param` constant may take: a list, or a range of whole numbers. */
export type ParamRange = readonly number[] | { readonly min: number; readonly max: number };

/** Parameter values by `// @param` name. */
export type Params = Readonly<Record<string, number>>;

/** One `@group(0) @binding(i)` variable; its place in the list is i. */
export interface Binding {
  /** Name of the WGSL variable, and of the buffer bound to it unless the dispatch says otherwise. */
  readonly name: string;
  /** How the WGSL declares it: a storage buffer that is read, or written too, or a uniform one. */
  readonly access: "read" | "read_write" | "uniform";
}

/** One WGSL file. */
export interface Kernel {
  /** `folder/file` under kernels/, without the ending. */
  readonly name: string;
  /** The file's text: valid WGSL as it stands. */
  readonly source: string;
  /** Every variable of bind group 0, in order, as the text declares them. */
  readonly bindings: readonly Binding[];
  /** Valid values of every `// @param` line. */
  readonly params: Readonly<Record<string, ParamRange>>;
  /** Optional device features that the text uses: "subgroups", "shader-f16". */
  readonly features?: readonly string[];
}

/** One dispatch of a kernel. */
export interface Dispatch {
  /** The file that runs. */
  readonly kernel: Kernel;
  /** Values of the kernel's `// @param` constants. */
  readonly params: Params;
  /** Workgroups, sized for capacity; surplus ones leave early. */
  readonly workgroups: readonly [number, number, number];
  /** Buffer names by binding name, where they differ. */
  readonly rename?: Readonly<Record<string, string>>;
}

/** How a variant uses a buffer: reads it, leaves a result in it, or makes and uses it. */
export type BufferRole = "input" | "output" | "scratch";

/**
 * How the workgroups of a list hand their partials to whoever joins them, slowest first: a
 * `dispatch` of its own joins, which is all that WGSL guarantees; the last workgroup to arrive
 * joins, over `atomics`, or over plain memory that a `barrier` orders for the whole device.
 */
export type HandOver = "dispatch" | "atomics" | "barrier";

/** A buffer that a plan needs. */
export interface BufferSpec {
  /** Bytes that the plan needs of it. */
  readonly bytes: number;
  /** What the plan does with it. */
  readonly role: BufferRole;
  /** Kernels bind it as a uniform buffer, not as a storage buffer. */
  readonly uniform?: true;
  /** Bytes that are zero before the first step, as new buffers are, and zero again after each. */
  readonly zeros?: { readonly offset: number; readonly bytes: number };
}

/** A variant made concrete for a problem and parameters. */
export interface Plan {
  /** Every buffer that a dispatch binds, by name. */
  readonly buffers: Readonly<Record<string, BufferSpec>>;
  /** In order; each sees what the ones before it wrote. */
  readonly dispatches: readonly Dispatch[];
}

/** The least memory traffic and arithmetic that a plan needs at the problem's lengths. */
export interface Cost {
  /** Bytes read by streaming, each input once. */
  readonly streamBytes: number;
  /** Bytes of gathered rows, each requested row counted. */
  readonly gatherBytes: number;
  /** Bytes written. */
  readonly writeBytes: number;
  /** Floating-point operations, or popcount operations for scores. */
  readonly flops: number;
}

/** What of an adapter bounds a plan: WebGPU limits, and subgroup sizes where they are known. */
export interface DeviceLimits {
  /** Bytes of a binding. */
  readonly maxStorageBufferBindingSize: number;
  /** Bytes of a buffer. */
  readonly maxBufferSize: number;
  /** Bytes of workgroup memory. */
  readonly maxComputeWorkgroupStorageSize: number;
  /** Threads of a workgroup. */
  readonly maxComputeInvocationsPerWorkgroup: number;
  /** Workgroups of a dispatch along each dimension. */
  readonly maxComputeWorkgroupsPerDimension: number;
  /** Storage buffers that a kernel may bind. */
  readonly maxStorageBuffersPerShaderStage: number;
  /** Bytes of a uniform binding. */
  readonly maxUniformBufferBindingSize: number;
  /** Smallest subgroup size the device may use, absent if it has no subgroups or hides the size. */
  readonly subgroupMinSize?: number;
  /** The fastest hand-over that the device may use; `dispatch`, which every device may, if absent. */
  readonly handOver?: HandOver;
}

/** One way to do a stage. */
export interface Variant {
  /** Unique, `folder/file` of its main kernel. */
  readonly name: string;
  /** What it does. */
  readonly stage: Stage;
  /** One sentence: how it does it. */
  readonly description: string;
  /** Parameters a tuner may turn, and the values worth trying. */
  readonly tunables: Readonly<Record<string, readonly number[]>>;
  /** Device features that it cannot do without. */
  readonly features: readonly string[];
  /** Good parameters for a problem when nothing was tuned. */
  defaults(p: Problem, limits: DeviceLimits): Params;
  /** Why these parameters cannot run this problem on this device; undefined if they can. */
  refuses(p: Problem, params: Params, limits: DeviceLimits): string | undefined;
  /** Buffers and dispatches for a problem with parameters that it does not refuse. */
  plan(p: Problem, params: Params): Plan;
  /** Least traffic and arithmetic of that plan. */
  cost(p: Problem, params: Params): Cost;
}

/** Adds two costs. */
export function addCost(a: Cost, b: Cost): Cost {
  return {
    streamBytes: a.streamBytes + b.streamBytes,
    gatherBytes: a.gatherBytes + b.gatherBytes,
    writeBytes: a.writeBytes + b.writeBytes,
    flops: a.flops + b.flops,
  };
}

/** All bytes that a cost moves. */
export function costBytes(c: Cost): number {
  return c.streamBytes + c.gatherBytes + c.writeBytes;
}
