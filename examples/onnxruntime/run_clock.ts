/** Times work on a GPU, whoever encodes it: every compute pass of a device is stamped. */

/** Most stamps in a query set. */
const CAPACITY = 4096;
/** Passes that a run may have. */
const MOST_PASSES = 64;
/** Milliseconds over which the rate of the stamps is measured. */
const RATE_MS = 300;
/** A rate that is so close to a tick per nanosecond is taken for it. */
const SNAP = 0.02;

/** Microseconds of each run, by name. */
export type Times = ReadonlyMap<string, readonly number[]>;

/** What is timed: encodes and submits its work, and does not wait for the GPU. */
export type Work = () => void | Promise<void>;

/** Times runs on a device. */
export interface RunClock {
  /** What a time is, in words. */
  readonly source: string;
  /** Runs the work once. */
  time(name: string, work: Work): Promise<void>;
  /** The times of the runs since the last call. */
  take(): Promise<Times>;
}

/** A clock of the device's own stamps, or of the wall where it has none that advance. */
export async function runClockOf(device: GPUDevice): Promise<RunClock> {
  if (!device.features.has("timestamp-query")) return new WallClock(device);
  const stamps = new PassStamps(device);
  const usPerTick = await rateOf(device, stamps);
  return usPerTick > 0 ? new StampClock(stamps, usPerTick) : new WallClock(device);
}

/** Microseconds per tick. A stamp should count nanoseconds, but some runtimes give raw ticks. */
async function rateOf(device: GPUDevice, stamps: PassStamps): Promise<number> {
  const idleAt = async () => {
    const encoder = device.createCommandEncoder();
    stamps.stamping = true;
    encoder.beginComputePass().end();
    stamps.stamping = false;
    device.queue.submit([encoder.finish()]);
    return await idleMs(device);
  };
  const first = await idleAt();
  await new Promise((resolve) => setTimeout(resolve, RATE_MS));
  const second = await idleAt();
  const [, begin, , end] = await stamps.take();
  const usPerTick = (second - first) * 1000 / Number(end - begin);
  return Math.abs(usPerTick * 1000 - 1) < SNAP ? 1e-3 : usPerTick;
}

/**
 * Milliseconds of the wall clock when the GPU has done all that was submitted. In Deno the call
 * returns when the GPU is idle, and its promise some milliseconds later.
 */
async function idleMs(device: GPUDevice): Promise<number> {
  const done = device.queue.onSubmittedWorkDone();
  const calledMs = performance.now();
  await done;
  return "Deno" in globalThis ? calledMs : performance.now();
}

/** Stamps the begin and the end of every compute pass of a device while `stamping`. */
class PassStamps {
  stamping = false;
  /** Stamps since the last `take()`. */
  used = 0;
  readonly #device: GPUDevice;
  readonly #querySet: GPUQuerySet;

  constructor(device: GPUDevice) {
    this.#device = device;
    this.#querySet = device.createQuerySet({ type: "timestamp", count: CAPACITY });
    const createEncoder = device.createCommandEncoder.bind(device);
    // Set on this one device, so that the classes of WebGPU stay as they are.
    device.createCommandEncoder = (descriptor) => {
      const encoder = createEncoder(descriptor);
      const begin = encoder.beginComputePass.bind(encoder);
      encoder.beginComputePass = (pass) => begin(this.stamping ? this.#stamped(pass) : pass);
      return encoder;
    };
  }

  #stamped(pass?: GPUComputePassDescriptor): GPUComputePassDescriptor {
    const first = this.used;
    this.used += 2;
    if (this.used > CAPACITY) throw new Error(`a run has more than ${MOST_PASSES} passes`);
    const timestampWrites = {
      querySet: this.#querySet,
      beginningOfPassWriteIndex: first,
      endOfPassWriteIndex: first + 1,
    };
    return { ...pass, timestampWrites };
  }

  /** Whether another run may not fit. */
  get full(): boolean {
    return this.used + 2 * MOST_PASSES > CAPACITY;
  }

  /** Reads the stamps and starts anew. */
  async take(): Promise<BigUint64Array> {
    const count = this.used;
    this.used = 0;
    if (count === 0) return new BigUint64Array();
    const size = 8 * count;
    const resolved = this.#device.createBuffer({
      size,
      usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC,
    });
    const encoder = this.#device.createCommandEncoder();
    encoder.resolveQuerySet(this.#querySet, 0, count, resolved, 0);
    this.#device.queue.submit([encoder.finish()]);
    const bytes = await readBuffer(this.#device, resolved, size);
    resolved.destroy();
    return new BigUint64Array(bytes);
  }
}

/**
 * A run takes from the begin of its first pass to the end of its last. Many runs are read at once,
 * so that the GPU stays busy between them and its clock stays high.
 */
class StampClock implements RunClock {
  readonly source = "GPU time, from the first pass of a step to the end of its last";
  readonly #stamps: PassStamps;
  readonly #usPerTick: number;
  #times = new Map<string, number[]>();
  #runs: { readonly name: string; readonly first: number; readonly end: number }[] = [];

  constructor(stamps: PassStamps, usPerTick: number) {
    this.#stamps = stamps;
    this.#usPerTick = usPerTick;
  }

  async time(name: string, work: Work): Promise<void> {
    if (this.#stamps.full) await this.#collect();
    const first = this.#stamps.used;
    this.#stamps.stamping = true;
    await work();
    this.#stamps.stamping = false;
    this.#runs.push({ name, first, end: this.#stamps.used });
  }

  async take(): Promise<Times> {
    await this.#collect();
    const times = this.#times;
    this.#times = new Map();
    return times;
  }

  async #collect(): Promise<void> {
    const ticks = await this.#stamps.take();
    for (const { name, first, end } of this.#runs) {
      if (end === first) throw new Error(`${name} encoded no compute pass that could be stamped`);
      const us = Number(ticks[end - 1] - ticks[first]) * this.#usPerTick;
      this.#times.set(name, [...this.#times.get(name) ?? [], us]);
    }
    this.#runs = [];
  }
}

/** A run takes from its call until the GPU is idle. */
class WallClock implements RunClock {
  readonly source = "wall time of a submitted step, the host's work included (no GPU stamps)";
  readonly #device: GPUDevice;
  #times = new Map<string, number[]>();

  constructor(device: GPUDevice) {
    this.#device = device;
  }

  async time(name: string, work: Work): Promise<void> {
    const beganMs = performance.now();
    await work();
    const us = (await idleMs(this.#device) - beganMs) * 1000;
    this.#times.set(name, [...this.#times.get(name) ?? [], us]);
  }

  take(): Promise<Times> {
    const times = this.#times;
    this.#times = new Map();
    return Promise.resolve(times);
  }
}

/** The first `size` bytes of a buffer. */
export async function readBuffer(
  device: GPUDevice,
  buffer: GPUBuffer,
  size: number,
): Promise<ArrayBuffer> {
  const staging = device.createBuffer({
    size,
    usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ,
  });
  const encoder = device.createCommandEncoder();
  encoder.copyBufferToBuffer(buffer, 0, staging, 0, size);
  device.queue.submit([encoder.finish()]);
  await staging.mapAsync(GPUMapMode.READ);
  const bytes = staging.getMappedRange().slice(0);
  staging.destroy();
  return bytes;
}
