/** Verifies prefill attention. */
import type { ListVerifier } from "./error_tally.ts";
import { prefillReference } from "../prefill/reference.ts";
import { verifiedTokens } from "./verified_tokens.ts";

/** Verifies the rows of `prompt_out` of a list's query heads. */
export const verifyPrefill: ListVerifier = async (tally, reader, ref, _hasBuffer, scope) => {
  const { qHeads, capacity } = reader.p;
  const { sequence, length, queryRows } = ref;
  const [keys, values] = await Promise.all([
    reader.cacheRows("keys", ref, 0, length),
    reader.cacheRows("values", ref, 0, length),
  ]);
  await Promise.all(queryRows.map(async (queryRow) => {
    const head = queryRow % qHeads;
    const [sinkLogit] = await reader.f32("sink_logits", head, 1);
    const tokens = verifiedTokens(length, scope.prefillTokens ?? Infinity, head);
    await Promise.all(tokens.map(async (token) => {
      const row = (sequence * capacity + token) * qHeads + head;
      const [q, out] = await Promise.all([
        reader.headRow("prompt_q", row),
        reader.headRow("prompt_out", row),
      ]);
      const asked = tally.precision?.halfQueries ? new Float16Array(q) : q;
      const want = prefillReference(asked, keys, values, token, sinkLogit);
      tally.row("prompt_out", [sequence, token, head], out, want);
    }));
  }));
};
