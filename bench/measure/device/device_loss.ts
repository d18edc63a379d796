/** Lost devices: noticed whatever a piece of work waits for, and never taken for its result. */
import { SystemError } from "../../base/system_error.ts";
import { UsageError } from "../../base/usage_error.ts";

/** A device that does no more work; what it was doing says nothing about a kernel. */
export class DeviceLostError extends SystemError {
  /** Name of the error class. */
  override readonly name = "DeviceLostError";

  /** Says `why` in the driver's words, unless they say no more than this. */
  constructor(why: string) {
    const told = why.trim().replace(/\.$/, "");
    const more = /^(|(destroyed )?(the )?device (was|is) lost)$/i.test(told) ? "" : ` (${told})`;
    super(`The GPU device was lost${more}.`);
  }
}

/** Watches over the work on one device. */
export interface DeviceGuard {
  /**
   * What `work` gives. Work that a lost device leaves waiting for ever, or that fails because of
   * it, ends in a {@linkcode DeviceLostError}.
   */
  run<T>(work: () => Promise<T>): Promise<T>;
  /** @throws {DeviceLostError} unless the device still does what it is told. */
  check(): Promise<void>;
}

/** Milliseconds that a device may take for a copy of some bytes, behind all that it has to do. */
const ANSWER_MS = 30_000;

/** Milliseconds after a failure in which its device may be told to be lost. */
const LOSS_MS = 200;

/** The guard of a device. */
export function guardDevice(device: GPUDevice): DeviceGuard {
  const loss = device.lost.then(({ message }): never => {
    throw new DeviceLostError(message);
  });
  // Whoever runs something hears of it; nobody else has to.
  loss.catch(() => {});

  const check = async () => {
    if (await Promise.race([loss, answers(device)])) return;
    // The loss itself may be told after what failed for it, in better words.
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

/** Whether a device copies some bytes and gives them back. */
async function answers(device: GPUDevice): Promise<boolean> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), ANSWER_MS);
  });
  try {
    return await Promise.race([late, copies(device)]);
  } catch {
    // It is lost; its promise may come later than the failure.
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
