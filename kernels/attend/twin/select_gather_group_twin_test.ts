import { assert, assertEquals } from "@std/assert";
import { selectGatherGroupKernel } from "../select_gather_group.ts";
import * as common from "./common.ts";
import * as twin from "./select_gather_group_twin.ts";
import {
  compact_ranked,
  count_ranked_block,
  find_ranked_threshold,
  GroupMemory,
  type GroupParams,
  is_threshold,
  match_loaded,
  place_ranked_share,
  type RankList,
  scan_pair,
  select_ranked_share,
} from "./select_gather_group_twin.ts";
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
  sorted,
  tokensOfBlock,
  twinParams,
} from "./testing_truth.ts";

Deno.test("the twin has every function of select_gather_group.wgsl that selects", () => {
  const names = selectingFunctions(selectGatherGroupKernel.source);
  assert(names.length > 5, names.join());
  assertEquals(names.filter((name) => !(name in twin || name in common)), []);
});

Deno.test("scan_pair() adds up the threads before each", () => {
  forScans((spec, turns) => {
    const params: GroupParams = { ...twinParams(spec), DISTANCE_BYTES: 1 };
    const memory = new GroupMemory(params);
    for (const { values, expected } of turns) {
      assertEquals(scan_pair(params, memory, values), expected);
    }
  });
});

/** A list for `select_gather_group.wgsl`, and the expected results of its phases. */
function rankCase(spec: Spec) {
  const most = spec.bits * spec.queries;
  const params: GroupParams = {
    ...twinParams(spec),
    LAST: most,
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
  const newest_bin = newestCounts ? list.newest_distance : most + 1;
  const tie_bound = partsOfTies(spec, truth, threshold)[0].length;
  return { params, list, truth, threshold, tie_bound, newest_bin };
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
    const { params, list, truth, threshold, newest_bin } = rankCase(spec);
    for (let block = 0; isWritten(spec, block); block++) {
      const [below, tied] = tokensOfBlock(spec, truth, threshold, block);
      const counts = count_ranked_block(params, list, block, threshold, newest_bin);
      assertEquals(counts, [below.length, tied.length]);
    }
  });
});

Deno.test("place_ranked_share() finds the blocks of each share", () => {
  forLists((spec) => {
    const { params, truth, threshold, tie_bound } = rankCase(spec);
    const { counts, before } = blockCounts(spec, truth, threshold);
    for (const share of sharesOf(spec, truth)) {
      const memory = new GroupMemory(params);
      counts.forEach((count, block) => {
        place_ranked_share(params, memory, block, count, before[block], tie_bound, share);
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
    const { params, list, truth, threshold, tie_bound, newest_bin } = rankCase(spec);
    const { before } = blockCounts(spec, truth, threshold);
    for (const share of sharesOf(spec, truth)) {
      const { first, end } = blocksOf(spec, truth, share);
      const memory = new GroupMemory(params);
      memory.share_range.set([first, end, ...before[first]]);
      compact_ranked(params, memory, list, threshold, newest_bin, tie_bound, share);
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
