/** What a figure of the report is, and the words that figures share. Pure. */
import { fastest } from "../../base/fastest.ts";
import type { Chart } from "../../chart/chart.ts";
import type { ResultRow } from "../../results/row.ts";
import { micros } from "../../tables/text_table.ts";

/** The numbers behind a figure. */
export interface Table {
  readonly columns: readonly string[];
  /**
   * Cells as they are read; numbers are aligned on the right. A row of one cell is a heading of the
   * rows below it.
   */
  readonly rows: readonly (readonly TableCell[])[];
  /** How columns write their numbers; others have thousands apart and no zeros at their ends. */
  readonly formats?: Readonly<Record<string, (value: number) => string>>;
}

/** A cell: null where there is nothing to tell. */
export type TableCell = string | number | null;

/** A table that a section shows by itself. */
export interface SectionTable {
  /** Names the table's anchor, as a figure's does. */
  readonly id: string;
  readonly title: string;
  readonly caption: string;
  /** Whether it takes the whole width of a page. */
  readonly wide: boolean;
  readonly table: Table;
}

/** A figure, its words and its numbers. */
export interface Figure {
  /** Names the figure's file and anchor: small letters, digits and dashes. */
  readonly id: string;
  readonly caption: string;
  readonly chart: Chart;
  readonly table: Table;
}

/** A row whose check passed, with its time. */
export type TimedRow = ResultRow & { readonly median_us: number };

/** The rows that have a time. */
export function timedRows(rows: readonly ResultRow[]): TimedRow[] {
  // A median of 0 is a clock too coarse for the kernel.
  return rows.filter((row): row is TimedRow => row.verified && !!row.median_us);
}

/** The row of the shortest time; undefined without any. */
export function fastestRow(rows: readonly TimedRow[]): TimedRow | undefined {
  return fastest(rows, (row) => row.median_us);
}

/** What the numbers in a shape's name are, as a legend or a caption says it. */
export const SHAPE_WORDS = "query heads x KV heads x head dimension";

/** Microseconds to as many digits as they are good for; null for none. */
export function microsCell(us: number | null | undefined): number | null {
  return us === null || us === undefined ? null : Number(micros(us));
}

/** Writes a ratio, with zeros at its end too, so that a column of them lines up. */
export function ratioText(value: number): string {
  return value.toFixed(2);
}

/** A number with so many decimals; null for none. */
export function decimalCell(value: number | null | undefined, places: number): number | null {
  return value === null || value === undefined ? null : Number(value.toFixed(places));
}

/** A text as part of an id or a file's name. */
export function idOf(text: string): string {
  return text.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "").slice(0, 60) || "x";
}
