import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import { chartSvg } from "../chart/chart.ts";
import { inTurns, makeRow } from "../../testing/row.ts";
import type { QualityRow } from "../results/quality_rows.ts";
import { readPeers } from "../edge/files/read_files.ts";
import { readResults } from "../edge/files/read_files.ts";
import type { Section } from "../page/figures/figure.ts";
import { sectionsOf } from "../page/figures/figures.ts";
import { pageHtml } from "../page/page.ts";

const RESULTS = `${import.meta.dirname}/../../fixtures/results`;
const H100 = `${RESULTS}/h100-2026-11-28`;
const FACTS = { command: "deno task report", written: "2026-01-02T03:04:05.678Z" };

function h100(): Section {
  const rows = readResults(`${H100}.csv`).rows;
  const [section] = sectionsOf({
    rows,
    peers: new Map([[rows[0].adapter, readPeers([`${H100}-peers.csv`])]]),
    quality: [],
    tuning: [],
  });
  return section;
}

function tableOf(section: Section, id: string) {
  return section.figures.find((figure) => figure.id === id)!.table.rows;
}

/** The rows below headings, each after its heading. */
function under(rows: ReturnType<typeof tableOf>): unknown[][] {
  let heading: unknown = null;
  return rows.flatMap((row) => {
    if (row.length > 1) return [[heading, ...row]];
    [heading] = row;
    return [];
  });
}

Deno.test("sectionsOf() computes the speedups of the stored rows", () => {
  const section = h100();
  const wgsl = under(tableOf(section, "speedup-wgsl"));
  assertEquals(wgsl.length, 13);
  // 183.132 / 49.9815 and 180.8 / 49.9815, taken by hand from the files.
  const isClaim = ([line, kvLen]: readonly unknown[]) => line === "32x8x128" && kvLen === 131072;
  const names = ["dense/split_subgroup", "pipeline/sparse_two"];
  assertEquals(wgsl.find(isClaim)?.slice(2), [3.66, 183.1, 49.98, ...names]);
  assertEquals(under(tableOf(section, "speedup-cuda")).find(isClaim)?.slice(2), [
    3.62,
    180.8,
    49.98,
    "torch_cudnn",
    "pipeline/sparse_two",
  ]);
});

Deno.test("sectionsOf() lists the cases of a single device in an open table", () => {
  const [{ table, title }, ...none] = h100().tables;
  assertEquals([title, none], ["Dense attention and the sparse step", []]);
  assertEquals(table.columns, [
    "KV length",
    "dense us",
    "step us",
    "ratio",
    "% of roofline",
    "sparse wins",
    "ratio to CUDA",
  ]);
  const rows = under(table.rows);
  assertEquals(rows.length, 13);
  assertEquals(rows[2], ["32x8x128", "128K", 183.1, 49.98, 3.66, 70, "all lengths", 3.62]);
  const batch = rows.find(([name]) => name === "32x8x128, batch 8");
  assertEquals(batch?.[6], "yes", "one length has no crossing");
});

Deno.test("sectionsOf() names lines by the settings that distinguish them", () => {
  const names = new Set(under(tableOf(h100(), "speedup-wgsl")).map(([line]) => line));
  assertEquals([...names], [
    "32x8x128",
    "32x8x128, batch 8",
    "32x32x128",
    "32x8x128, 128 bits per KV head, linear-f16",
    "32x8x128, windows of 128 + 128",
    "28x4x128",
    "24x8x128",
    "32x8x64",
  ]);
});

Deno.test("sectionsOf() stacks each stage once, beside dense, for cases that have all", () => {
  const rows = under(tableOf(h100(), "stages"));
  const first = rows.filter(([name]) => name === "32x8x128, 8K");
  assertEquals(first.map(([, part, , kernel]) => [part, kernel]), [
    ["dense attention", "dense/split_subgroup"],
    ["encode the query", "encode/query"],
    ["encode the newest key", "encode/append"],
    ["score", "score/hamming"],
    ["select", "select/counting_subgroup"],
    ["attend", "attend/gather"],
    ["merge", "merge/merge"],
    ["whole step", "pipeline/sparse_two"],
  ]);
  const sum = first.slice(1, 7).reduce((sum, [, , us]) => sum + Number(us), 0);
  assertAlmostEquals(sum, 6.2 + 5.81 + 3.46 + 4.08 + 6.23 + 4.26, 0.02);
  assert(rows.every(([, , , kernel]) => kernel !== "attend/gather_merge"));
  assertEquals(rows.filter(([name]) => name === "28x4x128, 32K"), []);
  // A dense bar that is longer than the axis shows its time.
  const stages = h100().figures.find(({ id }) => id === "stages")!;
  const svg = chartSvg(stages.chart);
  assertStringIncludes(svg, ">697.5 us \u2192<");
  assertStringIncludes(svg, ">19.02 us<");
});

Deno.test("sectionsOf() draws every kernel of the step below probes of all sizes", () => {
  const rows = tableOf(h100(), "roofline");
  assertEquals(rows.filter(([name]) => name === "probe: streaming read").length, 7);
  assertEquals(rows.filter(([name]) => name === "probe: gather of 256 B rows").length, 6);
  assert(rows.some(([name]) => name === "pipeline/sparse_two"));
  assert(rows.every(([name]) => name !== "prefill/flash" && name !== "encode/prompt"));
});

Deno.test("sectionsOf() draws the prompt's kernels and no popcounts against arithmetic", () => {
  const rows = tableOf(h100(), "roofline-arithmetic");
  // 26464.5 GFLOP/s at 14.5356 GB/s, taken by hand from the file.
  const prefill = rows.find(([kernel, , , name]) =>
    kernel === "prefill/flash" && name === "32x8x128, 8K"
  );
  assertEquals(prefill?.slice(1, 3), [26464.5, 1820.67]);
  assert(rows.every(([kernel]) => !/^(score|select|probe)/.test(String(kernel))));
});

Deno.test("pageHtml() loads nothing, orders its headings and names every chart", () => {
  const html = pageHtml([h100()], FACTS);
  assertEquals(html.match(/<(?:script|link rel="(?!icon)|iframe|img|object|embed)/g), null);
  assertEquals(html.match(/(?:src|href)="(?!#|data:)[^"]*"|url\(|@import|https?:/g), null);
  const levels = Array.from(html.matchAll(/<h(\d)/g), ([, level]) => Number(level));
  assertEquals(levels, [1, 2, 3, 3, 3, 3, 3, 3]);
  assertEquals(html.match(/<svg role="img"/g)?.length, 5);
  assertEquals(
    html.match(/<svg role="img"[^>]*><title>[^<]+<\/title><desc>[^<]+<\/desc>/g)?.length,
    5,
  );
  const ids = Array.from(html.matchAll(/ id="([^"]+)"/g), ([, id]) => id);
  assertEquals(new Set(ids).size, ids.length);
  for (const [, id] of html.matchAll(/href="#([^"]+)"/g)) assert(ids.includes(id), id);
  assertMatch(html, /^<!doctype html>\n<html lang="en">/);
  assertStringIncludes(html, "NVIDIA 580.159.04");
  assertStringIncludes(html, "prefers-color-scheme: dark");
});

Deno.test("chartSvg() gives every mark a tooltip, and legends explain 32x8x128", () => {
  const charts = h100().figures.map(({ chart, id }) => ({ id, svg: chartSvg(chart) }));
  for (const { id, svg } of charts) {
    const rows = under(tableOf(h100(), id)).filter(([, name]) => !/^probe/.test(String(name)));
    // The first title is the chart's own.
    assertEquals([id, svg.match(/<title>/g)!.length - 1], [id, rows.length]);
  }
  const [{ svg: speedup }] = charts;
  assertStringIncludes(speedup, "<title>32x8x128, 128K: 3.66 times as fast</title>");
  assertStringIncludes(speedup, ">query heads x KV heads x head dimension:<");
  assertStringIncludes(charts[1].svg, ">query heads x KV heads x head dimension:<");
  assertEquals(charts.filter(({ svg }) => svg.includes("\u2026")), [], "no label is cut");
});

Deno.test("pageHtml() puts the verdicts before all sections", () => {
  const lead = [{ device: "A <b>GPU", sentences: ["Sparse is <b>faster</b>."] }];
  const html = pageHtml([h100()], { ...FACTS, lead });
  const list = "<p>A &lt;b&gt;GPU</p><ul><li>Sparse is &lt;b&gt;faster&lt;/b&gt;.</li></ul>";
  assertStringIncludes(html, `</h1>\n<div class="lead">${list}</div>\n`);
  const two = pageHtml([h100()], { ...FACTS, lead: [{ device: "GPU", sentences: ["A.", "B."] }] });
  assertStringIncludes(
    two,
    "<p>GPU</p><ul><li>A.</li></ul>" +
      "<details><summary>1 more group of cases</summary><ul><li>B.</li></ul></details></div>",
  );
});

Deno.test("pageHtml() escapes hostile names", () => {
  const evil = `<img src=x onerror="alert(1)">&'"`;
  const names = { adapter: evil, driver: evil, case_id: `trace-${evil}-4x1x64-n8192`, dtype: evil };
  const rows = [
    ...inTurns([
      makeRow({ ...names, dtype: "f16" }),
      makeRow({ ...names, dtype: "f16", kernel: evil, stage: "pipeline" }),
    ]),
    makeRow({ ...names, dtype: "f16", kernel: "probe/stream 1 KiB", stage: "probe" }),
  ];
  const quality: QualityRow[] = [{
    trace: evil,
    method: evil,
    bits_per_token_per_kv_head: 1,
    sparsity: 8,
    k: 3,
    queries: 1,
    recall: 1,
    mass_middle: 1,
    mass_total: 1,
    output_rel_err: 0,
    sink: 0,
    recent: 0,
    seed: 1,
    head: "all",
    code_bytes: null,
    budget: "trace",
    query_set: "all",
  }];
  const html = pageHtml(sectionsOf({ rows, peers: new Map(), quality, tuning: [] }), {
    ...FACTS,
    command: evil,
  });
  assertEquals(html.match(/<img/g), null);
  assertStringIncludes(html, "&lt;img src=x onerror=&quot;alert(1)&quot;&gt;&amp;&#39;&quot;");
  assertStringIncludes(html, 'id="speedup-wgsl"');
});

Deno.test("sectionsOf() separates devices, marks software adapters, and gives unique ids", () => {
  const step = { stage: "pipeline", kernel: "pipeline/sparse", median_us: 11.2 } as const;
  const cpu = { adapter: "llvmpipe", software: true };
  const rows = inTurns([makeRow(cpu), makeRow({ ...step, ...cpu }), makeRow(), makeRow(step)]);
  const quality: QualityRow[] = [0, 128].map((sink) => ({
    trace: "novel",
    method: "edges",
    bits_per_token_per_kv_head: 0,
    sparsity: 8,
    k: 3,
    sink,
    queries: 1,
    recall: 1,
    mass_middle: 1,
    mass_total: 1,
    output_rel_err: 0,
    recent: 0,
    seed: 1,
    head: "all",
    code_bytes: null,
    budget: "trace",
    query_set: "all",
  }));
  const sections = sectionsOf({ rows, peers: new Map(), quality, tuning: [] });
  assertEquals(sections.pop()?.figures.map(({ id }) => id), [
    "quality-error-novel",
    "quality-mass-novel",
    "quality-error-novel-2",
    "quality-mass-novel-2",
  ]);
  assertEquals(sections.map(({ heading }) => heading), ["Some GPU, vulkan", "llvmpipe, vulkan"]);
  assertEquals(sections.map(({ warning }) => warning === null), [true, false]);
  assertEquals(sections.map(({ figures }) => figures.map(({ id }) => id)), [
    ["some-gpu-vulkan-speedup-wgsl"],
    ["llvmpipe-vulkan-speedup-wgsl"],
  ]);
  // The names of links, headings and regions distinguish devices for screen readers.
  const html = pageHtml(sections, FACTS);
  const named = [
    /<a href="#[^"]*">([^]*?)<\/a>/g,
    /<h3 [^>]*>([^]*?)<\/h3>/g,
    /<summary>([^]*?)<\/summary>/g,
    /region" aria-label="([^"]+)/g,
  ];
  for (const name of named) {
    const names = Array.from(html.matchAll(name), ([, text]) => text.replace(/<[^>]*>/g, ""));
    assert(names.length >= sections.length);
    assertEquals(new Set(names).size, names.length, names.join("; "));
  }
});
