import { assert, assertEquals, assertLessOrEqual, assertStringIncludes } from "@std/assert";
import { parse } from "@std/csv";
import { formatRatios, ratiosCsv } from "./ratio_table.ts";
import type { CaseTimes } from "../findings/ratios.ts";
import { makeRow } from "../../testing/row.ts";

const NOTHING: CaseTimes = {
  label: "32x8x128",
  row: makeRow(),
  cudaDense: null,
  wgslDense: null,
  step: null,
  ortDense: null,
  tokenPool: null,
  gptFast: null,
  select: null,
  topK: null,
  turnDense: null,
  isTie: false,
  prompt: null,
  cudaPrompt: null,
};

const OWN: CaseTimes = {
  ...NOTHING,
  wgslDense: { name: "dense/split", medianUs: 20 },
  step: { name: "pipeline/sparse", medianUs: 10, rooflineUs: 7.5 },
  turnDense: { name: "dense/split", medianUs: 20 },
};

const ALL: CaseTimes = {
  ...OWN,
  cudaDense: { name: "torch_cudnn", medianUs: 19 },
  ortDense: { name: "ort_web_gqa", medianUs: 400 },
  tokenPool: { name: "dense/token_pool", medianUs: 30 },
  gptFast: { name: "dense/gpt_fast", medianUs: 80 },
  select: { name: "select/counting", medianUs: 4 },
  topK: { name: "torch_topk", medianUs: 50 },
  prompt: { name: "prefill/flash", medianUs: 3000, rooflineUs: 1500 },
  cudaPrompt: { name: "torch_cudnn", medianUs: 1000 },
};

/** The cells of each table, line by line, by the table's title. */
function cells(text: string): Record<string, string[][]> {
  const blocks = text.split("\n\n").filter((block) => !block.startsWith("WARNING"));
  const tables = blocks.flatMap((title, i) => i % 2 ? [] : [[title, blocks[i + 1]] as const]);
  return Object.fromEntries(tables.map(([title, table]) => {
    const [, , ...lines] = table.split("\n");
    return [title.split(" (")[0], lines.map((line) => line.split(/ {2,}/))];
  }));
}

Deno.test("formatRatios() divides times by times in every table", () => {
  assertEquals(cells(formatRatios([ALL])), {
    "Dense attention here and in other software": [
      ["32x8x128", "1", "8192", "torch_cudnn", "19.00", "split", "20.00", "1.05", "400.0", "20.00"],
    ],
    "Dense attention over the sparse step": [
      ["32x8x128", "1", "8192", "sparse", "10.00", "7.50", "75.0", "1.90", "2.00", "40.00"],
    ],
    "The paper's baselines over the sparse step": [
      ["32x8x128", "1", "8192", "30.00", "3.00", "80.00", "8.00"],
    ],
    "Prompt attention here and in CUDA": [
      ["32x8x128", "1", "8192", "torch_cudnn", "1000", "flash", "3000", "50.0", "3.00"],
    ],
    "torch.topk over select/counting": [["32x8x128", "1", "8192", "4.00", "50.00", "12.50"]],
  });
});

Deno.test("formatRatios() compares the step only with WGSL kernels without peers", () => {
  const text = formatRatios([OWN]);
  assertEquals(cells(text), {
    "Dense attention over the sparse step": [
      ["32x8x128", "1", "8192", "sparse", "10.00", "7.50", "75.0", "2.00"],
    ],
  });
  assert(!text.includes("CUDA"));
  assertEquals(formatRatios([]), "");
});

Deno.test("formatRatios() leaves a cell empty that only another case has", () => {
  const lines = formatRatios([ALL, OWN]).split("\n").filter((line) => line.startsWith("32x8"));
  assertEquals(lines.length, 10);
  assert(/split\s+20\.00$/.test(lines[1]), lines[1]);
});

Deno.test("formatRatios() warns of a software adapter", () => {
  const row = makeRow({ software: true });
  assertStringIncludes(formatRatios([{ ...OWN, row }]), "WARNING: ratios on a software adapter");
});

Deno.test("formatRatios() leaves out the rooflines of a software adapter", () => {
  const row = makeRow({ software: true });
  assertStringIncludes(formatRatios([ALL]), "% roofline");
  assert(!formatRatios([{ ...ALL, row }]).includes("roofline"));
});

Deno.test("formatRatios() keeps the ratios and drops names in 80 columns", () => {
  const text = formatRatios([ALL], 80);
  for (const line of text.split("\n")) assertLessOrEqual(line.length, 80, line);
  for (const heading of ["WGSL/CUDA", "ORT/WGSL", "x CUDA", "x WGSL", "x ORT"]) {
    assertStringIncludes(text, heading);
  }
  assert(text.endsWith("; ratios.csv has all columns."), text);
});

Deno.test("formatRatios() fits 120 columns", () => {
  const name = "pipeline/" + "x".repeat(30);
  const long = { name, medianUs: 1234567.8, rooflineUs: 1234567.8 };
  const text = formatRatios([{
    label: "y".repeat(40),
    row: makeRow({ batch: 512, kv_len: 2097152 }),
    cudaDense: { ...long, name: "torch_cudnn" },
    wgslDense: long,
    step: long,
    ortDense: long,
    tokenPool: long,
    gptFast: long,
    select: long,
    topK: long,
    turnDense: long,
    isTie: false,
    prompt: long,
    cudaPrompt: { ...long, name: "torch_cudnn" },
  }]);
  for (const line of text.split("\n")) assertLessOrEqual(line.length, 120, line);
});

Deno.test("ratiosCsv() has every column of every case", () => {
  const text = ratiosCsv([ALL, NOTHING]);
  assert(text.endsWith("\r\n"));
  const [all, nothing] = parse(text, { skipFirstRow: true });
  assertEquals([all.label, all.case_id, all.kv_len], ["32x8x128", makeRow().case_id, "8192"]);
  assertEquals([all.wgsl_dense, all.wgsl_dense_over_cuda_dense_x], ["dense/split", "1.05263"]);
  assertEquals([all.cuda_dense_over_step_x, all.torch_topk_over_select_x], ["1.9", "12.5"]);
  assertEquals([nothing.step, nothing.step_us, nothing.token_pool_over_step_x], ["", "", ""]);
});
