/** Names a selection list of a sequence, and what belongs to it. */
import { groupSize, listHeads, queriesPerCode, queriesPerList } from "../core/problem/derived.ts";
import type { Problem } from "../core/problem/problem.ts";

/** One selection list of a sequence. */
export interface ListRef {
  readonly sequence: number;
  /** Its index among the lists of the sequence. */
  readonly head: number;
  /** Its index among all lists, [B, list heads]. */
  readonly list: number;
  /** Code head of the sequence. */
  readonly codeHead: number;
  /** KV head of the sequence. */
  readonly kvHead: number;
  /** Query heads that share the list, as rows of [B, Hq]. */
  readonly queryRows: readonly number[];
  /** Tokens of the sequence. */
  readonly length: number;
}

/** List `head` of a sequence. */
export function listRef(
  p: Problem,
  sequence: number,
  head: number,
  length: number,
): ListRef {
  const queries = queriesPerList(p);
  return {
    sequence,
    head,
    list: sequence * listHeads(p) + head,
    codeHead: Math.floor(head * queries / queriesPerCode(p)),
    kvHead: Math.floor(head * queries / groupSize(p)),
    queryRows: Array.from(
      { length: queries },
      (_, i) => sequence * p.qHeads + head * queries + i,
    ),
    length,
  };
}
