import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { createRandom, type Random } from "../../fixtures/random.ts";
import { type Windows, windowsOf } from "../core/problem.ts";
import { selectReference } from "../select/reference.ts";
import { selectGatherKernel } from "./select_gather.ts";
import { selectGatherGroupKernel } from "./select_gather_group.ts";
import * as twin from "./select_gather_twin.ts";
import {
  bits_from,
  bytes_below,
  compact,
  compact_ranked,
  count_block,
  count_ranked_block,
  countOneBits,
  find_ranked_threshold,
  find_threshold,
  first_bits,
  GroupMemory,
  type GroupParams,
  guess_start,
  type HistogramList,
  is_threshold,
  load_histograms,
  match_loaded,
  match_staged,
  type Pair,
  place_ranked_share,
  place_share,
  type Quad,
  type RankList,
  scan_by_turns,
  scan_pair,
  select_ranked_share,
  select_share,
  SelectMemory,
  type SelectParams,
  type Share,
  share_of,
  stage_distances,
  store_picks,
  type TwinParams,
  UNWRITTEN,
  window_mask,
  window_tokens,
} from "./select_gather_twin.ts";

/** The kinds of lists: the distance of each token. */
const KINDS = {
  "random": (_token, { most }, random) => random.below(most + 1),
  "few values": (_token, { most }, random) => (most >> 1) + random.below(3),
  "all ties": (_token, { most }) => most >> 1,
  "all zero": () => 0,
  "all largest": (_token, { most }) => most,
  "ascending": (token, { most, length }) => Math.floor(token * (most + 1) / length),
  "descending": (token, { most, length }) => most - Math.floor(token * (most + 1) / length),
  "near ones first": (token, { most, length }, random) =>
    token < length / 10 ? random.below(4) : most - random.below(4),
  "near ones last": (token, { most, length }, random) =>
    token > length * 0.9 ? random.below(4) : most - random.below(4),
} satisfies Record<
  string,
  (token: number, list: { most: number; length: number }, random: Random) => number
>;

/** A list to select from, the selection rule and the kernel's parameters. */
interface Spec {
  readonly capacity: number;
  readonly length: number;
  readonly kind: keyof typeof KINDS;
  /** Replaces the newest token's distance. */
  readonly newest?: "zero" | "largest";
  /** Whether the score omits the newest token. With a shared code it always does. */
  readonly lacksNewest: boolean;
  readonly windows: Pair;
  readonly topK: { readonly count: number } | { readonly sparsity: number };
  readonly bits: number;
  readonly queries: number;
  readonly block: number;
  readonly workgroup: number;
  readonly subgroup: Pair;
  readonly ahead: number;
  readonly splits: number;
  readonly seed: number;
}

const USUAL: Spec = {
  capacity: 4096,
  length: 4000,
  kind: "few values",
  lacksNewest: true,
  windows: [16, 32],
  topK: { sparsity: 8 },
  bits: 32,
  queries: 4,
  block: 512,
  workgroup: 32,
  subgroup: [4, 8],
  ahead: 1,
  splits: 3,
  seed: 1,
};

const ADVERSARIAL: Readonly<Record<string, Partial<Spec>>> = {
  "the usual": {},
  "all tokens tie": { kind: "all ties" },
  "all tokens tie at zero": { kind: "all zero" },
  "all tokens tie at the last bin": { kind: "all largest", bits: 128 },
  "no pick": { topK: { count: 0 } },
  "no pick, no window": { topK: { count: 0 }, windows: [0, 0] },
  "more picks wanted than tokens": { topK: { count: 0xffffffff }, kind: "random" },
  "one pick": { topK: { count: 1 }, windows: [0, 0], kind: "all ties" },
  "all but one": { topK: { count: 3999 }, windows: [0, 0], kind: "all ties" },
  "one token": { length: 1, windows: [0, 0], topK: { count: 5 } },
  "one token in the sink": { length: 1, windows: [4, 0], topK: { count: 5 } },
  "one token in the recent window": { length: 1, windows: [0, 4], topK: { count: 5 } },
  "windows that hold all tokens": { length: 40, windows: [64, 64] },
  "windows that touch": { length: 48 },
  "windows with most of the list": { windows: [700, 1400] },
  "the newest token in no window": { windows: [16, 0] },
  "the newest token nearest": { windows: [16, 0], newest: "zero", kind: "all ties" },
  "the newest token farthest": { windows: [16, 0], newest: "largest", kind: "all ties" },
  "the newest token the only pick": {
    windows: [0, 0],
    topK: { count: 1 },
    newest: "zero",
    kind: "all largest",
  },
  "the newest token the last pick": {
    windows: [0, 0],
    topK: { count: 0xffffffff },
    newest: "largest",
  },
  "the newest token starts a block": { windows: [0, 0], length: 2049, kind: "descending" },
  "the newest token in the distances": { windows: [16, 0], lacksNewest: false },
  "a full cache": { length: 4096, windows: [0, 0] },
  "a capacity of part of a block": { capacity: 1040, length: 1040 },
  "picks that all lie at the beginning": { kind: "near ones first" },
  "picks that all lie at the end": { kind: "near ones last" },
  "picks at the end, with several spans staged": { kind: "near ones last", ahead: 3 },
  "a share of several spans": { splits: 1, kind: "random" },
  "splits that do not divide the list": { splits: 7, topK: { count: 100 } },
  "more splits than tokens": { splits: 13, length: 5 },
  "a subgroup as large as the workgroup": { subgroup: [32, 32] },
  "codes of 128 bits, all limits": { bits: 128, kind: "ascending" },
};

const random: fc.Arbitrary<Spec> = fc.record({
  capacity: fc.integer({ min: 1, max: 320 }).map((n) => 16 * n),
  filled: fc.double({ min: 0, max: 1, noNaN: true }),
  kind: fc.constantFrom(...Object.keys(KINDS) as Spec["kind"][]),
  newest: fc.constantFrom(undefined, "zero" as const, "largest" as const),
  lacksNewest: fc.boolean(),
  windows: fc.constantFrom<Pair[]>([0, 0], [16, 0], [0, 32], [3, 5], [100, 700], [0, 5000]),
  topK: fc.oneof(
    fc.record({ count: fc.oneof(fc.nat(40), fc.nat(5000), fc.constant(0xffffffff)) }),
    fc.record({ sparsity: fc.integer({ min: 1, max: 64 }) }),
  ),
  bits: fc.constantFrom(32, 64, 128),
  queries: fc.integer({ min: 1, max: 5 }),
  block: fc.constantFrom(512, 1024, 2048),
  workgroup: fc.constantFrom(32, 64, 128),
  subgroup: fc.constantFrom<Pair[]>([4, 4], [4, 16], [8, 8], [8, 32], [32, 32]),
  ahead: fc.integer({ min: 1, max: 4 }),
  splits: fc.integer({ min: 1, max: 13 }),
  seed: fc.nat(1e6),
}).map(({ filled, ...spec }) => ({
  ...spec,
  length: 1 + Math.floor(filled * (spec.capacity - 1)),
}));

/** Runs a check for every adversarial list and for random ones. */
function forLists(check: (spec: Spec) => void): void {
  for (const [name, spec] of Object.entries(ADVERSARIAL)) {
    try {
      check({ ...USUAL, ...spec });
    } catch (error) {
      throw new Error(`${name}: ${error instanceof Error ? error.message : error}`, {
        cause: error,
      });
    }
  }
  fc.assert(fc.property(random, check), { seed: 1, numRuns: 150 });
}

/** The distances of all tokens, and the list that a sort selects. */
interface Sorted {
  readonly windows: Windows;
  readonly distances: readonly number[];
  /** The list: windows and picks, ascending. */
  readonly list: readonly number[];
  /** Whether a token lies in neither window. */
  readonly isMiddle: (token: number) => boolean;
}

function sorted(spec: Spec, most: number): Sorted {
  const { length, kind, newest, seed, windows: [sink, recent], topK } = spec;
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
    list: [...selectReference(distances, windows)],
    isMiddle: (token) => token >= windows.sinkEnd && token < windows.recentStart,
  };
}

/** The `count`-th smallest value; `last` if there are fewer, and 0 for a count of 0. */
function smallest(values: readonly number[], count: number, last: number): number {
  if (count === 0) return 0;
  return values.toSorted((a, b) => a - b)[count - 1] ?? last;
}

function twinParams(spec: Spec): TwinParams {
  return {
    CAPACITY: spec.capacity,
    LIST_CAPACITY: spec.capacity,
    BITS: spec.bits,
    BLOCK: spec.block,
    SUBGROUP_MIN: spec.subgroup[0],
    WORKGROUP: spec.workgroup,
    SPLITS: spec.splits,
    subgroup_lanes: spec.subgroup[1],
  };
}

/** Packs distances. Tokens that the score does not write get random values. */
function pack(spec: Spec, distances: readonly number[], bytes: number, lacks: boolean) {
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
function countBlocks(spec: Spec, { distances, isMiddle }: Sorted, bins: number, lacks: boolean) {
  const blocks = Math.ceil(spec.capacity / spec.block);
  const counts = Array.from({ length: blocks }, () => Array<number>(bins).fill(0));
  for (let token = 0; token < spec.length - Number(lacks); token++) {
    if (isMiddle(token)) counts[Math.floor(token / spec.block)][distances[token]]++;
  }
  return counts;
}

/** Whether a block has tokens: the score does not write the others. */
function isWritten(spec: Spec, block: number): boolean {
  return block * spec.block < spec.length;
}

/** A list for `select_gather.wgsl`, and the expected results of its phases. */
function histogramCase(spec: Spec) {
  const params: SelectParams = {
    ...twinParams(spec),
    NEWEST: Number(spec.lacksNewest),
    AHEAD: spec.ahead,
  };
  const most = spec.bits;
  const truth = sorted(spec, most);
  const { windows, distances, isMiddle } = truth;
  const counts = countBlocks(spec, truth, most + 1, spec.lacksNewest);
  const list: HistogramList = {
    length: spec.length,
    windows,
    distances: pack(spec, distances, 1, spec.lacksNewest),
    newest_distance: distances[spec.length - 1],
    histograms: Uint32Array.from(
      counts.flatMap((row, block) => isWritten(spec, block) ? row : row.map(() => 0xdead)),
    ),
  };
  const middle = distances.filter((_, token) => isMiddle(token));
  const threshold = smallest(middle, windows.kEff, most);
  const nearer = middle.filter((distance) => distance < threshold).length;
  const newestCounts = spec.lacksNewest && isMiddle(spec.length - 1);
  const newest_bin = newestCounts ? list.newest_distance : most + 1;
  const memory = new SelectMemory(params);
  load_histograms(params, memory, list, newest_bin);
  return { params, list, truth, memory, threshold, nearer, newest_bin };
}

/** The tokens of a block, as [below the threshold or in a window, ties]. */
function tokensOfBlock(
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

/** The blocks of a share: the first, the end, and the place in the list of its first token. */
function blocksOf({ block }: Spec, { list }: Sorted, { begin, end }: Share) {
  if (begin === end) return { first: 0, end: 0, place: 0 };
  const first = Math.floor(list[begin] / block);
  return {
    first,
    end: Math.floor(list[end - 1] / block) + 1,
    place: list.filter((token) => token < first * block).length,
  };
}

/** The first block with a tie that is not picked (else the end), and its number of picked ties. */
function splitTies(spec: Spec, truth: Sorted, threshold: number): readonly [number, number] {
  const blocks = Math.ceil(spec.capacity / spec.block);
  const picked = new Set(truth.list);
  for (let block = 0; block < blocks; block++) {
    const [, ties] = tokensOfBlock(spec, truth, threshold, block);
    const picks = ties.filter((token) => picked.has(token)).length;
    if (picks < ties.length) return [block, picks];
  }
  return [blocks, 0];
}

function sharesOf(spec: Spec, { windows }: Sorted): Share[] {
  return Array.from(
    { length: spec.splits },
    (_, split) => share_of({ SPLITS: spec.splits }, split, windows.attended),
  );
}

/** The sum of the values before each value, and of all values. */
function runningSums(values: readonly Pair[]): { before: Pair[]; all: Pair } {
  let all: Pair = [0, 0];
  const before = values.map(([x, y]) => {
    const sum = all;
    all = [all[0] + x, all[1] + y];
    return sum;
  });
  return { before, all };
}

Deno.test("select_gather_twin has every function of the kernels that selects", () => {
  const attends = [
    "widen",
    "row_quad",
    "store_partial",
    "atomic_partial",
    "atomic_stats",
    "join_pool",
    "join_plain",
    "join_atomic",
    "main",
  ];
  for (const kernel of [selectGatherKernel, selectGatherGroupKernel]) {
    const names = Array.from(kernel.source.matchAll(/^fn (\w+)\(/gm), ([, name]) => name);
    const selects = names.filter((name) => !attends.includes(name));
    assert(selects.length > 5, `${kernel.name} has few functions`);
    assertEquals(selects.filter((name) => !(name in twin)), [], kernel.name);
  }
});

Deno.test("bits_from() and first_bits() give the right masks", () => {
  for (const count of [0, 1, 5, 31, 32, 33, 0xffffffff]) {
    for (let bit = 0; bit < 32; bit++) {
      assertEquals((bits_from(count) >>> bit) & 1, Number(bit >= count));
    }
  }
  for (const mask of [0, 1, 0x80000000, 0xffffffff, 0x0f0f0f0f, 0x80000001]) {
    for (const count of [0, 1, 2, 15, 31, 32, 0xffffffff]) {
      const bits = Array.from({ length: 32 }, (_, bit) => bit)
        .filter((bit) => (mask >>> bit) & 1).slice(0, count);
      assertEquals(first_bits(mask, count), bits.reduce((kept, bit) => kept | 1 << bit, 0) >>> 0);
      assertEquals(countOneBits(first_bits(mask, count)), bits.length);
    }
  }
});

Deno.test("window_tokens() and window_mask() agree on the tokens in the windows", () => {
  const place = fc.nat(200);
  fc.assert(fc.property(place, place, place, place, (a, b, c, d) => {
    const [sinkEnd, recentStart, length] = [a, a + b, a + b + c];
    const windows = { sinkEnd, recentStart, kEff: 0, attended: 0 };
    const isIn = (token: number) => token < sinkEnd || token >= recentStart;
    const first = Math.min(d, length);
    const after = Math.min(first + 50, length);
    let count = 0;
    for (let token = first; token < after; token++) count += Number(isIn(token));
    assertEquals(window_tokens(first, after, windows), count);
    for (let bit = 0; bit < 32; bit++) {
      assertEquals((window_mask(d, windows) >>> bit) & 1, Number(isIn(d + bit)));
    }
  }));
});

Deno.test("bytes_below() compares each byte independently of its neighbours", () => {
  for (const bits of [32, 64, 128]) {
    for (let limit = 0; limit <= bits + 1; limit++) {
      for (let distance = 0; distance <= bits; distance++) {
        for (let place = 0; place < 4; place++) {
          for (const other of [0, bits]) {
            const four = [other, other, other, other].with(place, distance);
            const word = four.reduce((word, byte, i) => word + byte * 256 ** i, 0);
            const mask = four.reduce((mask, byte, i) => mask | Number(byte < limit) << i, 0);
            assertEquals(bytes_below(bits, word, limit), mask);
          }
        }
      }
    }
  }
});

Deno.test("scan_by_turns() and scan_pair() add up the threads before each", () => {
  const draw = createRandom(1);
  for (const subgroup of [[4, 4], [4, 8], [4, 64], [16, 32]] as const) {
    const spec = { ...USUAL, workgroup: 64, subgroup };
    const select: SelectParams = { ...twinParams(spec), NEWEST: 0, AHEAD: 1 };
    const group: GroupParams = { ...twinParams(spec), QUERIES_PER_LIST: 4, DISTANCE_BYTES: 1 };
    const [selectMemory, groupMemory] = [new SelectMemory(select), new GroupMemory(group)];
    for (let turn = 0; turn < 4; turn++) {
      const values = Array.from({ length: 64 }, (): Pair => [draw.below(33), draw.below(33)]);
      const { before, all } = runningSums(values);
      const expected = before.map((sum): Quad => [...sum, ...all]);
      assertEquals(scan_by_turns(select, selectMemory, values, turn), expected);
      assertEquals(scan_pair(group, groupMemory, values), expected);
    }
    const zeros = Array.from({ length: 64 }, (): Pair => [0, 0]);
    assertThrows(() => scan_by_turns(select, selectMemory, zeros, 3), Error, "still being read");
  }
});

Deno.test("share_of() gives shares that hold every place once", () => {
  for (const attended of [0, 1, 5, 12, 13, 1000]) {
    for (const SPLITS of [1, 3, 7, 13]) {
      let next = 0;
      for (let split = 0; split < SPLITS; split++) {
        const { begin, end } = share_of({ SPLITS }, split, attended);
        assertEquals(begin, next);
        assert(end - begin <= Math.ceil(attended / SPLITS));
        next = end;
      }
      assertEquals(next, attended);
    }
  }
});

Deno.test("store_picks() writes only the slots of the share", () => {
  const picks = 0b1011_0000_0000_0000_0000_0000_0110_0001;
  const places = [0, 5, 6, 28, 29, 31];
  for (const first_slot of [0, 2, 7, 0xffffffff, 0xfffffffe, 0xfffffff0]) {
    for (const share of [0, 1, 3, 8]) {
      const tokens = new Uint32Array(8).fill(UNWRITTEN);
      store_picks({ tokens }, 96, picks, first_slot, share);
      const expected = new Uint32Array(8).fill(UNWRITTEN);
      places.forEach((place, i) => {
        const slot = (first_slot | 0) + i;
        if (slot >= 0 && slot < share) expected[slot] = 96 + place;
      });
      assertEquals(tokens, expected);
    }
  }
});

Deno.test("guess_start() gives the start of a block", () => {
  forLists((spec) => {
    const { params } = histogramCase(spec);
    for (let split = 0; split < spec.splits; split++) {
      const guess = guess_start(params, split, spec.length);
      assertEquals(guess % spec.block, 0);
      assert(guess < spec.length + spec.block);
    }
  });
});

Deno.test("find_threshold() finds the distance of the last pick, also if it is the newest", () => {
  forLists((spec) => {
    const { params, memory, truth, threshold, nearer } = histogramCase(spec);
    assertEquals(find_threshold(params, memory, truth.windows.kEff), [threshold, nearer]);
  });
});

Deno.test("count_block() agrees with a count token by token", () => {
  forLists((spec) => {
    const { params, memory, list, truth, threshold } = histogramCase(spec);
    for (let block = 0; block < Math.ceil(spec.capacity / spec.block); block++) {
      const [below, ties] = tokensOfBlock(spec, truth, threshold, block);
      const counts = count_block(params, memory, block, threshold, list);
      assertEquals(counts, [below.length, ties.length]);
    }
  });
});

Deno.test("place_share() finds the blocks of each share and the block where ties run out", () => {
  forLists((spec) => {
    const { params, truth, threshold, nearer } = histogramCase(spec);
    const blocks = Math.ceil(spec.capacity / spec.block);
    const counts = Array.from({ length: blocks }, (_, block): Pair => {
      const [below, ties] = tokensOfBlock(spec, truth, threshold, block);
      return [below.length, ties.length];
    });
    const { before } = runningSums(counts);
    const [split_block, split_count] = splitTies(spec, truth, threshold);
    for (const share of sharesOf(spec, truth)) {
      const memory = new SelectMemory(params);
      const ties = truth.windows.kEff - nearer;
      for (let block = 0; block < blocks; block++) {
        place_share(params, memory, block, counts[block], before[block], ties, share);
      }
      const { first, end, place } = blocksOf(spec, truth, share);
      assertEquals([...memory.share_range], [first * spec.block, end * spec.block, place]);
      assertEquals(memory.split_ties, [blocks - split_block, split_count]);
    }
  });
});

/** A mask of the 32 tokens from `first` on for which `has` is true. */
function maskOf(first: number, has: (token: number) => boolean): number {
  let mask = 0;
  for (let bit = 0; bit < 32; bit++) mask |= Number(has(first + bit)) << bit;
  return mask >>> 0;
}

Deno.test("match_staged() finds picks, and the ties of the block where they run out", () => {
  forLists((spec) => {
    const { params, memory, list, truth, threshold, newest_bin } = histogramCase(spec);
    const { distances, isMiddle } = truth;
    const [split_block] = splitTies(spec, truth, threshold);
    const limits = { threshold, split_block, newest_bin };
    const isTie = (token: number) => isMiddle(token) && distances[token] === threshold;
    const blockOf = (token: number) => Math.floor(token / spec.block);
    for (let first = 0; first < spec.length; first += 32) {
      const staged = first - first % (32 * spec.workgroup);
      if (staged === first) stage_distances(params, memory, list.distances, staged);
      const below = maskOf(
        first,
        (token) =>
          token < spec.length && (!isMiddle(token) || distances[token] < threshold ||
            isTie(token) && blockOf(token) < split_block),
      );
      const ties = maskOf(first, (token) => isTie(token) && blockOf(token) === split_block);
      assertEquals(match_staged(params, memory, first, staged, limits, list), [below, ties]);
    }
  });
});

Deno.test("compact() writes the share's tokens for any guess of the staged window", () => {
  forLists((spec) => {
    const { params, list, truth, threshold, newest_bin } = histogramCase(spec);
    const blocks = Math.ceil(spec.capacity / spec.block);
    const [split_block, split_count] = splitTies(spec, truth, threshold);
    const limits = { threshold, split_block, newest_bin };
    for (const share of sharesOf(spec, truth)) {
      const { first, end, place } = blocksOf(spec, truth, share);
      for (let guess = 0; guess <= blocks * spec.block; guess += spec.block) {
        const memory = new SelectMemory(params);
        memory.share_range.set([first * spec.block, end * spec.block, place]);
        stage_distances(params, memory, list.distances, guess);
        compact(params, memory, list, guess, limits, split_count, share);
        const tokens = memory.tokens.slice(0, share.end - share.begin);
        assertEquals([...tokens], truth.list.slice(share.begin, share.end));
      }
    }
  });
});

Deno.test("select_share() of all splits is the list", () => {
  forLists((spec) => {
    const { params, list, truth } = histogramCase(spec);
    const shares = Array.from(
      { length: spec.splits },
      (_, split) => [...select_share(params, list, split)],
    );
    assertEquals(shares.flat(), truth.list);
  });
});

/** A list for `select_gather_group.wgsl`, and the expected results of its phases. */
function rankCase(spec: Spec) {
  const most = spec.bits * spec.queries;
  const params: GroupParams = {
    ...twinParams(spec),
    QUERIES_PER_LIST: spec.queries,
    DISTANCE_BYTES: most <= 255 ? 1 : 2,
  };
  const truth = sorted(spec, most);
  const { windows, distances, isMiddle } = truth;
  const counts = countBlocks(spec, truth, most + 1, true);
  const rowWords = Math.ceil((most + 1) / 2);
  const ranks = new Uint16Array(2 * rowWords * counts.length);
  const totals = new Uint32Array(most + 1);
  counts.forEach((row, block) => {
    let upTo = 0;
    row.forEach((count, distance) => {
      upTo += count;
      totals[distance] += upTo;
      ranks[2 * rowWords * block + distance] = isWritten(spec, block) ? upTo : 0xdead;
    });
  });
  const list: RankList = {
    length: spec.length,
    windows,
    distances: pack(spec, distances, params.DISTANCE_BYTES, true),
    newest_distance: distances[spec.length - 1],
    rank_totals: totals,
    block_ranks: new Uint32Array(ranks.buffer),
  };
  // The totals omit the newest token, so the threshold may exceed the last pick's distance.
  const newestCounts = isMiddle(spec.length - 1);
  const counted = distances.filter((_, token) => isMiddle(token) && token < spec.length - 1);
  const threshold = smallest(counted, windows.kEff, most);
  const middle = distances.filter((_, token) => isMiddle(token));
  const nearer = middle.filter((distance) => distance < threshold).length;
  const newest_bin = newestCounts ? list.newest_distance : most + 1;
  return { params, list, truth, threshold, ties: windows.kEff - nearer, newest_bin };
}

Deno.test("is_threshold() is true for one bin, which find_ranked_threshold() finds", () => {
  forLists((spec) => {
    const { params, list, truth, threshold } = rankCase(spec);
    const { kEff } = truth.windows;
    const found = Array.from(list.rank_totals.keys()).filter((bin) =>
      is_threshold(params, bin, [list.rank_totals[bin - 1] ?? 0, list.rank_totals[bin]], kEff)
    );
    assertEquals(found, [threshold]);
    assertEquals(find_ranked_threshold(params, list, kEff), threshold);
  });
});

Deno.test("count_ranked_block() agrees with a count token by token", () => {
  forLists((spec) => {
    const { params, list, truth, threshold, ties, newest_bin } = rankCase(spec);
    assert(ties >= 0);
    for (let block = 0; isWritten(spec, block); block++) {
      const [below, tied] = tokensOfBlock(spec, truth, threshold, block);
      const counts = count_ranked_block(params, list, block, threshold, newest_bin);
      assertEquals(counts, [below.length, tied.length]);
    }
  });
});

/** The counts of all blocks, and their sums before each block. */
function rankedCounts(spec: Spec, truth: Sorted, threshold: number) {
  const blocks = Math.ceil(spec.capacity / spec.block);
  const counts = Array.from({ length: blocks }, (_, block): Pair => {
    const [below, ties] = tokensOfBlock(spec, truth, threshold, block);
    return [below.length, ties.length];
  });
  return { counts, before: runningSums(counts).before };
}

Deno.test("place_ranked_share() finds the blocks of each share", () => {
  forLists((spec) => {
    const { params, truth, threshold, ties } = rankCase(spec);
    const { counts, before } = rankedCounts(spec, truth, threshold);
    for (const share of sharesOf(spec, truth)) {
      const memory = new GroupMemory(params);
      counts.forEach((count, block) => {
        place_ranked_share(memory, block, count, before[block], ties, share);
      });
      const { first, end } = blocksOf(spec, truth, share);
      assertEquals([...memory.share_range], [first, end, ...before[first]]);
    }
  });
});

Deno.test("match_loaded() finds tokens below the threshold or in a window, and ties", () => {
  forLists((spec) => {
    const { params, list, truth, threshold, newest_bin } = rankCase(spec);
    const { distances, isMiddle } = truth;
    for (let first = 0; first < spec.capacity + 64; first += 32) {
      const below = maskOf(
        first,
        (token) => token < spec.length && (!isMiddle(token) || distances[token] < threshold),
      );
      const ties = maskOf(first, (token) => isMiddle(token) && distances[token] === threshold);
      assertEquals(match_loaded(params, list, first, threshold, newest_bin), [below, ties]);
    }
  });
});

Deno.test("compact_ranked() writes the share's tokens", () => {
  forLists((spec) => {
    const { params, list, truth, threshold, ties, newest_bin } = rankCase(spec);
    const { before } = rankedCounts(spec, truth, threshold);
    for (const share of sharesOf(spec, truth)) {
      const { first, end } = blocksOf(spec, truth, share);
      const memory = new GroupMemory(params);
      memory.share_range.set([first, end, ...before[first]]);
      compact_ranked(params, memory, list, threshold, newest_bin, ties, share);
      const tokens = memory.tokens.slice(0, share.end - share.begin);
      assertEquals([...tokens], truth.list.slice(share.begin, share.end));
    }
  });
});

Deno.test("select_ranked_share() of all splits is the list", () => {
  forLists((spec) => {
    const { params, list, truth } = rankCase(spec);
    const shares = Array.from(
      { length: spec.splits },
      (_, split) => [...select_ranked_share(params, list, split)],
    );
    assertEquals(shares.flat(), truth.list);
  });
});
