/**
 * The GPU's clock: compute passes with begin and end stamps, read back all at once, in calibrated
 * nanoseconds. WebGPU stamps are raw ticks in Deno (1 ns on NVIDIA, 10 to 83 ns elsewhere) and no
 * period is exposed, so it is measured against `performance.now()`. Web APIs only.
 */

/** Most stamped passes of one batch: WebGPU allows 4,096 queries in a set. */
export const MAX_PASSES = 2048;

const QUERY_RESOLVE = 0x200; // GPUBufferUsage
const COPY_SRC = 0x4;
const COPY_DST = 0x8;
const MAP_READ = 0x1;

/** Records into a compute pass. */
export type Record = (pass: GPUComputePassEncoder) => void;

/** Times compute passes on one device. */
export interface GpuTimer {
  readonly kind: "timestamp" | "wall";
  /** Nanoseconds of a tick; null for wall time. */
  readonly nsPerTick: number | null;
  /**
   * Runs `before` untimed, then each of `passes` as a timed pass, in one submission.
   *
   * @returns microseconds of each pass; NaN where the device gave a nonsensical pair of stamps.
   */
  time(passes: readonly Record[], before?: readonly Record[]): Promise<Float64Array>;
}

function encode(
  device: GPUDevice,
  record: Record,
  timestampWrites?: GPUComputePassTimestampWrites,
) {
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass({ ...(timestampWrites ? { timestampWrites } : {}) });
  record(pass);
  pass.end();
  return encoder.finish();
}

/**
 * Waits until the GPU is idle; returns the time at which it was known to be. In Deno the call itself
 * blocks until then and only the await is late (10 ms of sleep), in browsers the await is what waits.
 */
async function idleAtMs(device: GPUDevice): Promise<number> {
  const done = device.queue.onSubmittedWorkDone();
  const afterCall = performance.now();
  await done;
  return "Deno" in globalThis ? afterCall : performance.now();
}

/** A timer by timestamps where the device has them, else by wall time. */
export async function createTimer(device: GPUDevice, calibrateMs = 1000): Promise<GpuTimer> {
  if (!device.features.has("timestamp-query")) return wallTimer(device);
  const stamps = stampReader(device);
  const nsPerTick = await calibrate(device, stamps, calibrateMs);
  return {
    kind: "timestamp",
    nsPerTick,
    async time(passes, before = []) {
      const pairs = await stamps(passes, before);
      return Float64Array.from(passes, (_, i) => {
        const ticks = Number(pairs[2 * i + 1] - pairs[2 * i]);
        return pairs[2 * i + 1] > pairs[2 * i] ? ticks * nsPerTick / 1000 : NaN;
      });
    },
  };
}

type StampReader = (
  passes: readonly Record[],
  before: readonly Record[],
) => Promise<BigUint64Array>;

function stampReader(device: GPUDevice): StampReader {
  const querySet = device.createQuerySet({ type: "timestamp", count: 2 * MAX_PASSES });
  const bytes = 16 * MAX_PASSES;
  const resolved = device.createBuffer({ size: bytes, usage: QUERY_RESOLVE | COPY_SRC });
  const readable = device.createBuffer({ size: bytes, usage: COPY_DST | MAP_READ });
  return async (passes, before) => {
    if (passes.length > MAX_PASSES) {
      throw new RangeError(`${passes.length} timed passes exceed ${MAX_PASSES} of one batch`);
    }
    // Everything is encoded before anything is submitted: the GPU must not wait for the CPU.
    const commands = [
      ...before.map((record) => encode(device, record)),
      ...passes.map((record, i) =>
        encode(device, record, {
          querySet,
          beginningOfPassWriteIndex: 2 * i,
          endOfPassWriteIndex: 2 * i + 1,
        })
      ),
    ];
    const last = device.createCommandEncoder();
    last.resolveQuerySet(querySet, 0, 2 * passes.length, resolved, 0);
    last.copyBufferToBuffer(resolved, 0, readable, 0, 16 * passes.length);
    device.queue.submit([...commands, last.finish()]);
    await readable.mapAsync(1, 0, 16 * passes.length); // GPUMapMode.READ
    const stamps = new BigUint64Array(readable.getMappedRange(0, 16 * passes.length).slice(0));
    readable.unmap();
    return stamps;
  };
}

/** Nanoseconds per tick, from two stamps about `spanMs` apart. */
async function calibrate(device: GPUDevice, stamps: StampReader, spanMs: number): Promise<number> {
  const empty: Record = () => {};
  await stamps([empty], []);
  const stampAndTime = async () => {
    // The stamp is taken when the pass runs, right before the GPU falls idle.
    const pending = stamps([empty], []);
    const atMs = await idleAtMs(device);
    return { ticks: (await pending)[1], atMs };
  };
  const first = await stampAndTime();
  await new Promise((resolve) => setTimeout(resolve, spanMs));
  const second = await stampAndTime();
  const ticks = Number(second.ticks - first.ticks);
  const nsPerTick = (second.atMs - first.atMs) * 1e6 / ticks;
  if (!(nsPerTick > 0) || !Number.isFinite(nsPerTick)) {
    throw new Error("this device's timestamps do not advance; run without timestamp-query");
  }
  return nsPerTick;
}

/** Wall time of a submission: honest only for passes far longer than a submission's own cost. */
function wallTimer(device: GPUDevice): GpuTimer {
  return {
    kind: "wall",
    nsPerTick: null,
    async time(passes, before = []) {
      device.queue.submit(before.map((record) => encode(device, record)));
      const times = new Float64Array(passes.length);
      for (const [i, record] of passes.entries()) {
        const commands = encode(device, record);
        await idleAtMs(device);
        const begin = performance.now();
        device.queue.submit([commands]);
        times[i] = (await idleAtMs(device) - begin) * 1000;
      }
      return times;
    },
  };
}
