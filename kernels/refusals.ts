/** What every contender refuses alike. */
import type { DeviceLimits } from "./contender.ts";

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
