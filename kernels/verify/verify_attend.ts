/** Verifies attention: the partials of splits, and outputs. */
import { attendReference, type RowOf } from "../attend/reference.ts";
import { denseReference } from "../dense/reference.ts";
import { verifyAppendedSum, verifyKeyCodes, verifyQueryCodes } from "./verify_encode.ts";
import { referenceDistances } from "./verify_select.ts";
import type { BufferReader } from "./buffer_reader.ts";
import type { ListRef } from "./list_ref.ts";
import { knownReference, type ListVerifier } from "./error_tally.ts";
import { mergeReference } from "../merge/reference.ts";
import { isRotated, scaleOf, tiesOf, windowsOf } from "../core/problem/derived.ts";
import type { Problem } from "../core/problem/problem.ts";
import { pageListOf } from "./verify_pages.ts";
import { selectReference } from "../select/reference.ts";

/** [sequence, query head] of a row of [B, Hq]. */
function headIndex(p: Problem, row: number): number[] {
  return [Math.floor(row / p.qHeads), row % p.qHeads];
}

/** Reads q, the output and the sink logit of each query head of a list. */
function outputs(reader: BufferReader, { queryRows }: ListRef) {
  return Promise.all(queryRows.map(async (row) => {
    const [q, out, [sinkLogit]] = await Promise.all([
      reader.headRow("q", row),
      reader.headRow("out", row),
      reader.f32("sink_logits", row % reader.p.qHeads, 1),
    ]);
    return { row, q, out, sinkLogit };
  }));
}

/** Reads the first `tokens` rows of K and V of a list. */
function keysAndValues(reader: BufferReader, ref: ListRef, tokens: number) {
  return Promise.all([
    reader.cacheRows("keys", ref, 0, tokens),
    reader.cacheRows("values", ref, 0, tokens),
  ]);
}

/** Reads all rows of K and V of a list from the token pool. */
function pooledKeysAndValues(reader: BufferReader, ref: ListRef) {
  return Promise.all([
    reader.pooledRows("pool_keys", ref),
    reader.pooledRows("pool_values", ref),
  ]);
}

/** Attention over tokens, with the problem's logits. */
function attended(
  p: Problem,
  q: Float32Array,
  keys: RowOf,
  values: RowOf,
  tokens: ArrayLike<number>,
  sinkLogit?: number,
): Float64Array {
  return attendReference(q, keys, values, tokens, scaleOf(p), sinkLogit, undefined, p.softCap);
}

/** Verifies the output of dense attention over a cache or a token pool. */
export const verifyDense: ListVerifier = async (tally, reader, ref, hasBuffer, scope) => {
  const pooled = hasBuffer("token_index");
  const rows = () =>
    pooled ? pooledKeysAndValues(reader, ref) : keysAndValues(reader, ref, ref.length);
  await Promise.all((await outputs(reader, ref)).map(async ({ row, q, out, sinkLogit }) => {
    const want = await knownReference(scope, `dense ${pooled} ${row}`, async () => {
      const [keys, values] = await rows();
      const { p } = reader;
      return denseReference(q, keys, values, ref.length, sinkLogit, scaleOf(p), p.softCap);
    });
    tally.row("out", headIndex(reader.p, row), out, want);
  }));
};

/** Verifies attention over a selection: its output, or the merge of its partials. */
export const verifyAttend: ListVerifier = async (tally, reader, ref, hasBuffer, scope) => {
  const tokens = hasBuffer("selected_pages")
    ? await pageListOf(reader, ref)
    : await reader.selected(ref, await reader.selectedCount(ref));
  const { p } = reader;
  const { capacity } = p;
  const reference = (row: number, q: Float32Array, sinkLogit?: number) =>
    knownReference(scope, `attend ${row} ${sinkLogit} ${tokens}`, async () => {
      const [keys, values] = await keysAndValues(reader, ref, capacity);
      return attended(p, q, keys, values, tokens, sinkLogit);
    });
  if (hasBuffer("out")) {
    await Promise.all((await outputs(reader, ref)).map(async ({ row, q, out, sinkLogit }) => {
      const want = await reference(row, q, sinkLogit);
      tally.row("out", headIndex(reader.p, row), out, want);
    }));
    return;
  }
  await Promise.all(ref.queryRows.map(async (row) => {
    const [q, partials] = await Promise.all([reader.headRow("q", row), reader.partials(row)]);
    const want = await reference(row, q);
    const index = headIndex(reader.p, row);
    tally.row("partial_out / partial_stats, merged", index, mergeReference(...partials), want);
  }));
};

/** Verifies the output of a merge. */
export const verifyMerge: ListVerifier = async (tally, reader, { queryRows }) => {
  await Promise.all(queryRows.map(async (row) => {
    const [partials, [sinkLogit], out] = await Promise.all([
      reader.partials(row),
      reader.f32("sink_logits", row % reader.p.qHeads, 1),
      reader.headRow("out", row),
    ]);
    tally.row("out", headIndex(reader.p, row), out, mergeReference(...partials, sinkLogit));
  }));
};

/** Verifies a whole sparse step: its codes up to rounding, and its output from those codes. */
export const verifyPipeline: ListVerifier = async (tally, reader, ref, hasBuffer, scope) => {
  const { p } = reader;
  const { length } = ref;
  const kept = ["query_codes", "list_state"].find(hasBuffer);
  if (!kept) throw new RangeError("a step keeps its query codes in query_codes or list_state");
  await verifyQueryCodes(tally, reader, ref, kept);
  await verifyKeyCodes(tally, reader, ref, [length - 1]);
  if (isRotated(p)) await verifyAppendedSum(tally, reader, ref);
  const [queryCodes, newest, factor, heads] = await Promise.all([
    reader.queryCodes(ref, kept),
    reader.codes(ref, length - 1, 1),
    isRotated(p) ? reader.factors(ref, length - 1, 1) : [],
    outputs(reader, ref),
  ]);
  const tokensOfCodes = once(async () => {
    const distances = await referenceDistances(reader, ref, queryCodes);
    return selectReference(distances, windowsOf(p, length), tiesOf(p));
  });
  await Promise.all(heads.map(async ({ row, q, out, sinkLogit }) => {
    // The key holds the codes made by the step, since rounding may flip bits. The others are
    // inputs.
    const want = await knownReference(
      scope,
      `step ${row} ${queryCodes} ${newest} ${factor}`,
      async () => {
        const [tokens, [keys, values]] = await Promise.all([
          tokensOfCodes(),
          keysAndValues(reader, ref, length),
        ]);
        return attended(p, q, keys, values, tokens, sinkLogit);
      },
    );
    tally.row("out", headIndex(p, row), out, want);
  }));
};

/** Calls `make` on the first call, and returns the same result on every call. */
function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => made ??= make();
}
