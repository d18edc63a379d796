/** The types of figures and tables in the report, and the cells and words that they share. */
import { fastest } from "../../base/fastest.ts";
import type { Chart } from "../../chart/chart.ts";
import type { ResultRow } from "../../results/row.ts";
import { micros } from "../../tables/text_table.ts";

/** The numbers behind a figure. */
export interface Table {
  readonly columns: readonly string[];
  /** Numbers are aligned on the right. A row of one cell is the heading of the rows below it. */
  readonly rows: readonly (readonly TableCell[])[];
  /** Number formats by column; the default separates thousands and drops trailing zeros. */
  readonly formats?: Readonly<Record<string, (value: number) => string>>;
}

/** A cell; null for an empty one. */
export type TableCell = string | number | null;

/** A table that a section shows by itself. */
export interface SectionTable {
  /** The table's anchor, in the form of a figure's id. */
  readonly id: string;
  readonly title: string;
  readonly caption: string;
  /** Whether the table takes the whole width of the page. */
  readonly wide: boolean;
  readonly table: Table;
}

/** A figure with its caption and its numbers. */
export interface Figure {
  /** The name of the figure's file and anchor: lowercase letters, digits and dashes. */
  readonly id: string;
  readonly caption: string;
  readonly chart: Chart;
  readonly table: Table;
}

/** A row whose check passed, with its time. */
export type TimedRow = ResultRow & { readonly median_us: number };

/** The rows that have a time. */
export function timedRows(rows: readonly ResultRow[]): TimedRow[] {
  // A median of 0 means that the clock is too coarse for the kernel.
  return rows.filter((row): row is TimedRow => row.verified && !!row.median_us);
}

/** The fastest row; undefined without rows. */
export function fastestRow(rows: readonly TimedRow[]): TimedRow | undefined {
  return fastest(rows, (row) => row.median_us);
}

/** The meaning of the numbers in a shape's name, for legends and captions. */
export const SHAPE_WORDS = "query heads x KV heads x head dimension";

/** Microseconds, rounded to their significant digits; null without a time. */
export function microsCell(us: number | null | undefined): number | null {
  return us === null || us === undefined ? null : Number(micros(us));
}

/** Formats a ratio with trailing zeros, so that a column of ratios lines up. */
export function ratioText(value: number): string {
  return value.toFixed(2);
}

/** A number rounded to `places` decimals; null without a number. */
export function decimalCell(value: number | null | undefined, places: number): number | null {
  return value === null || value === undefined ? null : Number(value.toFixed(places));
}

/** A text as part of an id or a file's name. */
export function idOf(text: string): string {
  return text.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "").slice(0, 60) || "x";
}

/** Figures that belong together. */
export interface Section {
  readonly heading: string;
  /** Facts about what was measured, as names and values. */
  readonly facts: readonly (readonly [string, string])[];
  /** A warning above the tables and figures; null for none. */
  readonly warning: string | null;
  /** Tables that are always open. */
  readonly tables: readonly SectionTable[];
  readonly figures: readonly Figure[];
}
