/** What the codes of a prompt's keys add to the prompt phase. Pure. */
import { shapeName } from "../kernels/problem.ts";
import type { ResultRow } from "./row.ts";

const ENCODER = "encode/prompt";
const ATTENTION = "prefill/flash";

/**
 * For each case in which both were measured, a sentence without its full stop: the share of the
 * encoder in the time of prompt attention and encoder together.
 */
export function promptShares(rows: readonly ResultRow[]): string[] {
  const cases = Map.groupBy(rows, (row) => row.case_id);
  return [...cases.values()].flatMap((of) => {
    const row = (kernel: string) => of.find((row) => row.kernel === kernel && row.verified);
    const [encoder, attention] = [row(ENCODER)?.median_us, row(ATTENTION)?.median_us];
    if (!encoder || !attention) return [];
    const percent = (encoder / (encoder + attention) * 100).toFixed(1);
    const [{ kv_len, q_heads: qHeads, kv_heads: kvHeads, head_dim: headDim }] = of;
    return [
      `${ENCODER} takes ${percent}% of ${ATTENTION} + ${ENCODER} at ${kv_len} tokens ` +
      `(${shapeName({ qHeads, kvHeads, headDim })})`,
    ];
  });
}
