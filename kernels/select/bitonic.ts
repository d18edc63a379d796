/** Exact top-k for any k, by a bitonic sort of runs and merges that keep the best k. */
import type { Cost, Dispatch, Kernel, Variant } from "../core/variant.ts";
import { defineKernel, defineVariant } from "../core/define.ts";
import { dispatch } from "../core/dispatch.ts";
import { ranges } from "../core/problem/constants.ts";
import { specs } from "../core/layout.ts";
import {
  distanceBytes,
  listCapacity,
  listHeads,
  maxDistance,
  overSequences,
  windowsOf,
} from "../core/problem/derived.ts";
import type { Problem } from "../core/problem/problem.ts";
import emitSource from "./bitonic_emit.wgsl" with { type: "text" };
import mergeSource from "./bitonic_merge.wgsl" with { type: "text" };
import sortSource from "./bitonic_sort.wgsl" with { type: "text" };

const RUN: readonly number[] = [512, 1024, 2048, 4096];
const WORKGROUP: readonly number[] = [64, 128, 256];
const INDEX_BITS = { min: 1, max: 21 };
const WINDOWS = ranges("SEQUENCE_LISTS", "SINK", "RECENT", "K_COUNT", "SPARSITY");

/** `bitonic_sort.wgsl`. */
export const bitonicSortKernel: Kernel = defineKernel({
  name: "select/bitonic_sort",
  source: sortSource,
  params: {
    ...WINDOWS,
    ...ranges("CAPACITY", "DISTANCE_BYTES", "TIES"),
    INDEX_BITS,
    RUN,
    WORKGROUP,
  },
});

/** `bitonic_merge.wgsl`. */
export const bitonicMergeKernel: Kernel = defineKernel({
  name: "select/bitonic_merge",
  source: mergeSource,
  params: {
    ...WINDOWS,
    RUNS: { min: 1, max: 4096 },
    TILES: { min: 1, max: 4096 },
    LEVEL: { min: 0, max: 11 },
    RUN,
    WORKGROUP,
  },
});

/** `bitonic_emit.wgsl`. */
export const bitonicEmitKernel: Kernel = defineKernel({
  name: "select/bitonic_emit",
  source: emitSource,
  params: {
    ...WINDOWS,
    ...ranges("LIST_CAPACITY", "TIES"),
    INDEX_BITS,
    LIST_KEYS: { min: 0, max: 1 << 22 },
    WORKGROUP,
  },
});

/** Bits of a token index. */
function indexBits(p: Problem): number {
  return Math.ceil(Math.log2(p.capacity));
}

/** Reads the distances of the middle tokens, and writes the list and its count. */
function bitonicCost(p: Problem): Cost {
  const middle = (length: number) => {
    const { sinkEnd, recentStart } = windowsOf(p, length);
    return recentStart - sinkEnd;
  };
  return {
    streamBytes: listHeads(p) * overSequences(p, middle) * distanceBytes(p),
    gatherBytes: 0,
    writeBytes: 4 * listHeads(p) * overSequences(p, (length) => windowsOf(p, length).attended + 1),
    flops: 0,
  };
}

/** Bitonic top-k. */
export const selectBitonic: Variant = defineVariant({
  name: "select/bitonic",
  stage: "select",
  description: "sorts runs by (distance, index) in workgroup memory, merges pairs to the best k",
  tunables: { RUN, WORKGROUP },
  features: [],
  defaults: () => ({ RUN: 1024, WORKGROUP: 256 }),
  refuses(p) {
    if ((maxDistance(p) + 1) * 2 ** indexBits(p) > 2 ** 32 - 1) {
      return `distances up to ${
        maxDistance(p)
      } and ${p.capacity} token indices exceed a 32-bit key`;
    }
  },
  plan(p, params) {
    const lists = listHeads(p);
    // Middle tokens and picks grow with the length, so a full cache has the most of both.
    const { sinkEnd, recentStart, kEff } = windowsOf(p, p.capacity);
    const runs = kEff > 0 ? Math.ceil((recentStart - sinkEnd) / params.RUN) : 0;
    const values = {
      ...params,
      INDEX_BITS: indexBits(p),
      RUNS: runs,
      LIST_KEYS: runs * params.RUN,
    };
    const keys = ["keys_a", "keys_b"] as const;
    const dispatches: Dispatch[] = [];
    if (runs > 0) {
      dispatches.push(
        dispatch(bitonicSortKernel, p, values, [runs, lists, p.batch], { sorted: keys[0] }),
      );
    }
    let level = 0;
    for (; 2 ** level < runs; level++) {
      const tiles = Math.ceil(Math.min(kEff, params.RUN * 2 ** (level + 1)) / params.RUN);
      dispatches.push(dispatch(
        bitonicMergeKernel,
        p,
        { ...values, LEVEL: level, TILES: tiles },
        [Math.ceil(runs / 2 ** (level + 1)) * tiles, lists, p.batch],
        { sorted: keys[level % 2], merged: keys[(level + 1) % 2] },
      ));
    }
    dispatches.push(dispatch(
      bitonicEmitKernel,
      p,
      values,
      [Math.ceil(listCapacity(p) / params.WORKGROUP), lists, p.batch],
      { sorted: keys[level % 2] },
    ));
    const scratch = {
      bytes: Math.max(16, 4 * p.batch * lists * values.LIST_KEYS),
      role: "scratch",
    } as const;
    return {
      buffers: {
        ...specs(p, "input", "lengths", "distances"),
        [keys[0]]: scratch,
        ...(level > 0 ? { [keys[1]]: scratch } : {}),
        ...specs(p, "output", "selected", "selected_counts"),
      },
      dispatches,
    };
  },
  cost: bitonicCost,
});
