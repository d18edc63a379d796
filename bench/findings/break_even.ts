/** From how many requests over a shared prefix on dense attention costs less than the sparse step. */
import { shapeName } from "../../kernels/core/problem/derived.ts";
import type { ResultRow } from "../results/row.ts";
import { picksName } from "./case_names.ts";
import { compareCase, type Comparison } from "./comparison.ts";

/** The comparison at one number of requests. */
interface Requests {
  readonly requests: number;
  readonly comparison: Comparison;
}

/**
 * A sentence without its full stop for each prefix whose requests were timed in several numbers, on a
 * GPU: the ratio at each of them, and from which one on dense attention is faster. The number that
 * follows from bytes alone stands beside it.
 */
export function breakEvens(rows: readonly ResultRow[]): string[] {
  const shared = rows.filter(({ prefix, software }) => prefix > 0 && !software);
  const series = Map.groupBy(
    shared,
    (row) => JSON.stringify([row.case_id.replace(/-b\d+-/, "-"), row.prefix]),
  );
  return [...series.values()].flatMap((rowsOfSeries) => {
    const cases = [...Map.groupBy(rowsOfSeries, ({ batch }) => batch)];
    const compared = cases.flatMap(([requests, each]): Requests[] => {
      const comparison = compareCase(each);
      return typeof comparison === "string" ? [] : [{ requests, comparison }];
    }).sort((a, b) => a.requests - b.requests);
    return compared.length < 2 ? [] : [sentenceOf(rowsOfSeries[0], compared)];
  });
}

function sentenceOf(row: ResultRow, compared: readonly Requests[]): string {
  const { q_heads: qHeads, kv_heads: kvHeads, head_dim: headDim, prefix } = row;
  const shape = shapeName({ qHeads, kvHeads, headDim });
  const ratios = compared.map(({ comparison }) => comparison.speedup.toFixed(2));
  const numbers = compared.map(({ requests }) => String(requests));
  const winner = ({ comparison }: Requests) => comparison.winner;
  const lastLoss = compared.findLastIndex((each) => winner(each) !== "dense");
  const from = compared[lastLoss + 1];
  const result = from
    ? `it is faster from ${from.requests} on`
    : "it is not faster at the last of them";
  const derived = derivedRequests(row);
  return `Over a shared prefix of ${prefix.toLocaleString("en-US")} tokens (${shape}, ` +
    `${picksName(row)}) dense attention takes ${listed(ratios)} times as long as the sparse step ` +
    `at ${listed(numbers)} requests; ${result}, and by bytes alone it would be from ` +
    `${derived.toLocaleString("en-US", { maximumFractionDigits: 1 })} on`;
}

/**
 * The number of requests whose gathers read as many bytes as one read of the prefix, if no two lists
 * overlap: the sparsity over the query heads of a KV head. Windows and codes do not count.
 */
function derivedRequests({ kv_len, k, q_heads, kv_heads }: ResultRow): number {
  return kv_len / Math.max(1, k) / (q_heads / kv_heads);
}

/** `1, 5 and 8`. */
function listed(texts: readonly string[]): string {
  return `${texts.slice(0, -1).join(", ")} and ${texts[texts.length - 1]}`;
}
