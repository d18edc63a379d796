/** Asserts that a step changes nothing of older tokens in the buffers that it keeps. */
import { assertEquals } from "@std/assert";
import { INDEX } from "../../kernels/core/layout.ts";
import { HEAD_LABELS, LABEL_FORMS, labelHeads } from "../../kernels/core/problem/labels.ts";
import { PAGE_TOKENS, pageCapacity } from "../../kernels/core/problem/pages.ts";
import { rowRuns } from "../../kernels/core/problem/cache_layout.ts";
import {
  codeHeads,
  codeWords,
  kvBytes,
  prefixOf,
  type Problem,
} from "../../kernels/core/problem/problem.ts";
import { PQ_PARTS, pqNames } from "../../kernels/encode/pq.ts";
import type { Inputs } from "./input_options.ts";

/** Rows of each head, of which the newest token may change one. */
interface KeptRows {
  readonly heads: number;
  /** Bytes from a head to the next. */
  readonly headBytes: number;
  /** Bytes before the rows of a head. */
  readonly offset?: number;
  readonly rowBytes: number;
  /** Tokens of a row. */
  readonly tokens?: number;
}

/** The rows of every buffer to which a step adds the newest token. */
function keptRows(p: Problem): Readonly<Record<string, readonly KeptRows[]>> {
  const codeBytes = 4 * codeWords(p);
  const pageBytes = 2 * p.headDim * kvBytes(p.dtype);
  const packedBytes = 12 * p.capacity;
  const rows = (heads: number, rowBytes: number): readonly KeptRows[] => [
    { heads, headBytes: p.capacity * rowBytes, rowBytes },
  ];
  return {
    codes: rows(codeHeads(p), codeBytes),
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
      tokens: PAGE_TOKENS,
    }],
  };
}

/** Names of the inputs to which a step adds the newest token. */
export function keptInputs(p: Problem, inputs: Inputs): string[] {
  return Object.keys(keptRows(p)).filter((name) => name in inputs);
}

/** Asserts that a buffer is unchanged but for the rows of the newest tokens. */
export function assertKept(
  name: string,
  p: Problem,
  lengths: readonly number[],
  before: ArrayBufferView<ArrayBuffer>,
  after: Uint8Array,
  where: string,
): void {
  const [old, now] = [before, after].map((view) => {
    const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength).slice();
    for (const { heads, headBytes, offset = 0, rowBytes, tokens = 1 } of keptRows(p)[name]) {
      for (let head = 0; head < p.batch * heads; head++) {
        const newest = lengths[Math.floor(head / heads)] - 1;
        const place = { sequence: Math.floor(head / heads), head: head % heads };
        const start = prefixOf(p) > 0
          ? rowRuns(p, heads, place, [newest, newest + 1])[0].first * rowBytes
          : head * headBytes + offset + Math.floor(newest / tokens) * rowBytes;
        bytes.fill(0, start, start + rowBytes);
      }
    }
    return bytes;
  });
  const changed = old.findIndex((byte, i) => byte !== now[i]);
  assertEquals(
    changed,
    -1,
    `byte ${changed} of ${name} is of an older token, but changed\n${where}`,
  );
}
