/** What the codes of a prompt's keys add to the prompt phase. Pure. */
import { shapeName } from "../../kernels/core/problem.ts";
import { counted } from "../base/counted.ts";
import { fastest } from "../base/fastest.ts";
import type { PeerTime } from "./peers.ts";
import { hasSameSizes, type NamedTime } from "./ratios.ts";
import type { ResultRow } from "../results/row.ts";

const ENCODER = "encode/prompt";
const ATTENTION = "prefill/flash";

/**
 * For each case in which the encoder was timed, a sentence without its full stop: its time in
 * percent of the fastest prompt attention known, a peer's or `prefill/flash`. Nothing is said where
 * none is known.
 */
export function promptShares(rows: readonly ResultRow[], peers: readonly PeerTime[]): string[] {
  const cases = Map.groupBy(rows, (row) => row.case_id);
  return [...cases.values()].flatMap((of) => {
    const [encoder] = timesOf(of, ENCODER);
    const known = [
      ...timesOf(of, ATTENTION),
      ...peers.filter((peer) => peer.stage === "prefill" && hasSameSizes(peer, of[0]))
        .map(({ peer, medianUs }) => ({ name: peer, medianUs })),
    ];
    const best = fastest(known, ({ medianUs }) => medianUs);
    if (!encoder || !best) return [];
    const which = known.length === 1 ? "only" : "fastest";
    const [{ kv_len, q_heads: qHeads, kv_heads: kvHeads, head_dim: headDim }] = of;
    return [
      `${ENCODER} adds ${percent(encoder.medianUs / best.medianUs)} to the time of ` +
      `${best.name}, the ${which} prompt attention known here, at ` +
      `${counted(kv_len, "token")} (${shapeName({ qHeads, kvHeads, headDim })})`,
    ];
  });
}

function timesOf(rows: readonly ResultRow[], kernel: string): NamedTime[] {
  return rows.flatMap(({ kernel: name, verified, median_us: medianUs }) =>
    name === kernel && verified && medianUs !== null ? [{ name, medianUs }] : []
  );
}

/** To two digits at least. */
function percent(share: number): string {
  return `${(share * 100).toFixed(share < 0.0995 ? 1 : 0)}%`;
}
