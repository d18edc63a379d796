/** The source of a prepared variant's inputs. */
import type { KnownReferences } from "../../../kernels/verify/verify.ts";
import type { BufferSpec, DeviceLimits } from "../../../kernels/core/variant.ts";
import type { Params } from "../../../kernels/core/problem/constants.ts";
import type { Problem } from "../../../kernels/core/problem/problem.ts";

/**
 * Input buffers of one problem on one device. The benchmark hashes them on the device or takes them
 * from a trace; tests make them on the CPU.
 */
export interface InputSource {
  readonly device: GPUDevice;
  readonly problem: Problem;
  readonly settings: {
    readonly limits: DeviceLimits;
    readonly seed: number;
    readonly unroll: boolean;
    /** Multiply-adds that the reference of a check may spend (default: a second of one core). */
    readonly checkBudget?: number;
  };
  /**
   * The buffer of input `name` in set `set`.
   *
   * @throws {RangeError} if there is no room for it.
   */
  get(name: string, spec: BufferSpec, params: Params, set: number): Promise<GPUBuffer>;
  /**
   * The results of references for the inputs of a set, or of a piece of it, which all variants of
   * that set share.
   */
  known(set: number, piece?: number): KnownReferences;
  /** Frees everything. */
  destroy(): void;
}
