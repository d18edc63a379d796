/** The readable table of a run: one block for each case, as wide as the terminal. */
import { layoutName, scoreName } from "../findings/case_names.ts";
import { shapeName } from "../../kernels/core/problem/derived.ts";
import type { ResultRow } from "../results/row.ts";
import { fitColumns, leftOutNote, micros, rule, type TextColumn, wrapText } from "./text_table.ts";

interface Column extends TextColumn {
  cell(row: ResultRow): string;
}

/** The width for outputs of unknown width, such as pipes. */
const DEFAULT_WIDTH = 100;

const COLUMNS: readonly Column[] = [
  { heading: "kernel", words: true, cell: (row) => row.kernel },
  { heading: "stage", words: true, cell: (row) => row.stage, importance: 0 },
  { heading: "median us", cell: (row) => row.verified ? micros(row.median_us) : "FAILED" },
  { heading: "95% interval", cell: interval, importance: 2 },
  { heading: "GB/s", cell: (row) => decimals(row.gbytes_per_s, 1), importance: 3 },
  { heading: "% roofline", cell: rooflineShare, importance: 4 },
  { heading: "x dense", cell: (row) => decimals(row.speedup_vs_dense, 2) },
  { heading: "error", cell: error, importance: 1 },
];

/**
 * The rows as text, in one block per case, in order. `% roofline` is the roofline (bytes or
 * arithmetic at the device's own rate, plus dispatches) over the median, `x dense` the speedup over
 * the best dense kernel, `error` the relative distance from the f64 reference.
 *
 * @param width Maximum characters per line; the least important columns are left out to fit it.
 */
export function formatTable(rows: readonly ResultRow[], width = DEFAULT_WIDTH): string {
  const blocks = rowsByCase(rows).map((all) => formatCase(all, width));
  const leftOut = COLUMNS.map(({ heading }) => heading)
    .filter((heading) => blocks.some((block) => block.leftOut.includes(heading)));
  const note = leftOutNote(leftOut, "results.csv has all columns")
    .flatMap((line) => wrapText(line, width)).join("\n");
  return [...blocks.map(({ text }) => text), ...(note === "" ? [] : [note])].join("\n\n");
}

/** The rows of each case that has some besides probes: a run that ended early leaves others. */
export function rowsByCase(rows: readonly ResultRow[]): ResultRow[][] {
  return [...Map.groupBy(rows, (row) => row.case_id).values()]
    .filter((all) => all.some(({ stage }) => stage !== "probe"));
}

/** The table of one case, before it is fitted to a width. */
export interface CaseBlock {
  readonly heading: string;
  /** The settings that all rows share, and the rates of the probes. */
  readonly notes: readonly string[];
  readonly columns: readonly TextColumn[];
  /** A line for each row, with its failure if its check failed. */
  readonly lines: readonly { readonly cells: readonly string[]; readonly failure: string }[];
}

/** The table of the rows of one case, of which some are no probes. */
export function caseBlock(all: readonly ResultRow[]): CaseBlock {
  const [first] = all;
  const rows = all.filter((row) => row.stage !== "probe");
  const tokens = first.lengths === "1"
    ? "1 token"
    : `${first.lengths.replaceAll(" ", ", ")} tokens`;
  const columns = COLUMNS.filter((column) => rows.some((row) => column.cell(row) !== ""));
  return {
    heading: `${shapeName(shapeOf(first))}, ${tokens}`,
    notes: [settingsOf(first, rows), rooflineOf(all)].filter((note) => note.trim()),
    columns,
    lines: rows.map((row) => ({
      cells: columns.map((column) => column.cell(row)),
      failure: row.verified ? "" : row.failure,
    })),
  };
}

function formatCase(
  all: readonly ResultRow[],
  width: number,
): { readonly text: string; readonly leftOut: readonly string[] } {
  const { heading, notes, columns, lines: rows } = caseBlock(all);
  const wrap = (text: string) => wrapText(text, width);
  const { lines, leftOut } = fitColumns(columns, rows.map(({ cells }) => cells), width);
  const body = rows.flatMap(({ failure }, i) =>
    failure === "" ? [lines[i + 1]] : [lines[i + 1], ...wrap(`    ${failure}`)]
  );
  const top = [...wrap(heading), ...notes.flatMap(wrap), ""];
  return { text: [...top, lines[0], rule(lines), ...body].join("\n"), leftOut };
}

/** The rates of the device's probes; empty without probes. */
function rooflineOf(all: readonly ResultRow[]): string {
  const probes = all.filter((row) => row.stage === "probe" && row.verified);
  const last = (name: string) => probes.findLast((row) => row.kernel.startsWith(name));
  const rate = (row: ResultRow | undefined, label: string) =>
    row?.gbytes_per_s ? [`${label} ${row.gbytes_per_s.toFixed(0)} GB/s`] : [];
  const chain = last("probe/chain");
  const fma = last("probe/fma");
  const matrix = last("probe/matrix");
  const parts = [
    ...rate(last("probe/stream"), "streaming read"),
    ...rate(last("probe/gather"), "row gather"),
    ...(fma?.gflops_per_s ? [`f32 multiply-add ${fma.gflops_per_s.toFixed(0)} GFLOP/s`] : []),
    ...(matrix?.gflops_per_s ? [`matrices ${matrix.gflops_per_s.toFixed(0)} GFLOP/s`] : []),
    ...(chain ? [`dependent dispatch ${micros(chain.median_us)} us`] : []),
  ];
  return parts.length ? `probes: ${parts.join(", ")}` : "";
}

function shapeOf({ q_heads, kv_heads, head_dim }: ResultRow) {
  return { qHeads: q_heads, kvHeads: kv_heads, headDim: head_dim };
}

/** The other settings that the rows of a block share. */
function settingsOf(row: ResultRow, rows: readonly ResultRow[]): string {
  const caches = [...new Set(rows.map(({ cache }) => cache))].join(" or ");
  const share = row.code_sharing === "head" ? "query head" : "KV head";
  const cache = [row.dtype, layoutName(row)].filter((text) => text !== "").join(" ");
  return `batch ${row.batch}, ${cache}, ${row.bits}-bit codes per ${share} (${scoreName(row)}), ` +
    `${row.selected} selected, windows of ${row.sink} sink and ${row.recent} recent, ${caches} cache ` +
    `[${row.case_id}]`;
}

function interval({ ci_low_us: low, ci_high_us: high }: ResultRow): string {
  return low === null || high === null ? "" : `${micros(low)}-${micros(high)}`;
}

function error({ rel_l2_err }: ResultRow): string {
  // Exact stages have no error.
  return rel_l2_err === 0 ? "0" : rel_l2_err?.toExponential(1) ?? "";
}

/** Empty on a software adapter: a CPU's caches let kernels run several times above its roofline. */
function rooflineShare({ software, roofline_pct }: ResultRow): string {
  return software ? "" : decimals(roofline_pct, 1);
}

function decimals(value: number | null, places: number): string {
  return value?.toFixed(places) ?? "";
}
