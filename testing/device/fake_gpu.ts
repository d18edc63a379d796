/** Test support: a simulated GPU whose time is computed and whose timestamps may be wrong. */
import type { WallClock } from "../../bench/measure/clock/gpu_passes.ts";
import type { RecordPass } from "../../kernels/core/run/run.ts";
import type { Workload } from "../../bench/measure/clock/sampler.ts";

/** A pass of the fake GPU. */
export interface FakePass {
  /** The last pipeline that was set. */
  readonly name: string;
  readonly us: number;
  readonly dispatches: number;
}

/** The timestamp that the device writes at a true time. */
export type Stamp = (trueNs: number, which: "begin" | "end", pass: FakePass) => number | bigint;

/** Properties of a fake GPU. */
export interface FakeSettings {
  readonly stamp?: Stamp;
  /** Default true. */
  readonly hasTimestamps?: boolean;
  /** Milliseconds from a submission to its start, called for each submission; default 0.05. */
  readonly latencyMs?: () => number;
  /** Resolution of the wall clock in milliseconds; default exact. */
  readonly wallGrainMs?: number;
}

/** A fake GPU and its clock. */
export interface FakeGpu {
  readonly device: GPUDevice;
  readonly clock: WallClock;
  /** GPU time of each submission, in microseconds. */
  readonly submissions: number[];
  /** GPU time of the longest submission, in seconds. */
  longestS(): number;
}

/** Microseconds that an empty pass takes. */
export const PASS_US = 4;
/** Milliseconds until a buffer is mapped after the GPU is idle. */
const MAP_MS = 10;

/** Work that takes `us` microseconds. */
export function work(name: string, us: number): RecordPass {
  return (pass) => {
    pass.setPipeline(name as unknown as GPUComputePipeline);
    pass.dispatchWorkgroups(us);
  };
}

/** A workload whose steps take `us` microseconds. */
export function workload(name: string, us: number): Workload {
  return { name, record: (pass) => work(name, us)(pass) };
}

/** Makes a fake GPU. A pass takes the sum of the microseconds of its {@linkcode work}. */
export function fakeGpu(settings: FakeSettings = {}): FakeGpu {
  const { stamp = (ns) => ns, hasTimestamps = true, latencyMs = () => 0.05 } = settings;
  // Both clocks start as on a machine that has been up for an hour.
  let wallMs = 3.6e6;
  let busyUntilMs = wallMs;
  const submissions: number[] = [];
  const grainMs = settings.wallGrainMs ?? 0;
  const nowMs = () => grainMs ? Math.floor(wallMs / grainMs) * grainMs : wallMs;

  type Command = () => void;
  const random = randomNumbers();
  const runPass = (pass: FakePass, writes?: GPUComputePassTimestampWrites) => {
    // Up to a microsecond between passes: perfectly regular times would look like a coarse clock.
    busyUntilMs += random() / 1000;
    const write = (index: number | undefined, which: "begin" | "end") => {
      if (index === undefined) return;
      const stamps = writes!.querySet as unknown as BigUint64Array;
      stamps[index] = BigInt(stamp(Math.round(busyUntilMs * 1e6), which, pass));
    };
    write(writes?.beginningOfPassWriteIndex, "begin");
    busyUntilMs += (pass.us + PASS_US) / 1000;
    write(writes?.endOfPassWriteIndex, "end");
  };
  const createCommandEncoder = () => {
    const commands: Command[] = [];
    return {
      beginComputePass({ timestampWrites }: GPUComputePassDescriptor) {
        const pass = { name: "", us: 0, dispatches: 0 };
        return {
          setPipeline: (name: string) => pass.name = name,
          dispatchWorkgroups(us: number) {
            pass.us += us;
            pass.dispatches++;
          },
          end: () => commands.push(() => runPass(pass, timestampWrites)),
        };
      },
      resolveQuerySet: (from: BigUint64Array, first: number, count: number, to: BigUint64Array) =>
        commands.push(() => to.set(from.subarray(first, first + count))),
      copyBufferToBuffer: (from: BigUint64Array, _at: number, to: { stamps: BigUint64Array }) =>
        commands.push(() => to.stamps.set(from)),
      finish: () => commands,
    };
  };
  const idle = () => {
    wallMs = Math.max(wallMs, busyUntilMs);
    return Promise.resolve();
  };
  const device = {
    features: new Set(hasTimestamps ? ["timestamp-query"] : []),
    createQuerySet: ({ count }: GPUQuerySetDescriptor) => new BigUint64Array(count),
    createBuffer({ size, usage }: GPUBufferDescriptor) {
      const stamps = new BigUint64Array(size / 8);
      if ((usage & 0x1) === 0) return stamps;
      return {
        stamps,
        async mapAsync() {
          await idle();
          // Code that waits for an idle GPU resumes before code that waits for this mapping.
          await new Promise((resolve) => setTimeout(resolve));
          wallMs += MAP_MS;
        },
        getMappedRange: (at: number, length: number) => stamps.buffer.slice(at, at + length),
        unmap: () => {},
      };
    },
    createCommandEncoder,
    queue: {
      submit(buffers: readonly Command[][]) {
        busyUntilMs = Math.max(busyUntilMs, wallMs) + latencyMs();
        const beganMs = busyUntilMs;
        for (const command of buffers.flat()) command();
        submissions.push((busyUntilMs - beganMs) * 1000);
      },
      onSubmittedWorkDone: idle,
    },
  };
  return {
    device: device as unknown as GPUDevice,
    clock: {
      nowMs,
      sleep(ms) {
        wallMs += Math.max(0, ms);
        return Promise.resolve();
      },
    },
    submissions,
    longestS: () => Math.max(...submissions) / 1e6,
  };
}

/** Pseudo-random numbers from 0 to 1, the same in every run. */
export function randomNumbers(): () => number {
  // A linear congruential generator modulo 2^31 - 1.
  let state = 1;
  return () => (state = state * 48271 % 2147483647) / 2147483647;
}

/** Timestamps of a clock that advances in steps of `grainNs`. */
export function coarse(grainNs: number): Stamp {
  return (ns) => Math.floor(ns / grainNs) * grainNs;
}
