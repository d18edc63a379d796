/** Test support: what a sort selects of a list, and how a score packs and counts it. */
import { createRandom } from "../../../fixtures/random.ts";
import { TIE_CODE } from "../../core/problem/constants.ts";
import { type Windows, windowsOf } from "../../core/problem/derived.ts";
import { selectReference } from "../../select/reference.ts";
import { type Pair, type Share, share_of, type TwinParams } from "./common.ts";
import { KINDS, runningSums, type Spec } from "./testing_lists.ts";

/** The distances of all tokens, and the list that a sort selects. */
export interface Sorted {
  readonly windows: Windows;
  readonly distances: readonly number[];
  /** The list: windows and picks, ascending. */
  readonly list: readonly number[];
  /** Whether a token lies in neither window. */
  readonly isMiddle: (token: number) => boolean;
}

export function sorted(spec: Spec, most: number): Sorted {
  const { length, kind, newest, seed, windows: [sink, recent], topK, ties } = spec;
  const random = createRandom(seed);
  const distances = Array.from(
    { length },
    (_, token) => KINDS[kind](token, { most, length }, random),
  );
  if (newest) distances[length - 1] = newest === "zero" ? 0 : most;
  const windows = windowsOf({ sink, recent, topK }, length);
  return {
    windows,
    distances,
    list: [...selectReference(distances, windows, ties)],
    isMiddle: (token) => token >= windows.sinkEnd && token < windows.recentStart,
  };
}

/** The `count`-th smallest value; `last` if there are fewer, and 0 for a count of 0. */
export function smallest(values: readonly number[], count: number, last: number): number {
  if (count === 0) return 0;
  return values.toSorted((a, b) => a - b)[count - 1] ?? last;
}

export function twinParams(spec: Spec): TwinParams {
  return {
    CAPACITY: spec.capacity,
    LIST_CAPACITY: spec.capacity,
    LAST: spec.bits,
    BLOCK: spec.block,
    SUBGROUP_MIN: spec.subgroup[0],
    WORKGROUP: spec.workgroup,
    SPLITS: spec.splits,
    TIES: TIE_CODE[spec.ties],
    subgroup_lanes: spec.subgroup[1],
  };
}

/** Packs distances. Tokens that the score does not write get random values. */
export function pack(spec: Spec, distances: readonly number[], bytes: number, lacks: boolean) {
  const random = createRandom(spec.seed, 1);
  const words = new Uint32Array(spec.capacity * bytes / 4);
  const packed = bytes === 1 ? new Uint8Array(words.buffer) : new Uint16Array(words.buffer);
  const written = spec.length - Number(lacks);
  for (let token = 0; token < spec.capacity; token++) {
    packed[token] = token < written ? distances[token] : random.uint32();
  }
  return words;
}

/** The score's histograms: for each block and distance, the number of middle tokens. */
export function countBlocks(
  spec: Spec,
  { distances, isMiddle }: Sorted,
  bins: number,
  lacks: boolean,
) {
  const blocks = Math.ceil(spec.capacity / spec.block);
  const counts = Array.from({ length: blocks }, () => Array<number>(bins).fill(0));
  for (let token = 0; token < spec.length - Number(lacks); token++) {
    if (isMiddle(token)) counts[Math.floor(token / spec.block)][distances[token]]++;
  }
  return counts;
}

/** Whether a block has tokens: the score does not write the others. */
export function isWritten(spec: Spec, block: number): boolean {
  return block * spec.block < spec.length;
}

/** The tokens of a block, as [below the threshold or in a window, ties]. */
export function tokensOfBlock(
  spec: Spec,
  { distances, isMiddle }: Sorted,
  threshold: number,
  block: number,
): readonly [number[], number[]] {
  const all = distances.flatMap((_, token) =>
    Math.floor(token / spec.block) === block ? [token] : []
  );
  return [
    all.filter((token) => !isMiddle(token) || distances[token] < threshold),
    all.filter((token) => isMiddle(token) && distances[token] === threshold),
  ];
}

/** The ties in order, in two parts of which the list has one: with "lower" the first. */
export function partsOfTies(
  { ties }: Spec,
  { distances, list, isMiddle }: Sorted,
  threshold: number,
): readonly [before: number[], after: number[]] {
  const picked = new Set(list);
  const tied = distances.flatMap((distance, token) =>
    isMiddle(token) && distance === threshold ? [token] : []
  );
  const isBefore = (token: number) => picked.has(token) === (ties === "lower");
  return [tied.filter(isBefore), tied.filter((token) => !isBefore(token))];
}

/** The blocks of a share: the first, the end, and the place in the list of its first token. */
export function blocksOf({ block }: Spec, { list }: Sorted, { begin, end }: Share) {
  if (begin === end) return { first: 0, end: 0, place: 0 };
  const first = Math.floor(list[begin] / block);
  return {
    first,
    end: Math.floor(list[end - 1] / block) + 1,
    place: list.filter((token) => token < first * block).length,
  };
}

export function sharesOf(spec: Spec, { windows }: Sorted): Share[] {
  return Array.from(
    { length: spec.splits },
    (_, split) => share_of({ SPLITS: spec.splits }, split, windows.attended),
  );
}

/** A mask of the 32 tokens from `first` on for which `has` is true. */
export function maskOf(first: number, has: (token: number) => boolean): number {
  let mask = 0;
  for (let bit = 0; bit < 32; bit++) mask |= Number(has(first + bit)) << bit;
  return mask >>> 0;
}

/** The counts of all blocks, and their sums before each block. */
export function blockCounts(spec: Spec, truth: Sorted, threshold: number) {
  const blocks = Math.ceil(spec.capacity / spec.block);
  const counts = Array.from({ length: blocks }, (_, block): Pair => {
    const [below, ties] = tokensOfBlock(spec, truth, threshold, block);
    return [below.length, ties.length];
  });
  return { counts, before: runningSums(counts).before };
}
