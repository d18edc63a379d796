/** Rows of results: what the sums of a method come to, and their CSV. Pure. */
import { stringify } from "@std/csv";
import { csvLines, damaged, decimalNumber } from "./csv_lines.ts";
import { shortNumber } from "./row_csv.ts";
import { addSums, figuresOf, noSums, type SelectorSums, type Sums } from "../selection/measure.ts";
import type { EdgeWindows } from "../selection/selector.ts";

/** Columns of the CSV, in order. */
export const QUALITY_COLUMNS = [
  "trace",
  "method",
  "bits_per_token_per_kv_head",
  "sparsity",
  "k",
  "head",
  "queries",
  "recall",
  "mass_middle",
  "mass_total",
  "output_rel_err",
  "sink",
  "recent",
  "seed",
] as const;

/** One method at one budget, over the queries of one head or of all. */
export interface QualityRow {
  readonly trace: string;
  readonly method: string;
  /** What the method reads to decide. */
  readonly bits_per_token_per_kv_head: number;
  readonly sparsity: number;
  /** floor(tokens / sparsity): what is asked of the middle. */
  readonly k: number;
  /** From 0, or `all`. */
  readonly head: number | "all";
  readonly queries: number;
  /** Mean share of the exact top-k that was taken; null where k is 0 or there is no middle. */
  readonly recall: number | null;
  /** Caught attention mass of the middle: sum / sum; null without any. */
  readonly mass_middle: number | null;
  /** Attention mass of everything attended, a query's being 1. */
  readonly mass_total: number;
  /** Mean of ||o - dense|| / ||dense||; null without values. */
  readonly output_rel_err: number | null;
  readonly sink: number;
  readonly recent: number;
  readonly seed: number;
}

/** What the rows of one method on one trace have in common. */
export interface RowSource {
  readonly trace: string;
  readonly method: string;
  readonly bitsPerToken: number;
  readonly sparsities: readonly number[];
  readonly budgets: readonly number[];
  /** Whether output errors were measured. */
  readonly hasValues: boolean;
  readonly windows: EdgeWindows;
  readonly seed: number;
}

/** A row for each budget and head, and after a budget's heads one for all of them. */
export function rowsOf(source: RowSource, sums: SelectorSums): QualityRow[] {
  const { trace, method, bitsPerToken, sparsities, budgets, hasValues, windows, seed } = source;
  const row = (i: number, head: number | "all", of: Sums): QualityRow => {
    const { recall, massMiddle, massTotal, outputRelErr } = figuresOf(of);
    return {
      trace,
      method,
      bits_per_token_per_kv_head: bitsPerToken,
      sparsity: sparsities[i],
      k: budgets[i],
      head,
      queries: of.queries,
      recall,
      mass_middle: massMiddle,
      mass_total: massTotal,
      output_rel_err: hasValues ? outputRelErr : null,
      ...windows,
      seed,
    };
  };
  return sums.flatMap((heads, i) => [
    ...heads.map((of, head) => row(i, head, of)),
    row(i, "all", heads.reduce(addSums, noSums())),
  ]);
}

/** The rows as RFC 4180 text with a header. */
export function qualityCsv(rows: readonly QualityRow[]): string {
  const fields = rows.map((row) => QUALITY_COLUMNS.map((name) => shortNumber(row[name])));
  return stringify([[...QUALITY_COLUMNS], ...fields]);
}

/** Numbers that a row may lack. */
const MAY_BE_EMPTY: readonly string[] = ["recall", "mass_middle", "output_rel_err"];

/**
 * The rows of a text that `deno task quality --csv` wrote.
 *
 * @param path Names the file in errors.
 * @throws {UsageError} for other columns, or naming the first damaged line.
 */
export function parseQuality(text: string, path: string): QualityRow[] {
  const lines = csvLines(text, QUALITY_COLUMNS, { path, due: "quality --csv writes" });
  return lines.map((csvLine) =>
    Object.fromEntries(QUALITY_COLUMNS.map((name) => {
      const field = csvLine.text(name);
      if (["trace", "method"].includes(name) || name === "head" && field === "all") {
        return [name, field];
      }
      if (field === "" && MAY_BE_EMPTY.includes(name)) return [name, null];
      const value = decimalNumber(field);
      if (Number.isFinite(value) && value >= 0) return [name, value];
      throw damaged(path, csvLine.line, `${name} cannot be "${field}"`);
    })) as unknown as QualityRow
  );
}
