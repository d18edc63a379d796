/** Aligned columns of text. */

/** The heading and the alignment of a column. */
export interface TextColumn {
  readonly heading: string;
  /** Whether the column has words, aligned on the left; numbers are aligned on the right. */
  readonly words?: boolean;
  /** Columns of the least importance are left out first; columns without importance always stay. */
  readonly importance?: number;
}

/** Columns that fit a width, and the headings of the others. */
export interface FittedColumns {
  /** The headings, then a line for each row. */
  readonly lines: readonly string[];
  /** Headings of the columns that were left out for lack of room, in order. */
  readonly leftOut: readonly string[];
}

const GAP = "  ";

/** The headings, then a line for each row of `cells`; a column is as wide as its widest cell. */
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

/** {@linkcode alignColumns} without the least important columns that do not fit into `width`. */
export function fitColumns(
  columns: readonly TextColumn[],
  cells: readonly (readonly string[])[],
  width = Infinity,
): FittedColumns {
  const isDroppable = (column: TextColumn) => column.importance !== undefined;
  const droppable = columns.filter(isDroppable).sort((a, b) => a.importance! - b.importance!);
  for (let dropped = 0;; dropped++) {
    const leftOut = droppable.slice(0, dropped);
    const kept = columns.flatMap((column, i) => leftOut.includes(column) ? [] : [i]);
    const lines = alignColumns(
      kept.map((i) => columns[i]),
      cells.map((line) => kept.map((i) => line[i])),
    );
    const fits = lines.every((line) => line.length <= width);
    if (!fits && dropped < droppable.length) continue;
    const headings = columns.filter((column) => leftOut.includes(column))
      .map(({ heading }) => heading);
    return { lines, leftOut: [...new Set(headings)] };
  }
}

/** The sentence on the columns that were left out; empty if there are none. */
export function leftOutNote(leftOut: readonly string[], where: string): string[] {
  return leftOut.length === 0
    ? []
    : [`Not shown for want of room: ${leftOut.join(", ")}; ${where}.`];
}

/**
 * Lines of at most `width` characters, broken at spaces; a longer word is broken anywhere. Every
 * line has the indent of the text.
 */
export function wrapText(text: string, width: number): string[] {
  const indent = /^ */.exec(text)![0];
  const room = Math.max(1, width - indent.length);
  const lines: string[] = [];
  let line = "";
  for (const word of text.trim().split(/\s+/)) {
    const longer = line === "" ? word : `${line} ${word}`;
    if (longer.length <= room) {
      line = longer;
      continue;
    }
    if (line !== "") lines.push(line);
    line = word;
    for (; line.length > room; line = line.slice(room)) lines.push(line.slice(0, room));
  }
  return [...lines, line].map((each) => indent + each);
}

/** A rule as long as the longest line. */
export function rule(lines: readonly string[]): string {
  return "-".repeat(Math.max(...lines.map((line) => line.length)));
}

/** Microseconds to about four digits, the precision of a timing; empty for null. */
export function micros(us: number | null): string {
  if (us === null) return "";
  return us.toFixed(us < 100 ? 2 : us < 1000 ? 1 : 0);
}
