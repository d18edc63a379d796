/**
 * Probes measure the device's roofline in the same run and through the same API as the variants:
 * streaming reads and row gathers at a ladder of sizes, the cost of a dependent dispatch, and the
 * rates of popcounts, f32 multiply-adds and, where a device has them, matrix units.
 */
import type { Dispatch } from "../../kernels/core/variant.ts";
import { compilePlan } from "../../kernels/core/run/program.ts";
import {
  chainKernel,
  FILL_KIND,
  fmaDispatch,
  fmaFlops,
  gatherProbeBytes,
  gatherProbeDispatch,
  matrixDispatch,
  matrixFlops,
  popcountKernel,
  streamBytes,
  streamDispatch,
} from "../../kernels/probe/probes.ts";
import {
  CHAIN,
  FMA,
  gatherName,
  MATRIX,
  type Operations,
  POPCOUNT,
  type ProbeTime,
  streamName,
} from "./roofline.ts";
import { COLD_BYTES } from "./inputs/cache_rotation.ts";
import { allocateWithin } from "../../kernels/core/run/device_memory.ts";
import { fill } from "./inputs/fill.ts";
import { sampleInterleaved, type Samples, type Workload } from "./clock/sampler.ts";
import type { SampleSettings } from "./clock/sample_settings.ts";
import type { RecordPass } from "../../kernels/core/run/run.ts";
import type { GpuTimer } from "./clock/gpu_timer.ts";

/** One probe's measurement. */
export interface ProbeResult extends Omit<ProbeTime, "us"> {
  /** Windows of the table, or seeds, that its steps rotate over. */
  readonly sets: number;
  readonly samples: Samples;
}

const CLOCK_PARAMS = { WORKGROUP: 256, ROUNDS: 16, UNROLLED: 16 };
const CLOCK_WORKGROUPS = 1056;
const FMA_WORKGROUPS = 1056;
const MATRIX_WORKGROUPS = 1056;

/** Probes of one device over a table of hashed data. */
export interface ProbeKit {
  /** A fixed amount of work, whose time shows the state of the GPU's clock. */
  readonly clock: RecordPass;
  /** The shortest pass that does any work. */
  readonly least: RecordPass;
  /** Streams the whole table `times` times, to warm the clock up with real work. */
  warm(times: number): RecordPass;
  /** The names of all probes for rows of `rowBytes`. */
  names(rowBytes: number): string[];
  /** Measures all probes for rows of `rowBytes`. */
  measure(timer: GpuTimer, settings: SampleSettings, rowBytes: number): Promise<ProbeResult[]>;
}

/**
 * Makes the probes. Their table of `tableBytes` must be larger than any cache. With `matrices` one
 * of them multiplies matrices.
 */
export async function createProbes(
  device: GPUDevice,
  tableBytes: number,
  matrices: boolean,
): Promise<ProbeKit> {
  const specs = {
    data: { bytes: tableBytes, role: "input" },
    seed: { bytes: SEED_STRIDE * MAX_SETS, role: "input" },
    sink: { bytes: 1024, role: "output" },
  } as const;
  const buffers = await allocateWithin(device, specs);
  await fill(device, buffers.data, FILL_KIND.bits, 1);
  await fill(device, buffers.seed, FILL_KIND.bits, 2);

  /** A dispatch over one window of the table. Every step takes the next window. */
  async function windowed(name: string, dispatch: Dispatch, windowBytes: number): Promise<Sized> {
    const windows = Math.max(
      1,
      Math.min(setsOf(windowBytes), Math.floor(tableBytes / windowBytes)),
    );
    const { bindings } = dispatch.kernel;
    const used = bindings.map((binding) => binding.name);
    const plan = {
      buffers: Object.fromEntries(Object.entries(specs).filter(([name]) => used.includes(name))),
      dispatches: [dispatch],
    };
    const program = await compilePlan(device, plan);
    const [{ pipeline, layout }] = program.steps;
    const groups = Array.from({ length: windows }, (_, window) =>
      device.createBindGroup({
        layout,
        entries: bindings.map(({ name }, binding) => ({
          binding,
          resource: name === "data" && windowBytes < tableBytes
            ? { buffer: buffers.data, offset: window * windowBytes, size: windowBytes }
            : { buffer: buffers[name as keyof typeof specs] },
        })),
      }));
    return { workload: stepper(name, pipeline, groups, dispatch), sets: windows };
  }

  const streamAll = streamDispatch(tableBytes);
  const { workload: streamer } = await windowed("probe/stream", streamAll, tableBytes);
  const popcount: Dispatch = {
    kernel: popcountKernel,
    params: CLOCK_PARAMS,
    workgroups: [CLOCK_WORKGROUPS, 1, 1],
  };
  const { workload: counter } = await windowed(POPCOUNT, popcount, tableBytes);
  const popcounts = CLOCK_WORKGROUPS * CLOCK_PARAMS.WORKGROUP * CLOCK_PARAMS.ROUNDS *
    CLOCK_PARAMS.UNROLLED * 4;
  const fma = fmaDispatch(FMA_WORKGROUPS);
  const { workload: multiplier } = await windowed(FMA, fma, tableBytes);
  const matrix = matrixDispatch(MATRIX_WORKGROUPS);
  const matrixUnits = matrices ? await windowed(MATRIX, matrix, tableBytes) : null;
  const { workload: chain } = await windowed(
    CHAIN,
    { kernel: chainKernel, params: {}, workgroups: [1, 1, 1] },
    tableBytes,
  );
  const sizes: number[] = [];
  for (let bytes = 1 << 18; bytes <= tableBytes / 2; bytes *= 4) sizes.push(bytes);
  sizes.push(tableBytes);

  return {
    clock: (pass) => counter.record(pass, 0),
    least: (pass) => chain.record(pass, 0),
    warm: (times) => (pass) => {
      for (let i = 0; i < times; i++) streamer.record(pass, i);
    },
    names: (rowBytes) => [
      CHAIN,
      FMA,
      ...matrices ? [MATRIX] : [],
      POPCOUNT,
      ...sizes.flatMap((size) => [
        streamName(size),
        ...(size > tableBytes / 2 ? [] : [gatherName(size, rowBytes)]),
      ]),
    ],
    async measure(timer, settings, rowBytes) {
      const flops = fmaFlops(fma);
      const workloads: (Sized & { bytes: number; operations: Operations })[] = [
        { workload: chain, sets: 1, bytes: 0, operations: {} },
        { workload: multiplier, sets: 1, bytes: 0, operations: { flops } },
        ...matrixUnits
          ? [{ ...matrixUnits, sets: 1, bytes: 0, operations: { flops: matrixFlops(matrix) } }]
          : [],
        { workload: counter, sets: 1, bytes: 0, operations: { popcounts } },
      ];
      for (const size of sizes) {
        const stream = streamDispatch(size);
        const bytes = streamBytes(stream);
        workloads.push({
          ...await windowed(streamName(size), stream, bytes),
          bytes,
          operations: {},
        });
        if (size > tableBytes / 2) continue;
        const gather = gatherProbeDispatch(size, rowBytes, Math.floor(tableBytes / rowBytes));
        workloads.push({
          ...await seeded(gatherName(size, rowBytes), gather),
          bytes: gatherProbeBytes(gather),
          operations: {},
        });
      }
      const samples = await sampleInterleaved(timer, workloads.map((e) => e.workload), settings);
      return workloads.map(({ workload: { name }, bytes, operations, sets }, i) => (
        { name, bytes, operations, sets, samples: samples[i] }
      ));
    },
  };

  /** A gather that takes other rows in every step, by as many seeds as keep it cold. */
  async function seeded(name: string, dispatch: Dispatch): Promise<Sized> {
    const plan = { buffers: specs, dispatches: [dispatch] };
    const program = await compilePlan(device, plan);
    const [{ pipeline, layout }] = program.steps;
    const sets = setsOf(gatherProbeBytes(dispatch));
    const groups = Array.from({ length: sets }, (_, set) =>
      device.createBindGroup({
        layout,
        entries: [
          { binding: 0, resource: { buffer: buffers.data } },
          { binding: 1, resource: { buffer: buffers.seed, offset: SEED_STRIDE * set, size: 16 } },
          { binding: 2, resource: { buffer: buffers.sink } },
        ],
      }));
    return { workload: stepper(name, pipeline, groups, dispatch), sets };
  }
}

/** Bytes between seeds. WebGPU demands this alignment of the offset of a binding. */
const SEED_STRIDE = 256;
const MAX_SETS = 1024;

/** Windows or seeds that a probe of `bytes` rotates over to stay cold. */
function setsOf(bytes: number): number {
  return Math.min(MAX_SETS, Math.ceil(COLD_BYTES / bytes) + 1);
}

interface Sized {
  readonly workload: Workload;
  readonly sets: number;
}

function stepper(
  name: string,
  pipeline: GPUComputePipeline,
  groups: readonly GPUBindGroup[],
  dispatch: Dispatch,
): Workload {
  return {
    name,
    record(pass, step) {
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, groups[step % groups.length]);
      pass.dispatchWorkgroups(...dispatch.workgroups);
    },
  };
}
