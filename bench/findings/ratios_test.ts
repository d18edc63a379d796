import { assertEquals } from "@std/assert";
import type { PeerTime } from "./peers.ts";
import { readPeers } from "../edge/files/read_files.ts";
import { caseTimes } from "./ratios.ts";
import { readResults } from "../edge/files/read_files.ts";
import type { ResultRow } from "../results/row.ts";
import { inTurns, makeFailedRow, makeRow } from "../../testing/row.ts";

const STORED = `${import.meta.dirname}/../../fixtures/results/h100-2026-11-28`;
const SIZES = { batch: 1, qHeads: 32, kvHeads: 8, headDim: 128, kvLen: 8192 };

const peer = (peer: string, medianUs: number, sizes: Partial<PeerTime> = {}): PeerTime => ({
  stage: "decode",
  peer,
  medianUs,
  ...SIZES,
  ...sizes,
});
const dense = (medianUs: number, changes: Partial<ResultRow> = {}) =>
  makeRow({ median_us: medianUs, ...changes });
const step = (medianUs: number, changes: Partial<ResultRow> = {}) =>
  makeRow({ kernel: "pipeline/sparse", stage: "pipeline", median_us: medianUs, ...changes });
const select = (medianUs: number, changes: Partial<ResultRow> = {}) =>
  makeRow({ kernel: "select/counting", stage: "select", median_us: medianUs, ...changes });
const times = (rows: readonly ResultRow[], peers: readonly PeerTime[] = []) =>
  caseTimes(rows, peers, new Map());

Deno.test("caseTimes() of the stored run give the published ratios", () => {
  const { rows } = readResults(`${STORED}.csv`);
  const found = times(rows, readPeers([`${STORED}-peers.csv`]));
  const ratios = found.slice(0, 3).map(({ cudaDense, wgslDense, step, select, topK, ortDense }) => [
    (cudaDense!.medianUs / step!.medianUs).toFixed(2),
    (wgslDense!.medianUs / cudaDense!.medianUs).toFixed(2),
    (topK!.medianUs / select!.medianUs).toFixed(1),
    (ortDense!.medianUs / step!.medianUs).toFixed(1),
  ]);
  assertEquals(ratios, [
    ["1.25", "0.97", "12.0", "14.2"],
    ["2.28", "1.01", "15.4", "35.6"],
    ["3.62", "1.01", "13.0", "76.7"],
  ]);
  assertEquals(found.length, 13);
});

Deno.test("caseTimes() takes the fastest verified row of each kind", () => {
  const failed = makeFailedRow({ kernel: "dense/wrong" });
  const rows = [dense(22), dense(20, { kernel: "dense/b" }), failed, step(9), step(8), step(10)];
  const peers = [peer("torch_flash", 25), peer("torch_cudnn", 19), peer("torch_cudnn", 18)];
  const [found, ...none] = times(rows, [...peers, peer("torch_other", 1), peer("ort_web_gqa", 90)]);
  assertEquals(none, []);
  assertEquals(found.cudaDense, { name: "torch_cudnn", medianUs: 18 });
  assertEquals(found.wgslDense?.name, "dense/b");
  assertEquals(found.step, { name: "pipeline/sparse", medianUs: 8, rooflineUs: 15.1 });
  assertEquals([found.ortDense?.medianUs, found.tokenPool, found.topK], [90, null, null]);
});

Deno.test("caseTimes() compares the step with dense kernels that took turns with it", () => {
  const names = { kernel: "dense/gpt_fast" };
  const earlier = inTurns([dense(15, names), step(12)]);
  const later = inTurns([dense(20), dense(18, { kernel: "dense/b" }), step(9)]);
  const [together] = times([...earlier, ...later]);
  assertEquals([together.step?.medianUs, together.turnDense?.medianUs], [9, 18]);
  assertEquals([together.wgslDense?.medianUs, together.gptFast], [15, null]);
  // A later run of pipelines alone has no speedups, since no dense kernel took turns with them.
  const alone = step(5, { speedup_vs_dense: null });
  const [apart] = times([...later, alone]);
  assertEquals([apart.step?.medianUs, apart.wgslDense?.medianUs, apart.turnDense], [5, 18, null]);
});

Deno.test("caseTimes() takes hot and cold rows of a case for two cases", () => {
  const cold = inTurns([dense(20), step(10)]);
  const hot = inTurns([dense(8, { cache: "hot" }), step(5, { cache: "hot" })]);
  const found = times([...cold, ...hot]);
  assertEquals(found.map(({ turnDense, step }) => [turnDense?.medianUs, step?.medianUs]), [
    [20, 10],
    [8, 5],
  ]);
});

Deno.test("caseTimes() ignores a median of 0", () => {
  assertEquals(times(inTurns([dense(0), step(10)])), []);
});

Deno.test("caseTimes() compares a peer's dense attention with f16 cases of its sizes", () => {
  const peers = [peer("torch_cudnn", 19), peer("torch_cudnn", 99, { batch: 8 })];
  const cudaUs = (changes: Partial<ResultRow>) =>
    times([dense(20, changes)], peers).map(({ cudaDense }) => cudaDense?.medianUs);
  assertEquals(cudaUs({}), [19]);
  assertEquals(cudaUs({ code_sharing: "group", bits: 128, sink: 0, recent: 0 }), [19]);
  assertEquals(cudaUs({ batch: 8 }), [99]);
  const others: Partial<ResultRow>[] = [{ dtype: "f32" }, { kv_len: 1 }, { q_heads: 8 }];
  // All sequences of a peer are of one length.
  others.push({ batch: 8, lengths: "8192 8192 500 1 1 1 1 1" });
  for (const other of [...others, { kv_heads: 4 }, { head_dim: 64 }]) {
    assertEquals(cudaUs(other), []);
  }
});

Deno.test("caseTimes() has a tie if intervals overlap or one is missing", () => {
  const ties = (denseLowUs: number | null, stepHighUs: number | null) => {
    const turn = { speedup_vs_dense: 1 };
    const rows = [
      dense(20, { ...turn, ci_low_us: denseLowUs, ci_high_us: 21 }),
      step(18, { speedup_vs_dense: 20 / 18, ci_low_us: 17, ci_high_us: stepHighUs }),
    ];
    return times(rows)[0].isTie;
  };
  assertEquals(ties(19, 18.9), false);
  assertEquals(ties(19, 19), true);
  assertEquals(ties(19, 19.5), true);
  assertEquals([ties(null, 18.9), ties(19, null)], [true, true]);
  assertEquals(times([step(18)], [peer("torch_cudnn", 20)])[0].isTie, false, "nothing to tie with");
});

Deno.test("caseTimes() does not compare a peer's prompt attention with a decode step", () => {
  const peers = [peer("torch_cudnn", 19), peer("torch_cudnn", 1, { stage: "prefill" })];
  const [{ cudaDense }] = times([dense(20), step(10)], peers);
  assertEquals(cudaDense, { name: "torch_cudnn", medianUs: 19 });
  assertEquals(times([dense(20)], peers.slice(1)), []);
});

Deno.test("caseTimes() compares prompt attention with a peer's", () => {
  const flash = makeRow({ stage: "prefill", kernel: "prefill/flash", median_us: 30 });
  const peers = [peer("torch_cudnn", 1), peer("torch_cudnn", 10, { stage: "prefill" })];
  const [{ prompt, cudaPrompt, wgslDense }] = times([flash], peers);
  assertEquals([prompt?.name, prompt?.medianUs], ["prefill/flash", 30]);
  assertEquals([cudaPrompt, wgslDense], [{ name: "torch_cudnn", medianUs: 10 }, null]);
  assertEquals(times([flash], peers.slice(0, 1)), []);
});

Deno.test("caseTimes() compares torch.topk with a selection of the same rows and count", () => {
  const topKUs = (changes: Partial<ResultRow>) =>
    times([select(5, changes)], [peer("torch_topk", 50)]).map(({ topK }) => topK?.medianUs);
  assertEquals(topKUs({}), [50]);
  assertEquals(topKUs({ k: 255 }), []);
  assertEquals(topKUs({ code_sharing: "group" }), []);
});

Deno.test("caseTimes() keeps the order of cases and leaves out cases without a ratio", () => {
  const rows = [
    step(9, { case_id: "b" }),
    dense(20, { case_id: "b" }),
    dense(20, { case_id: "dense" }),
    step(9, { case_id: "step" }),
    select(5, { case_id: "select" }),
    ...inTurns([dense(20, { case_id: "a", kernel: "dense/gpt_fast" }), step(9, { case_id: "a" })]),
  ];
  const found = caseTimes(rows, [], new Map([["b", "label"]]));
  assertEquals(found.map(({ label }) => label), ["label", "a"]);
  assertEquals(found.map(({ gptFast }) => gptFast?.medianUs), [undefined, 20]);
});
