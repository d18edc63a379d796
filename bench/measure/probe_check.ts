/** Checks on the device that each probe does the work that it is timed for. */
import type { DeviceLimits, Dispatch, Plan } from "../../kernels/core/variant.ts";
import { allocate } from "../../kernels/core/run/program.ts";
import {
  chainKernel,
  fmaDispatch,
  gatherProbeDispatch,
  matrixDispatch,
  popcountKernel,
  streamDispatch,
} from "../../kernels/probe/probes.ts";
import {
  fmaReference,
  hash,
  matrixReference,
  plantedWord,
  popcountReference,
  PROBE_MAGIC,
} from "../../kernels/probe/reference.ts";
import { refusesMatrices } from "../../kernels/core/subgroup_matrices.ts";
import { readBytes, runPlan, write } from "../../kernels/core/run/run.ts";

const TABLE_BYTES = 1 << 20;
const UNTOUCHED = 0xffffffff;

/** A word planted at `index` of the table, which a reading probe must find. */
interface Plant {
  readonly index: number;
  readonly word: number;
}

/** The fault of a probe on this device, in one sentence; null if all probes work. */
export async function checkProbes(
  device: GPUDevice,
  limits: Pick<DeviceLimits, "subgroupMatrices">,
): Promise<string | null> {
  const buffers = allocate(device, {
    data: { bytes: TABLE_BYTES, role: "input" },
    seed: { bytes: 16, role: "input" },
    sink: { bytes: 1024, role: "output" },
  });
  /** Runs a dispatch over a table of zeros with one planted word. Returns the sink. */
  async function sinkAfter(dispatch: Dispatch, plant: Plant | null): Promise<Uint32Array> {
    write(device, buffers.data, new Uint32Array(TABLE_BYTES / 4));
    if (plant) {
      device.queue.writeBuffer(buffers.data, 4 * plant.index, new Uint32Array([plant.word]));
    }
    write(device, buffers.sink, new Uint32Array(256).fill(UNTOUCHED));
    const names = dispatch.kernel.bindings.map(({ name }) => name);
    const plan: Plan = {
      buffers: Object.fromEntries(names.map((name) => [name, { bytes: 16, role: "scratch" }])),
      dispatches: [dispatch],
    };
    await runPlan(device, plan, buffers, { unroll: false });
    return new Uint32Array((await readBytes(device, buffers.sink, 0, 1024)).buffer);
  }

  try {
    for (const [dispatch, plants] of [streamPlants(), gatherPlants()]) {
      const { name } = dispatch.kernel;
      if ((await sinkAfter(dispatch, null))[0] !== UNTOUCHED) {
        return `${name} writes its sink although no word is planted`;
      }
      for (const plant of plants) {
        if ((await sinkAfter(dispatch, plant))[0] !== PROBE_MAGIC) {
          return `${name} does not read word ${plant.index} of its table`;
        }
      }
    }
    const chain = await sinkAfter({ kernel: chainKernel, params: {}, workgroups: [1, 1, 1] }, null);
    if (chain[1] !== 0) return "probe/chain does not add one";
    const params = { WORKGROUP: 256, ROUNDS: 16, UNROLLED: 16 };
    const popcounts = await sinkAfter(
      { kernel: popcountKernel, params, workgroups: [64, 1, 1] },
      null,
    );
    const wrongCount = [0, 1, 2, 3].find((i) =>
      popcounts[i] !== popcountReference(4096 * i, 16, 16)
    );
    if (wrongCount !== undefined) return `probe/popcount is wrong in thread ${4096 * wrongCount}`;
    const fma = fmaDispatch(64);
    const { ROUNDS: rounds, UNROLLED: unrolled, CHAINS: chains } = fma.params;
    const sums = await sinkAfter(fma, null);
    const wrongSum = [0, 1, 2, 3].find((i) =>
      sums[i] !== fmaReference(4096 * i, rounds * unrolled, chains)
    );
    if (wrongSum !== undefined) return `probe/fma is wrong in thread ${4096 * wrongSum}`;
    if (refusesMatrices(limits) !== undefined) return null;
    const products = await sinkAfter(matrixDispatch(128), null);
    const wrongProduct = [0, 1, 2, 3].find((i) => products[i] !== matrixResult(i));
    return wrongProduct === undefined
      ? null
      : `probe/matrix is wrong in workgroup ${32 * wrongProduct}`;
  } finally {
    for (const buffer of Object.values(buffers)) buffer.destroy();
  }
}

/** Word `index` of the sink after `probe/matrix`. */
function matrixResult(index: number): number {
  const { ROUNDS: rounds, UNROLLED: unrolled, CHAINS: chains } = matrixDispatch(1).params;
  return matrixReference(32 * index, rounds * unrolled, chains);
}

function streamPlants(): [Dispatch, Plant[]] {
  const dispatch = streamDispatch(TABLE_BYTES);
  const { WORKGROUP: workgroup, LOADS: loads } = dispatch.params;
  const plants = [[0, 0, 0], [1, loads - 1, workgroup - 1], [dispatch.workgroups[0] - 1, 1, 77]];
  return [
    dispatch,
    plants.map(([group, load, thread]) => ({
      index: 4 * ((group * loads + load) * workgroup + thread),
      word: plantedWord(load, loads),
    })),
  ];
}

function gatherPlants(): [Dispatch, Plant[]] {
  const rowBytes = 256;
  const dispatch = gatherProbeDispatch(TABLE_BYTES / 16, rowBytes, TABLE_BYTES / rowBytes);
  const { WORKGROUP: workgroup, LANES: lanes, TOKENS: tokens, ROWS: rows } = dispatch.params;
  const rowGroups = workgroup / lanes;
  const rowOf = (group: number, load: number, rowGroup: number) =>
    hash((group * tokens + load) * rowGroups + rowGroup) % rows;
  return [
    dispatch,
    [[0, 0, 0], [1, tokens - 1, rowGroups - 1], [2, 1, 3]].map(([group, load, rowGroup]) => ({
      index: 4 * (rowOf(group, load, rowGroup) * lanes + 5),
      word: plantedWord(load, tokens),
    })),
  ];
}
