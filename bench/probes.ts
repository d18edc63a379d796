/**
 * The device's own ceilings, measured in the same run through the same API: streaming read and row
 * gather at a ladder of sizes, the cost of a dependent dispatch, the rates of popcounts and of f32
 * multiply-adds. From them come the floors that every result is compared with.
 */
import type { Cost, Dispatch } from "../kernels/contender.ts";
import { allocate, compilePlan } from "../kernels/program.ts";
import {
  chainKernel,
  FILL_KIND,
  fmaDispatch,
  fmaFlops,
  gatherProbeBytes,
  gatherProbeDispatch,
  popcountKernel,
  streamBytes,
  streamDispatch,
} from "../kernels/probe/probes.ts";
import { COLD_BYTES } from "./cold.ts";
import { fill } from "./run_once.ts";
import { type Entrant, sampleInterleaved, type Samples, type SampleSettings } from "./sampler.ts";
import { median } from "./statistics.ts";
import type { GpuTimer, Record } from "./timer.ts";

/** Time of reading so many bytes in one dependent dispatch, for growing sizes. */
export type Ladder = readonly { readonly bytes: number; readonly us: number }[];

/** How many operations of which kind a step does. */
export interface Operations {
  readonly popcounts?: number;
  readonly flops?: number;
}

/** One probe's measurement. */
export interface ProbeResult {
  readonly name: string;
  readonly bytes: number;
  /** Popcounts of 32-bit words, or floating-point operations; none of probes of memory. */
  readonly operations: Operations;
  /** Windows of the table, or seeds, that its steps rotate over. */
  readonly sets: number;
  readonly samples: Samples;
}

/** The device's ceilings. */
export interface Ceilings {
  readonly stream: Ladder;
  /** By bytes of a row. */
  readonly gather: ReadonlyMap<number, Ladder>;
  readonly dispatchUs: number;
  /** f32 operations per microsecond, two to a fused multiply-add. */
  readonly flopsPerUs: number;
  readonly results: readonly ProbeResult[];
}

/** Time beyond a bare dispatch of moving `bytes`, by linear interpolation between the probes. */
export function moveUs(ladder: Ladder, dispatchUs: number, bytes: number): number {
  if (bytes <= 0) return 0;
  const points = [{ bytes: 0, us: dispatchUs }, ...ladder];
  let right = points.findIndex((point) => point.bytes >= bytes);
  if (right < 1) right = points.length - 1;
  const [a, b] = [points[right - 1], points[right]];
  const us = a.us + (b.us - a.us) * (bytes - a.bytes) / (b.bytes - a.bytes);
  return Math.max(0, us - dispatchUs);
}

/**
 * The least time of a cost on this device: its bytes or its arithmetic at the probes' rates,
 * whichever takes longer, plus its dispatches.
 */
export function floorUs(
  ceilings: Ceilings,
  cost: Cost,
  dispatches: number,
  rowBytes: number,
): number {
  const gather = ceilings.gather.get(rowBytes) ?? ceilings.stream;
  const bytesUs = moveUs(ceilings.stream, ceilings.dispatchUs, cost.streamBytes + cost.writeBytes) +
    moveUs(gather, ceilings.dispatchUs, cost.gatherBytes);
  return Math.max(bytesUs, cost.flops / ceilings.flopsPerUs) + dispatches * ceilings.dispatchUs;
}

const CLOCK_PARAMS = { WORKGROUP: 256, ROUNDS: 16, UNROLLED: 16 };
const CLOCK_WORKGROUPS = 1056;
const FMA_WORKGROUPS = 1056;

/** Probes of one device over a table of hashed data. */
export interface ProbeKit {
  /** Fixed work that shows the clock. */
  readonly clock: Record;
  /** Streams the whole table `times` times: real work for warming up. */
  warm(times: number): Record;
  /** Measures the ceilings, for rows of the given bytes. */
  measure(settings: SampleSettings, rowBytes: readonly number[]): Promise<Ceilings>;
}

/** Makes the probes; the table of `tableBytes` must be larger than any cache. */
export async function createProbes(
  device: GPUDevice,
  timer: GpuTimer,
  tableBytes: number,
): Promise<ProbeKit> {
  const specs = {
    data: { bytes: tableBytes, role: "input" },
    seed: { bytes: SEED_STRIDE * MOST_SETS, role: "input" },
    sink: { bytes: 1024, role: "output" },
  } as const;
  const own = allocate(device, specs);
  await fill(device, own.data, FILL_KIND.bits, 1);
  await fill(device, own.seed, FILL_KIND.bits, 2);

  /** One dispatch over a window of the table that moves on with every step. */
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
    const program = await compilePlan(device, plan, { compiler: "naga" });
    const [{ pipeline, layout }] = program.steps;
    const groups = Array.from({ length: windows }, (_, window) =>
      device.createBindGroup({
        layout,
        entries: bindings.map(({ name }, binding) => ({
          binding,
          resource: name === "data" && windowBytes < tableBytes
            ? { buffer: own.data, offset: window * windowBytes, size: windowBytes }
            : { buffer: own[name as keyof typeof specs] },
        })),
      }));
    return { entrant: stepper(name, pipeline, groups, dispatch), sets: windows };
  }

  const streamAll = streamDispatch(tableBytes);
  const { entrant: streamer } = await windowed("probe/stream", streamAll, tableBytes);
  const popcount: Dispatch = {
    kernel: popcountKernel,
    params: CLOCK_PARAMS,
    workgroups: [CLOCK_WORKGROUPS, 1, 1],
  };
  const { entrant: counter } = await windowed("probe/popcount", popcount, tableBytes);
  const popcounts = CLOCK_WORKGROUPS * CLOCK_PARAMS.WORKGROUP * CLOCK_PARAMS.ROUNDS *
    CLOCK_PARAMS.UNROLLED * 4;
  const fma = fmaDispatch(FMA_WORKGROUPS);
  const { entrant: multiplier } = await windowed("probe/fma", fma, tableBytes);
  const { entrant: chain } = await windowed(
    "probe/chain",
    { kernel: chainKernel, params: {}, workgroups: [1, 1, 1] },
    tableBytes,
  );

  return {
    clock: (pass) => counter.record(pass, 0),
    warm: (times) => (pass) => {
      for (let i = 0; i < times; i++) streamer.record(pass, i);
    },
    async measure(settings, rowBytes) {
      const sizes: number[] = [];
      for (let bytes = 1 << 18; bytes <= tableBytes / 2; bytes *= 4) sizes.push(bytes);
      sizes.push(tableBytes);
      const flops = fmaFlops(fma);
      const entrants: (Sized & { bytes: number; operations: Operations; row: number })[] = [
        { entrant: chain, sets: 1, bytes: 0, operations: {}, row: 0 },
        { entrant: multiplier, sets: 1, bytes: 0, operations: { flops }, row: 0 },
        { entrant: counter, sets: 1, bytes: 0, operations: { popcounts }, row: 0 },
      ];
      for (const size of sizes) {
        const stream = streamDispatch(size);
        const bytes = streamBytes(stream);
        entrants.push({
          ...await windowed(`probe/stream ${size >> 10} KiB`, stream, bytes),
          bytes,
          operations: {},
          row: 0,
        });
        for (const row of new Set(rowBytes)) {
          if (size > tableBytes / 2) continue;
          const rows = Math.floor(tableBytes / row);
          const gather = gatherProbeDispatch(size, row, rows);
          entrants.push({
            ...await seeded(`probe/gather ${size >> 10} KiB of ${row} B`, gather),
            bytes: gatherProbeBytes(gather),
            operations: {},
            row,
          });
        }
      }
      const samples = await sampleInterleaved(timer, entrants.map((e) => e.entrant), settings);
      const us = samples.map((s) => median(s.us.length ? s.us : s.droppedUs));
      const ladder = (row: number, from: string): Ladder =>
        entrants.flatMap((e, i) =>
          e.row === row && e.entrant.name.startsWith(from) ? [{ bytes: e.bytes, us: us[i] }] : []
        );
      return {
        stream: ladder(0, "probe/stream"),
        gather: new Map([...new Set(rowBytes)].map((row) => [row, ladder(row, "probe/gather")])),
        dispatchUs: us[0],
        // At least half of the time is work, whatever noise does to the dispatch's share.
        flopsPerUs: flops / Math.max(us[1] - us[0], us[1] / 2),
        results: entrants.map((e, i) => ({
          name: e.entrant.name,
          bytes: e.bytes,
          operations: e.operations,
          sets: e.sets,
          samples: samples[i],
        })),
      };
    },
  };

  /** A gather whose rows differ from step to step, by as many seeds as keep it cold. */
  async function seeded(name: string, dispatch: Dispatch): Promise<Sized> {
    const plan = { buffers: specs, dispatches: [dispatch] };
    const program = await compilePlan(device, plan, { compiler: "naga" });
    const [{ pipeline, layout }] = program.steps;
    const sets = setsOf(gatherProbeBytes(dispatch));
    const groups = Array.from({ length: sets }, (_, set) =>
      device.createBindGroup({
        layout,
        entries: [
          { binding: 0, resource: { buffer: own.data } },
          { binding: 1, resource: { buffer: own.seed, offset: SEED_STRIDE * set, size: 16 } },
          { binding: 2, resource: { buffer: own.sink } },
        ],
      }));
    return { entrant: stepper(name, pipeline, groups, dispatch), sets };
  }
}

/** Bytes between seeds: what WebGPU asks of the offset of a binding. */
const SEED_STRIDE = 256;
const MOST_SETS = 1024;

/** Windows or seeds that a probe of `bytes` rotates over to stay cold. */
function setsOf(bytes: number): number {
  return Math.min(MOST_SETS, Math.ceil(COLD_BYTES / bytes) + 1);
}

interface Sized {
  readonly entrant: Entrant;
  readonly sets: number;
}

function stepper(
  name: string,
  pipeline: GPUComputePipeline,
  groups: readonly GPUBindGroup[],
  dispatch: Dispatch,
): Entrant {
  return {
    name,
    record(pass, step) {
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, groups[step % groups.length]);
      pass.dispatchWorkgroups(...dispatch.workgroups);
    },
  };
}
