/** The time to encode a prompt's keys as a share of the prompt phase. */
import { shapeName } from "../../kernels/core/problem/derived.ts";
import { counted } from "../base/counted.ts";
import { fastest } from "../base/fastest.ts";
import type { PeerTime } from "./peers.ts";
import { hasSameSizes, type NamedTime } from "./ratios.ts";
import type { ResultRow } from "../results/row.ts";

/**
 * A sentence without its full stop for each case in which the encoder was timed: its time in
 * percent of the fastest known prompt attention, which is a peer's or `prefill/flash`. A case
 * without any known prompt attention has no sentence.
 */
export function promptShares(rows: readonly ResultRow[], peers: readonly PeerTime[]): string[] {
  const cases = Map.groupBy(rows, (row) => row.case_id);
  return [...cases.values()].flatMap((rowsOfCase) => {
    const [encoder] = timesOf(rowsOfCase, "encode_prompt");
    const known = [
      ...timesOf(rowsOfCase, "prefill"),
      ...peers.filter((peer) => peer.stage === "prefill" && hasSameSizes(peer, rowsOfCase[0]))
        .map(({ peer, medianUs }) => ({ name: peer, medianUs })),
    ];
    const best = fastest(known, ({ medianUs }) => medianUs);
    if (!encoder || !best) return [];
    const which = known.length === 1 ? "only" : "fastest";
    const [{ kv_len, q_heads: qHeads, kv_heads: kvHeads, head_dim: headDim }] = rowsOfCase;
    return [
      `${encoder.name} adds ${percent(encoder.medianUs / best.medianUs)} to the time of ` +
      `${best.name}, the ${which} prompt attention known here, at ` +
      `${counted(kv_len, "token")} (${shapeName({ qHeads, kvHeads, headDim })})`,
    ];
  });
}

function timesOf(rows: readonly ResultRow[], wanted: ResultRow["stage"]): NamedTime[] {
  return rows.flatMap(({ kernel: name, stage, verified, median_us: medianUs }) =>
    stage === wanted && verified && medianUs !== null ? [{ name, medianUs }] : []
  );
}

/** A share in percent, with at least two digits from 1% on. */
function percent(share: number): string {
  return `${(share * 100).toFixed(share < 0.0995 ? 1 : 0)}%`;
}
