/** A run's ratios as text and as CSV. */
import { stringify } from "@std/csv";
import type { CaseTimes, NamedTime, StepTime } from "../findings/ratios.ts";
import { shortNumber } from "../results/row_csv.ts";
import { fitColumns, leftOutNote, micros, rule, wrapText } from "./text_table.ts";

type Value = string | number | null;

/** A column of `ratios.csv`, and of the text if it has a heading. */
interface Column {
  /** The name in the CSV, which ends in `_us` (microseconds), `_pct` or `_x` (time over time). */
  readonly name: string;
  /** The heading in the text; a column without one is only in the CSV. */
  readonly heading?: string;
  /** The importance of a {@linkcode TextColumn}. */
  readonly importance?: number;
  value(times: CaseTimes): Value;
}

/** Most characters of a label (a trace's may have any length) and of a kernel's name. */
const MAX_LABEL = 18;
const MAX_NAME = 20;

const SOFTWARE = "WARNING: ratios on a software adapter say nothing about a GPU.";

const CASE: readonly Column[] = [
  { name: "label", heading: "case", value: ({ label }) => label },
  { name: "case_id", value: ({ row }) => row.case_id },
  { name: "batch", heading: "B", value: ({ row }) => row.batch },
  { name: "q_heads", value: ({ row }) => row.q_heads },
  { name: "kv_heads", value: ({ row }) => row.kv_heads },
  { name: "head_dim", value: ({ row }) => row.head_dim },
  { name: "kv_len", heading: "N", value: ({ row }) => row.kv_len },
];

const TABLES: readonly { readonly title: string; readonly columns: readonly Column[] }[] = [
  {
    title: "Dense attention here and in other software",
    columns: [
      {
        name: "cuda_dense",
        heading: "CUDA dense",
        importance: 0,
        value: (t) => nameOf(t.cudaDense),
      },
      { name: "cuda_dense_us", heading: "us", value: (t) => usOf(t.cudaDense) },
      {
        name: "wgsl_dense",
        heading: "WGSL dense",
        importance: 1,
        value: (t) => nameOf(t.wgslDense),
      },
      { name: "wgsl_dense_us", heading: "us", value: (t) => usOf(t.wgslDense) },
      {
        name: "wgsl_dense_over_cuda_dense_x",
        heading: "WGSL/CUDA",
        value: (t) => over(t.wgslDense, t.cudaDense),
      },
      { name: "ort_web_us", heading: "ORT us", importance: 2, value: (t) => usOf(t.ortDense) },
      {
        name: "ort_web_over_wgsl_dense_x",
        heading: "ORT/WGSL",
        value: (t) => over(t.ortDense, t.wgslDense),
      },
    ],
  },
  {
    title: "Dense attention over the sparse step",
    columns: [
      { name: "step", heading: "step", importance: 1, value: (t) => nameOf(t.step) },
      { name: "step_us", heading: "us", value: (t) => usOf(t.step) },
      {
        name: "step_floor_us",
        heading: "roofline us",
        importance: 0,
        value: (t) => t.step?.rooflineUs ?? null,
      },
      {
        name: "step_floor_pct",
        heading: "% roofline",
        importance: 2,
        value: ({ step }) => floorPct(step),
      },
      {
        name: "cuda_dense_over_step_x",
        heading: "x CUDA",
        value: (t) => over(t.cudaDense, t.step),
      },
      {
        name: "wgsl_dense_over_step_x",
        heading: "x WGSL",
        value: (t) => over(t.turnDense, t.step),
      },
      { name: "ort_web_over_step_x", heading: "x ORT", value: (t) => over(t.ortDense, t.step) },
    ],
  },
  {
    title: "The paper's baselines over the sparse step (the paper: 3-6x and 2.5-4.5x on an L4)",
    columns: [
      { name: "token_pool_us", heading: "LightLLM style us", value: (t) => usOf(t.tokenPool) },
      { name: "token_pool_over_step_x", heading: "x", value: (t) => over(t.tokenPool, t.step) },
      { name: "gpt_fast_us", heading: "gpt-fast style us", value: (t) => usOf(t.gptFast) },
      { name: "gpt_fast_over_step_x", heading: "x", value: (t) => over(t.gptFast, t.step) },
    ],
  },
  {
    title: "Prompt attention here and in CUDA",
    columns: [
      { name: "cuda_prompt", heading: "CUDA", importance: 0, value: (t) => nameOf(t.cudaPrompt) },
      { name: "cuda_prompt_us", heading: "us", value: (t) => usOf(t.cudaPrompt) },
      { name: "prompt", heading: "WGSL", importance: 1, value: (t) => nameOf(t.prompt) },
      { name: "prompt_us", heading: "us", value: (t) => usOf(t.prompt) },
      {
        name: "prompt_floor_pct",
        heading: "% roofline",
        importance: 2,
        value: ({ prompt }) => floorPct(prompt),
      },
      {
        name: "prompt_over_cuda_prompt_x",
        heading: "WGSL/CUDA",
        value: (t) => over(t.prompt, t.cudaPrompt),
      },
    ],
  },
  {
    title: "torch.topk over select/counting",
    columns: [
      { name: "select_us", heading: "select us", value: (t) => usOf(t.select) },
      { name: "torch_topk_us", heading: "topk us", value: (t) => usOf(t.topK) },
      { name: "torch_topk_over_select_x", heading: "x", value: (t) => over(t.topK, t.select) },
    ],
  },
];

/** Columns of the roofline, which the probes of a software adapter do not give. */
const ROOFLINE_COLUMNS = ["step_floor_us", "step_floor_pct", "prompt_floor_pct"];

/** The width for outputs of unknown width, such as pipes. */
const DEFAULT_WIDTH = 120;

/**
 * The ratios in tables, with a line for each case. Columns without a value and tables without a
 * ratio are left out; the text is empty if no table is left.
 *
 * @param width Maximum characters per line; the least important columns are left out to fit it.
 */
export function formatRatios(times: readonly CaseTimes[], width = DEFAULT_WIDTH): string {
  const software = times.some(({ row }) => row.software);
  const narrowed = new Set<string>();
  const tables = TABLES.flatMap(({ title, columns }) => {
    const filled = columns.filter((column) =>
      !(software && ROOFLINE_COLUMNS.includes(column.name)) &&
      times.some((line) => column.value(line) !== null)
    );
    if (!filled.some(({ name }) => name.endsWith("_x"))) return [];
    const shown = [...CASE, ...filled].filter(({ heading }) => heading);
    const { lines, leftOut } = fitColumns(
      shown.map(({ name, heading, importance }) => (
        { heading: heading!, words: isWords(name), importance }
      )),
      times.map((line) => shown.map((column) => cell(column, line))),
      width,
    );
    for (const heading of leftOut) narrowed.add(heading);
    return [[...wrapText(title, width), "", lines[0], rule(lines), ...lines.slice(1)].join("\n")];
  });
  if (tables.length > 0 && software) tables.unshift(SOFTWARE);
  const notes = leftOutNote([...narrowed], "ratios.csv has all columns");
  tables.push(...notes.map((note) => wrapText(note, width).join("\n")));
  return tables.join("\n\n");
}

/** The ratios as RFC 4180 CSV with all columns, empty ones included. */
export function ratiosCsv(times: readonly CaseTimes[]): string {
  const columns = [...CASE, ...TABLES.flatMap(({ columns }) => columns)];
  const lines = times.map((line) => columns.map((column) => shortNumber(column.value(line))));
  return stringify([columns.map(({ name }) => name), ...lines]);
}

function isWords(name: string): boolean {
  return ["label", "cuda_dense", "wgsl_dense", "step", "cuda_prompt", "prompt"].includes(name);
}

function cell({ name, value }: Column, times: CaseTimes): string {
  const found = value(times);
  if (typeof found === "string") return name === "label" ? found.slice(0, MAX_LABEL) : short(found);
  if (found === null || !/_(us|x|pct)$/.test(name)) return String(found ?? "");
  return name.endsWith("_us") ? micros(found) : found.toFixed(name.endsWith("_pct") ? 1 : 2);
}

/** The name of a kernel without its stage, which the heading names. */
function short(kernel: string): string {
  return kernel.replace(/^(dense|pipeline|prefill)\//, "").slice(0, MAX_NAME);
}

function nameOf(time: NamedTime | null): string | null {
  return time?.name ?? null;
}

function usOf(time: NamedTime | null): number | null {
  return time?.medianUs ?? null;
}

/** The roofline in percent of the time. */
function floorPct(time: StepTime | null): number | null {
  return time?.rooflineUs ? time.rooflineUs / time.medianUs * 100 : null;
}

/** The time of one over that of the other. */
function over(one: NamedTime | null, other: NamedTime | null): number | null {
  return one && other ? one.medianUs / other.medianUs : null;
}
