/** Where a step puts what it makes of the newest token in the buffers that it keeps. */
import { headStats } from "../core/layout.ts";
import { INDEX } from "../core/system_layout.ts";
import { rowRuns } from "../core/problem/cache_layout.ts";
import { HEAD_LABELS, LABEL_FORMS, labelHeads } from "../core/problem/labels.ts";
import { PAGE_TOKENS, pageCapacity } from "../core/problem/pages.ts";
import { codeHeads, codeWords, kvBytes, prefixOf } from "../core/problem/derived.ts";
import type { Problem } from "../core/problem/problem.ts";
import type { Stage } from "../core/variant.ts";
import { PQ_PARTS, pqNames } from "../encode/pq.ts";

/** Stages whose steps add rows of the newest tokens to all that they keep. */
export const ADDING_STAGES: readonly Stage[] = ["encode_append", "pipeline", "rival"];

/** Rows of each head, of which the newest token changes one. */
interface KeptRows {
  readonly heads: number;
  /** Bytes from a head to the next. */
  readonly headBytes: number;
  /** Bytes before the rows of a head. */
  readonly offset?: number;
  readonly rowBytes: number;
  /** The row that the newest token changes (default: its own). */
  rowOf?(newest: number): number;
  /** The row is made of its older state, too. */
  readonly addsTo?: true;
}

/** The rows of every buffer to which a step adds the newest token. */
function keptRows(p: Problem): Readonly<Record<string, readonly KeptRows[]>> {
  const pageBytes = 2 * p.headDim * kvBytes(p.dtype);
  const packedBytes = 12 * p.capacity;
  const rows = (heads: number, rowBytes: number): readonly KeptRows[] => [
    { heads, headBytes: p.capacity * rowBytes, rowBytes },
  ];
  return {
    codes: rows(codeHeads(p), 4 * codeWords(p)),
    factors: rows(codeHeads(p), 1),
    key_stats: [{
      heads: codeHeads(p),
      headBytes: 4 * headStats(p),
      rowBytes: 4,
      rowOf: (newest) => (newest + 1) % 2,
    }],
    index_codes: rows(1, INDEX.dim),
    index_scales: rows(1, 4),
    ...Object.fromEntries(LABEL_FORMS.map((form) => [
      form.labels,
      rows(labelHeads(form, p), HEAD_LABELS.bytes),
    ])),
    ...Object.fromEntries(PQ_PARTS.map((parts) => [
      pqNames(parts).pq_codes,
      // Two parts of a token share half a word, each four of more have a row of words.
      rows(p.kvHeads * Math.ceil(parts / 4), Math.min(parts, 4)),
    ])),
    packed_labels: [
      { heads: p.kvHeads, headBytes: packedBytes, rowBytes: 8 },
      { heads: p.kvHeads, headBytes: packedBytes, offset: 8 * p.capacity, rowBytes: 4 },
    ],
    page_bounds: [{
      heads: p.kvHeads,
      headBytes: pageCapacity(p) * pageBytes,
      rowBytes: pageBytes,
      rowOf: (newest) => Math.floor(newest / PAGE_TOKENS),
      addsTo: true,
    }],
  };
}

/** Names of the buffers to which a step may add the newest token. */
export function keptNames(p: Problem): string[] {
  return Object.keys(keptRows(p));
}

/** Names of those whose newest rows are made of nothing older. */
export function remadeNames(p: Problem): string[] {
  return Object.entries(keptRows(p))
    .filter(([, parts]) => !parts.some(({ addsTo }) => addsTo))
    .map(([name]) => name);
}

/** Buffers in which sequences share the rows of their prefix. */
const PREFIXED = ["codes", "factors"];

/** The bytes of a buffer that the newest tokens of all sequences change. */
export function newestRows(
  name: string,
  p: Problem,
  lengths: readonly number[],
): { readonly offset: number; readonly bytes: number }[] {
  return keptRows(p)[name].flatMap(({ heads, headBytes, offset = 0, rowBytes, rowOf }) =>
    Array.from({ length: p.batch * heads }, (_, row) => {
      const [sequence, head] = [Math.floor(row / heads), row % heads];
      const newest = lengths[sequence] - 1;
      if (prefixOf(p) > 0 && PREFIXED.includes(name)) {
        const [{ first }] = rowRuns(p, heads, { sequence, head }, [newest, newest + 1]);
        return { offset: first * rowBytes, bytes: rowBytes };
      }
      const at = row * headBytes + offset + (rowOf?.(newest) ?? newest) * rowBytes;
      return { offset: at, bytes: rowBytes };
    })
  );
}
