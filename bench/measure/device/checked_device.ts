/**
 * Opens a device and finds out what kernels may rely on, so that no result rests on a wrong
 * assumption.
 */
import {
  checkDevice,
  type CheckedDevice,
  readHandOver,
} from "../../../kernels/check/device_check.ts";
import type { HandOver } from "../../../kernels/core/variant.ts";
import { compilerOf } from "../../../kernels/core/wgsl_compiler.ts";
import { type DeviceGuard, DeviceLostError, guardDevice } from "./device_loss.ts";
import { openDevice, type OpenedAdapter } from "./adapter.ts";
import { UsageError } from "../../base/usage_error.ts";

/** Values of `--hand-over`: `auto` is the fastest that is known to be ordered. */
export const HAND_OVER_CHOICES = ["auto", "dispatch", "atomics", "barrier"] as const;

/** How partials are to be handed over. */
export type HandOverChoice = typeof HAND_OVER_CHOICES[number];

/** A device and what was found out about it. */
export interface OpenedDevice extends CheckedDevice {
  readonly device: GPUDevice;
  /** Tells a loss of the device from what work on it found. */
  readonly guard: DeviceGuard;
}

/**
 * Opens a device with those of the `wanted` features that it has, and checks it.
 *
 * @throws {SystemError} in one sentence, if the adapter gives no device or it is lost.
 * @throws {UsageError} where the device fails the check of a hand-over that was asked for by name.
 */
export async function openCheckedDevice(
  { adapter, shaderApi }: OpenedAdapter,
  wanted: readonly string[],
  choice: HandOverChoice = "auto",
): Promise<OpenedDevice> {
  const { device } = await openDevice(adapter, wanted, (error) => {
    // The guard tells of a loss to whoever runs something.
    if (!(error instanceof DeviceLostError)) reportError(error);
  });
  const guard = guardDevice(device);
  const checked = await guard.run(async () => {
    const handOver: HandOver = choice === "auto"
      ? readHandOver(await compilerOf(device), shaderApi)
      : choice;
    return await checkDevice(device, handOver);
  });
  if (choice !== "auto" && checked.limits.handOver !== choice) {
    throw new UsageError(`--hand-over ${choice}: ${checked.notes.at(-1)}`);
  }
  return { device, guard, ...checked };
}
