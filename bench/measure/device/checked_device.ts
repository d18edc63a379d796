/** Opens a device and checks which fast paths kernels may take on it. */
import {
  checkDevice,
  type CheckedDevice,
  readHandOver,
} from "../../../kernels/check/device_check.ts";
import { subgroupMatricesOf } from "../../../kernels/core/subgroup_matrices.ts";
import type { HandOver } from "../../../kernels/core/variant.ts";
import { compilerOf, languageFeaturesOf } from "../../../kernels/core/wgsl/wgsl_compiler.ts";
import { type DeviceGuard, DeviceLostError, guardDevice } from "./device_loss.ts";
import { openDevice, type OpenedAdapter } from "./adapter.ts";
import { UsageError } from "../../base/usage_error.ts";

/** Values of `--hand-over`. `auto` is the fastest one whose memory order is guaranteed. */
export const HAND_OVER_CHOICES = ["auto", "dispatch", "atomics", "barrier"] as const;

/** One of {@linkcode HAND_OVER_CHOICES}. */
export type HandOverChoice = typeof HAND_OVER_CHOICES[number];

/** A device and the results of its checks. */
export interface OpenedDevice extends CheckedDevice {
  readonly device: GPUDevice;
  /** Tells the loss of the device from a wrong result. */
  readonly guard: DeviceGuard;
}

/**
 * Opens a device with those of the `wanted` features that it supports, and checks it.
 *
 * @throws {SystemError} in one sentence, if the adapter gives no device or the device is lost.
 * @throws {UsageError} if the device fails the check of the hand-over that `choice` names.
 */
export async function openCheckedDevice(
  { adapter, shaderApi }: OpenedAdapter,
  wanted: readonly string[],
  choice: HandOverChoice = "auto",
): Promise<OpenedDevice> {
  const { device } = await openDevice(adapter, wanted, (error) => {
    // The guard reports a loss.
    if (!(error instanceof DeviceLostError)) reportError(error);
  });
  const guard = guardDevice(device);
  const checked = await guard.run(async () => {
    const handOver: HandOver = choice === "auto"
      ? readHandOver(await compilerOf(device), shaderApi)
      : choice;
    const found = await checkDevice(device, handOver);
    const language = await languageFeaturesOf(device);
    return { ...found, features: new Set([...found.features, ...language]) };
  });
  if (choice !== "auto" && checked.limits.handOver !== choice) {
    throw new UsageError(`--hand-over ${choice}: ${checked.notes.at(-1)}`);
  }
  const subgroupMatrices = subgroupMatricesOf(adapter);
  return { device, guard, ...checked, limits: { ...checked.limits, subgroupMatrices } };
}
