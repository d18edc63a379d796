/** The comparison as text, Markdown or JSON. */
import { shortNumber } from "../results/row_csv.ts";
import { fitColumns, leftOutNote, rule, wrapText } from "../tables/text_table.ts";
import type { Comparison } from "./comparison.ts";
import { basisLines, cautionLines, fileLines, totalLine, unpairedLines } from "./sentences.ts";
import type { StageSummary } from "./summary.ts";
import { CASE_HEADING, rowTable, stageTable, type Table } from "./tables.ts";

/** The formats other than plain text; each has a flag of the same name. */
export const FORMAT_NAMES = ["markdown", "json"] as const;

/** One of {@linkcode FORMAT_NAMES}. */
export type FormatName = (typeof FORMAT_NAMES)[number];

/** One pair in the `rows` of `--json`. Numbers have 6 digits. */
export interface PairRecord {
  readonly kernel: string;
  readonly case_id: string;
  readonly stage: string;
  /** Label of the other file; the base is always A. */
  readonly file: string;
  /** The metric of the base and of the other file; null if a check failed or a row has none. */
  readonly base: number | null;
  readonly value: number | null;
  /** value / base with its 95% interval. */
  readonly ratio: number | null;
  readonly ratio_low: number | null;
  readonly ratio_high: number | null;
  /** The limit of SAME: the percentage by which the ratio may differ from 1, drift included. */
  readonly limit_pct: number | null;
  readonly verdict: string;
}

/** The output of `--json`: the comparison, with its rows as pairs and its stages by file. */
export interface ComparisonReport extends Omit<Comparison, "rows" | "stages"> {
  /** FAILED pairs first, then by the size of the change. */
  readonly rows: readonly PairRecord[];
  readonly stages: readonly {
    /** Label of the other file. */
    readonly file: string;
    readonly stages: readonly StageSummary[];
  }[];
}

/** The fields of a pair's record, in order. */
export const PAIR_COLUMNS: readonly (keyof PairRecord)[] = [
  ...["kernel", "case_id", "stage", "file", "base", "value"] as const,
  ...["ratio", "ratio_low", "ratio_high", "limit_pct", "verdict"] as const,
];

/** The writers of the formats. Text fits `width`; no format ends with a line break. */
export const FORMATS: Readonly<
  Record<FormatName | "text", (comparison: Comparison, width?: number) => string>
> = {
  text: (comparison, width) => document(comparison, (table) => drawText(table, width), "\n"),
  markdown: (comparison) => document(comparison, drawMarkdown, "\n\n"),
  json: (comparison) => {
    const { stages, ...rest } = comparison;
    const report: ComparisonReport = {
      ...rest,
      rows: pairRecords(comparison),
      stages: stages.map((all, i) => ({ file: comparison.files[i + 1].label, stages: all })),
    };
    return JSON.stringify(report, (_, value) => shortNumber(value), 2);
  },
};

/** A record for each pair, in the order of the comparison's rows. */
function pairRecords({ files, rows }: Comparison): PairRecord[] {
  const short = (value: number | null | undefined) => shortNumber(value ?? null) as number | null;
  return rows.flatMap(({ kernel, caseId, stage, base, others }) =>
    others.flatMap((other, i) =>
      other === null ? [] : [{
        kernel,
        case_id: caseId,
        stage,
        file: files[i + 1].label,
        base: short(base?.value),
        value: short(other.estimate?.value),
        ratio: short(other.ratio?.value),
        ratio_low: short(other.ratio?.low),
        ratio_high: short(other.ratio?.high),
        limit_pct: short(other.limitPct),
        verdict: other.verdict,
      }]
    )
  );
}

/** The summary, then the rows, with the sentences around them; a blank line parts the blocks. */
function document(
  comparison: Comparison,
  draw: (table: Table) => string,
  lineBreak: string,
): string {
  const stages = comparison.stages.map((all, i) => draw(stageTable(comparison, all, i)));
  const unpaired = unpairedLines(comparison);
  const cautions = cautionLines(comparison);
  return [
    fileLines(comparison).join(lineBreak),
    totalLine(comparison),
    ...stages,
    ...(cautions.length > 0 ? [cautions.join(lineBreak)] : []),
    draw(rowTable(comparison)),
    basisLines(comparison).join(lineBreak),
    ...(unpaired.length > 0 ? [unpaired.join(lineBreak)] : []),
  ].join("\n\n");
}

/** Draws a table as text. If a line has no room for its case, the case goes below the line. */
function drawText({ columns, cells }: Table, width = Infinity): string {
  const all = fitColumns(columns, cells, width);
  const fits = all.leftOut.length === 0 && all.lines.every((line) => line.length <= width);
  const last = columns.length - 1;
  const beneath = !fits && columns[last].heading === CASE_HEADING;
  const { lines, leftOut } = beneath
    ? fitColumns(columns.slice(0, last), cells.map((line) => line.slice(0, last)), width)
    : all;
  const body = lines.slice(1).flatMap((line, i) =>
    beneath ? [line, ...wrapText(`    ${cells[i][last]}`, width)] : [line]
  );
  const notes = leftOutNote(leftOut, "--markdown has all columns");
  return [lines[0], rule(lines), ...body, ...notes.flatMap((note) => wrapText(note, width))]
    .join("\n");
}

function drawMarkdown({ columns, cells }: Table): string {
  const line = (fields: readonly string[]) =>
    `| ${fields.map((field) => field.replaceAll("|", "\\|")).join(" | ")} |`;
  return [
    line(columns.map(({ heading }) => heading)),
    line(columns.map(({ words }) => words ? ":--" : "--:")),
    ...cells.map(line),
  ].join("\n");
}
