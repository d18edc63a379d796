/**
 * The vocabulary of the suite. A {@linkcode Kernel} is one WGSL file with its bindings and
 * parameters; a {@linkcode Variant} is one way to do a stage: a list of dispatches of kernels
 * over named buffers. Benchmark, tests, tuner and pages know a kernel only through its variants.
 */
import type { ParamRange, Params } from "./problem/constants.ts";
import type { Problem } from "./problem/problem.ts";
import type { Binding } from "./wgsl/wgsl_facts.ts";
import type { Compiler } from "./wgsl/wgsl_compiler.ts";

/**
 * A stage of the decode step or of the prompt phase, the decode step of another system (`rival`), or
 * a probe of the device.
 */
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
  | "rival"
  | "probe";

/** One WGSL file. */
export interface Kernel {
  /** `folder/file` under kernels/, without the ending. */
  readonly name: string;
  /** The file's text, which is valid WGSL. */
  readonly source: string;
  /** Every variable of bind group 0, in order, as the text declares them. */
  readonly bindings: readonly Binding[];
  /** Valid values of every `// @param` line. */
  readonly params: Readonly<Record<string, ParamRange>>;
  /** Optional device features that the text uses: keys of `FEATURE_EXTENSIONS`. */
  readonly features?: readonly string[];
}

/** One dispatch of a kernel. */
export interface Dispatch {
  /** The file that runs. */
  readonly kernel: Kernel;
  /** Values of the kernel's `// @param` constants. */
  readonly params: Params;
  /** Workgroups for the whole capacity; those past a sequence's length return early. */
  readonly workgroups: readonly [number, number, number];
  /** Tokens of a workgroup along x, if fewer tokens than the capacity can do with fewer workgroups. */
  readonly tokens?: number;
  /** Buffer names by binding name, where they differ. */
  readonly rename?: Readonly<Record<string, string>>;
  /** The parts that it binds, by buffer name, of buffers that it does not bind as a whole. */
  readonly places?: Readonly<Record<string, BufferPart>>;
}

/** A part of a buffer. */
export interface BufferPart {
  /** Where it begins, in bytes: a multiple of 256. */
  readonly offset: number;
  /** Its bytes. */
  readonly bytes: number;
}

/** How a variant uses a buffer: as an input, as a result, or as memory of its own. */
export type BufferRole = "input" | "output" | "scratch";

/**
 * How the workgroups of a list hand over their partials, slowest first. With `dispatch` a dispatch
 * of its own joins the partials, which is all that WGSL guarantees. Otherwise the last workgroup to
 * arrive joins them: with `atomics` they are passed in atomics, and with `barrier` in plain memory
 * that storageBarrier() must order for the whole device.
 */
export type HandOver = "dispatch" | "atomics" | "barrier";

/** A buffer that a plan needs. */
export interface BufferSpec {
  /** Bytes that the plan needs of it. */
  readonly bytes: number;
  /** How the plan uses it. */
  readonly role: BufferRole;
  /** Kernels bind it as a uniform buffer, not as a storage buffer. */
  readonly uniform?: true;
  /**
   * Bytes that must be zero before every step; each step leaves them at zero again. With `every`
   * there are more of them, from so many bytes to the next.
   */
  readonly zeros?: { readonly offset: number; readonly bytes: number; readonly every?: number };
  /** The most bytes that a dispatch binds (default: all). */
  readonly bound?: number;
}

/** The buffers and dispatches of a variant for one problem and parameters. */
export interface Plan {
  /** Every buffer that a dispatch binds, by name. */
  readonly buffers: Readonly<Record<string, BufferSpec>>;
  /** The dispatches in order. Each sees the results of the earlier ones. */
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
  /** Floating-point operations. */
  readonly flops: number;
  /** Popcounts of words (default 0). */
  readonly popcounts?: number;
  /** The operations are of matrix units. */
  readonly onMatrices?: true;
}

/** A product that matrix units compute: M x K times K x N. */
export interface SubgroupMatrices {
  /** Type of the factors' elements, such as `f16`. */
  readonly componentType: string;
  /** Type of the sums. */
  readonly resultComponentType: string;
  /** Rows of the left factor and of the result. */
  readonly M: number;
  /** Columns of the right factor and of the result. */
  readonly N: number;
  /** Columns of the left factor, rows of the right one. */
  readonly K: number;
}

/** The properties of a device that bound a plan: WebGPU limits, subgroup size and hand-over. */
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
  /** Smallest subgroup size of the device; absent if it has no subgroups or hides the size. */
  readonly subgroupMinSize?: number;
  /** The products that its matrix units compute, of subgroups of 32 threads (default: none). */
  readonly subgroupMatrices?: readonly SubgroupMatrices[];
  /** The compiler of WGSL, which decides between texts that compute the same. */
  readonly compiler?: Compiler;
  /** The fastest hand-over that may be used (default `dispatch`, which works on every device). */
  readonly handOver?: HandOver;
}

/** How exact the output of a variant is that does not compute in f32 throughout. */
export interface Precision {
  /** Queries are rounded to f16, and the output is compared with that of the rounded queries. */
  readonly halfQueries: boolean;
  /** Largest relative L2 error of a row. The kernel's header derives it. */
  readonly maxRelL2: number;
}

/** One way to do a stage. */
export interface Variant {
  /** Unique, `folder/file` of its main kernel. */
  readonly name: string;
  /** The stage that it computes. */
  readonly stage: Stage;
  /** How it computes the stage, in one sentence. */
  readonly description: string;
  /** Parameters that a tuner may change, and the values that it tries. */
  readonly tunables: Readonly<Record<string, readonly number[]>>;
  /** Device features that it needs. */
  readonly features: readonly string[];
  /** The only kind of codes that it makes or compares; absent if it needs no code. */
  readonly codes?: "map" | "rotated";
  /** Whether rows of K and V may have different lengths (default: they may not). */
  readonly unequalRows?: true;
  /**
   * Whether it takes sequences that share a prefix: also such ones, or no others (default: it takes
   * none).
   */
  readonly sharedPrefix?: "also" | "only";
  /** How exact its output is (default: that of f32 arithmetic). */
  readonly precision?: Precision;
  /** Good parameters for a problem without tuning; those of a piece, if it runs in pieces. */
  defaults(p: Problem, limits: DeviceLimits): Params;
  /** The reason that this problem cannot run with these parameters and limits, if there is one. */
  refuses(p: Problem, params: Params, limits: DeviceLimits): string | undefined;
  /**
   * Buffers and dispatches for a problem with parameters that it does not refuse. It knows of no
   * limits: `planOn` gives the plan of a problem that needs pieces on a device.
   */
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
    popcounts: (a.popcounts ?? 0) + (b.popcounts ?? 0),
  };
}

/** All operations of a cost. */
export function costOperations({ flops, popcounts = 0 }: Cost): number {
  return flops + popcounts;
}

/** All bytes that a cost moves. */
export function costBytes(c: Cost): number {
  return c.streamBytes + c.gatherBytes + c.writeBytes;
}

/** Reads bytes of a named buffer. */
export type ReadBytes = (
  name: string,
  byteOffset: number,
  byteLength: number,
) => Promise<Uint8Array>;
