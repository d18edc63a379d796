/** Columns of text, aligned. Pure. */

/** How a column is headed and aligned. */
export interface TextColumn {
  readonly heading: string;
  /** Words line up on the left, numbers on the right. */
  readonly words?: boolean;
}

const GAP = "  ";

/** The headings and then a line for each row of `cells`, every column as wide as its widest cell. */
export function alignColumns(
  columns: readonly TextColumn[],
  cells: readonly (readonly string[])[],
): string[] {
  const all = [columns.map(({ heading }) => heading), ...cells];
  const widths = columns.map((_, i) => Math.max(...all.map((line) => line[i].length)));
  return all.map((line) =>
    line.map((cell, i) => columns[i].words ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))
      .join(GAP).trimEnd()
  );
}

/** A rule as long as the longest line. */
export function rule(lines: readonly string[]): string {
  return "-".repeat(Math.max(...lines.map((line) => line.length)));
}

/** Microseconds to about four digits: what a timing is good for; empty for null. */
export function micros(us: number | null): string {
  if (us === null) return "";
  return us.toFixed(us < 100 ? 2 : us < 1000 ? 1 : 0);
}
