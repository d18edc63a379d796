/** The implementations of WebGPU that a run may choose. */
import type { LimitChoice } from "./gpu_limits.ts";

/** An implementation of WebGPU. */
export interface GpuChoice {
  /** Deno's own, or Dawn, which is Chrome's. */
  readonly gpu: "wgpu" | "dawn";
  /** Names of {@linkcode DAWN_TOGGLES} to turn on. */
  readonly toggles: readonly string[];
  readonly limits: LimitChoice;
}

/** Deno's own WebGPU. */
export const WGPU: GpuChoice = { gpu: "wgpu", toggles: [], limits: "adapter" };

/** Toggles of Dawn. It ignores names that it does not know, so a run takes only these. */
export const DAWN_TOGGLES = [
  "disable_robustness",
  "allow_unsafe_apis",
  "vulkan_enable_f16_on_nvidia",
] as const;
