/** Notices a lost device, whatever work is pending, and never takes the loss for a wrong result. */
import { SystemError } from "../../base/system_error.ts";
import { UsageError } from "../../base/usage_error.ts";

/** The device does no more work. The outputs of its pending work say nothing about a kernel. */
export class DeviceLostError extends SystemError {
  /** Name of the error class. */
  override readonly name = "DeviceLostError";

  /** Quotes the driver's `message`, unless it only repeats that the device is lost. */
  constructor(message: string) {
    const reason = message.trim().replace(/\.$/, "");
    const isEmpty = /^(|(destroyed )?(the )?device (was|is) lost)$/i.test(reason);
    super(`The GPU device was lost${isEmpty ? "" : ` (${reason})`}.`);
  }
}

/** Watches over the work on one device. */
export interface DeviceGuard {
  /**
   * Runs `work` and returns its result. If the device is lost, work that waits for ever or fails
   * ends in a {@linkcode DeviceLostError}.
   */
  run<T>(work: () => Promise<T>): Promise<T>;
  /** @throws {DeviceLostError} unless the device still carries out a copy correctly. */
  check(): Promise<void>;
}

/** Time limit for the copy of a few bytes, which waits for all pending work, in milliseconds. */
const ANSWER_MS = 30_000;

/** Time within which the browser or driver may report a loss after the failure, in milliseconds. */
const LOSS_MS = 200;

/** The guard of a device. */
export function guardDevice(device: GPUDevice): DeviceGuard {
  const loss = device.lost.then(({ message }): never => {
    throw new DeviceLostError(message);
  });
  // `run` and `check` report the loss. Without this a loss between them would be an unhandled
  // error.
  loss.catch(() => {});

  const check = async () => {
    if (await Promise.race([loss, answers(device)])) return;
    // The report of the loss may come after the failure, and it gives a better reason.
    await Promise.race([loss, new Promise((resolve) => setTimeout(resolve, LOSS_MS))]);
    throw new DeviceLostError("it does not answer");
  };
  return {
    check,
    async run(work) {
      try {
        return await Promise.race([loss, work()]);
      } catch (error) {
        if (error instanceof SystemError || error instanceof UsageError) throw error;
        await check();
        throw error;
      }
    },
  };
}

/** Whether a device copies a few bytes and returns them unchanged. */
async function answers(device: GPUDevice): Promise<boolean> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), ANSWER_MS);
  });
  try {
    return await Promise.race([late, copies(device)]);
  } catch {
    // The device is lost. Its `lost` promise may resolve later than this failure.
    return false;
  } finally {
    clearTimeout(timer);
  }
}

async function copies(device: GPUDevice): Promise<boolean> {
  const sent = Uint32Array.of(0x600d_c0de, 0x1234_5678);
  const size = sent.byteLength;
  const { COPY_DST, COPY_SRC, MAP_READ } = GPUBufferUsage;
  const from = device.createBuffer({ size, usage: COPY_SRC | COPY_DST });
  const to = device.createBuffer({ size, usage: MAP_READ | COPY_DST });
  try {
    device.queue.writeBuffer(from, 0, sent);
    const encoder = device.createCommandEncoder();
    encoder.copyBufferToBuffer(from, 0, to, 0, size);
    device.queue.submit([encoder.finish()]);
    await to.mapAsync(GPUMapMode.READ);
    const got = new Uint32Array(to.getMappedRange());
    return sent.every((word, i) => got[i] === word);
  } finally {
    from.destroy();
    to.destroy();
  }
}
