/** What every contender refuses alike. */
import type { DeviceLimits, Kernel } from "./contender.ts";

/** Why a device cannot run workgroups of this size; undefined if it can. */
export function refusesWorkgroup(
  threads: number,
  workgroupBytes: number,
  limits: DeviceLimits,
): string | undefined {
  const { maxComputeInvocationsPerWorkgroup: mostThreads } = limits;
  const { maxComputeWorkgroupStorageSize: mostBytes } = limits;
  if (threads > mostThreads) return `${threads} threads exceed this device's ${mostThreads}`;
  if (workgroupBytes > mostBytes) {
    return `${workgroupBytes} bytes of workgroup memory exceed this device's ${mostBytes}`;
  }
}

/** Why a device cannot bind a kernel's buffers; undefined if it can. */
export function refusesBindings({ bindings }: Kernel, limits: DeviceLimits): string | undefined {
  const most = limits.maxStorageBuffersPerShaderStage;
  if (bindings.length > most) {
    return `it binds ${bindings.length} buffers, this device allows ${most}`;
  }
}
