import { assert, assertEquals, assertThrows } from "@std/assert";
import { selectGatherKernel } from "../select_gather.ts";
import * as common from "./common.ts";
import * as twin from "./select_gather_twin.ts";
import { UNWRITTEN } from "./common.ts";
import {
  bytes_below,
  compact,
  count_block,
  find_threshold,
  guess_start,
  type HistogramList,
  load_histograms,
  match_staged,
  place_share,
  scan_by_turns,
  select_share,
  SelectMemory,
  type SelectParams,
  stage_distances,
  store_picks,
} from "./select_gather_twin.ts";
import { forLists, forScans, selectingFunctions, type Spec } from "./testing_lists.ts";
import {
  blockCounts,
  blocksOf,
  countBlocks,
  isWritten,
  maskOf,
  pack,
  partsOfTies,
  sharesOf,
  smallest,
  type Sorted,
  sorted,
  tokensOfBlock,
  twinParams,
} from "./testing_truth.ts";

Deno.test("the twin has every function of select_gather.wgsl that selects", () => {
  const names = selectingFunctions(selectGatherKernel.source);
  assert(names.length > 5, names.join());
  assertEquals(names.filter((name) => !(name in twin || name in common)), []);
});

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

Deno.test("scan_by_turns() adds up the threads before each, in halves that alternate", () => {
  forScans((spec, turns) => {
    const params: SelectParams = { ...twinParams(spec), NEWEST: 0, AHEAD: 1 };
    const memory = new SelectMemory(params);
    for (const [turn, { values, expected }] of turns.entries()) {
      assertEquals(scan_by_turns(params, memory, values, turn), expected);
    }
    const { values } = turns[0];
    const last = turns.length - 1;
    assertThrows(() => scan_by_turns(params, memory, values, last), Error, "still being read");
  });
});

Deno.test("bytes_below() compares each byte independently of its neighbours", () => {
  for (const bits of [32, 64, 96, 128, 129, 224, 255]) {
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

Deno.test("place_share() finds the blocks of each share and the block where ties part", () => {
  forLists((spec) => {
    const { params, truth, threshold } = histogramCase(spec);
    const { counts, before } = blockCounts(spec, truth, threshold);
    const blocks = counts.length;
    const [split_block, split_count] = splitTies(spec, truth, threshold);
    for (const share of sharesOf(spec, truth)) {
      const memory = new SelectMemory(params);
      const tie_bound = partsOfTies(spec, truth, threshold)[0].length;
      for (let block = 0; block < blocks; block++) {
        place_share(params, memory, block, counts[block], before[block], tie_bound, share);
      }
      const { first, end, place } = blocksOf(spec, truth, share);
      assertEquals([...memory.share_range], [first * spec.block, end * spec.block, place]);
      assertEquals(memory.split_ties, [blocks - split_block, split_count]);
    }
  });
});

/** The block where the second part of the ties begins (else the end), and its ties of the first. */
function splitTies(spec: Spec, truth: Sorted, threshold: number): readonly [number, number] {
  const [before, [first]] = partsOfTies(spec, truth, threshold);
  if (first === undefined) return [Math.ceil(spec.capacity / spec.block), 0];
  const block = Math.floor(first / spec.block);
  return [block, before.filter((token) => token >= block * spec.block).length];
}

Deno.test("match_staged() finds picks, and the ties of the block where they part", () => {
  forLists((spec) => {
    const { params, memory, list, truth, threshold, newest_bin } = histogramCase(spec);
    const { distances, isMiddle } = truth;
    const [split_block] = splitTies(spec, truth, threshold);
    const limits = { threshold, split_block, newest_bin };
    const isTie = (token: number) => isMiddle(token) && distances[token] === threshold;
    const blockOf = (token: number) => Math.floor(token / spec.block);
    const isPick = (token: number) =>
      spec.ties === "lower" ? blockOf(token) < split_block : blockOf(token) > split_block;
    for (let first = 0; first < spec.length; first += 32) {
      const staged = first - first % (32 * spec.workgroup);
      if (staged === first) stage_distances(params, memory, list.distances, staged);
      const below = maskOf(
        first,
        (token) =>
          token < spec.length && (!isMiddle(token) || distances[token] < threshold ||
            isTie(token) && isPick(token)),
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
