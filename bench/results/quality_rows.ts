/** Rows of `quality`: the figures of each method, and their CSV. */
import { stringify } from "@std/csv";
import * as v from "valibot";
import { AMOUNT, column, columnNames, COUNT, parseRows } from "./columns.ts";
import { shortNumber } from "./row_csv.ts";
import { addSums, figuresOf, noSums, type SelectorSums, type Sums } from "../selection/measure.ts";
import type { EdgeWindows } from "../selection/selector.ts";

const SHARE = v.nullable(AMOUNT);

/** Whose tokens a budget is a share of: the whole trace's, or each query's own context's. */
export const BUDGETS = ["trace", "context"] as const;

/** One of {@linkcode BUDGETS}. */
export type Budget = (typeof BUDGETS)[number];

/** Which queries of a trace are measured: all, or those in its last quarter. */
export const QUERY_SETS = ["all", "last-quarter"] as const;

/** One of {@linkcode QUERY_SETS}. */
export type QuerySet = (typeof QUERY_SETS)[number];

/**
 * The columns that `quality --csv` writes, in order, with their notes for docs/results.md. A new
 * column goes to the end and is optional, since older files lack it.
 */
export const QUALITY_ROW = v.strictObject({
  trace: column(v.string(), "Name of the trace."),
  method: column(v.string(), "Method that selects tokens."),
  bits_per_token_per_kv_head: column(AMOUNT, "Bits that the method reads to select tokens."),
  sparsity: column(AMOUNT, "Tokens over tokens to select."),
  k: column(COUNT, "Tokens to select from the middle: `floor(tokens / sparsity)`, or its mean."),
  head: column(v.union([COUNT, v.literal("all")]), "Query head, from 0, or all heads together."),
  queries: column(COUNT, "Number of queries."),
  recall: column(SHARE, "Mean share of the exact top k that was selected; empty if k is 0."),
  mass_middle: column(SHARE, "Share of the middle's attention mass that was selected."),
  mass_total: column(AMOUNT, "Mean share of a query's attention mass that was attended."),
  output_rel_err: column(SHARE, "Mean relative L2 distance from dense attention's output."),
  sink: column(COUNT, "Number of first tokens, which are always attended."),
  recent: column(COUNT, "Number of last tokens, which are always attended."),
  seed: column(COUNT, "Seed of random projections and rotations."),
  code_bytes: v.optional(
    column(v.nullable(AMOUNT), "`bits_per_token_per_kv_head` in bytes."),
    null,
  ),
  budget: v.optional(
    column(
      v.picklist(BUDGETS),
      "Whether tokens are the trace's, or those of each query's context.",
    ),
    "trace",
  ),
  query_set: v.optional(
    column(v.picklist(QUERY_SETS), "Queries measured: all, or those in the trace's last quarter."),
    "all",
  ),
});

/** The figures of one method at one budget, over the queries of one head or of all heads. */
export type QualityRow = Readonly<v.InferOutput<typeof QUALITY_ROW>>;

/** Column names in the order in which they are written. */
export const QUALITY_COLUMNS: readonly (keyof QualityRow)[] = columnNames(QUALITY_ROW);

/** The common part of the rows of one method on one trace. */
export interface RowSource {
  readonly trace: string;
  readonly method: string;
  readonly bitsPerToken: number;
  readonly sparsities: readonly number[];
  /** Numbers of tokens to select, by sparsity; means over the queries if they differ. */
  readonly ks: readonly number[];
  readonly budget: Budget;
  readonly querySet: QuerySet;
  /** Whether output errors were measured. */
  readonly hasValues: boolean;
  readonly windows: EdgeWindows;
  readonly seed: number;
}

/** A row for each budget and head. After the heads of a budget comes a row for all of them. */
export function rowsOf(source: RowSource, sums: SelectorSums): QualityRow[] {
  const { trace, method, bitsPerToken, sparsities, ks, hasValues, windows, seed } = source;
  const row = (i: number, head: number | "all", ofQueries: Sums): QualityRow => {
    const { recall, massMiddle, massTotal, outputRelErr } = figuresOf(ofQueries);
    return {
      trace,
      method,
      bits_per_token_per_kv_head: bitsPerToken,
      sparsity: sparsities[i],
      k: Math.round(ks[i]),
      head,
      queries: ofQueries.queries,
      recall,
      mass_middle: massMiddle,
      mass_total: massTotal,
      output_rel_err: hasValues ? outputRelErr : null,
      ...windows,
      seed,
      code_bytes: bitsPerToken / 8,
      budget: source.budget,
      query_set: source.querySet,
    };
  };
  return sums.flatMap((heads, i) => [
    ...heads.map((ofHead, head) => row(i, head, ofHead)),
    row(i, "all", heads.reduce(addSums, noSums())),
  ]);
}

/** The rows as RFC 4180 text with a header. */
export function qualityCsv(rows: readonly QualityRow[]): string {
  const fields = rows.map((row) => QUALITY_COLUMNS.map((name) => shortNumber(row[name])));
  return stringify([[...QUALITY_COLUMNS], ...fields]);
}

/**
 * The rows of a text that `deno task quality --csv` wrote.
 *
 * @param path Names the file in errors.
 * @throws {UsageError} for other columns, or naming the first damaged line.
 */
export function parseQuality(text: string, path: string): QualityRow[] {
  const lines = parseRows(text, QUALITY_ROW, { path, expected: "quality --csv writes" });
  return lines.map(({ row }) => row);
}
