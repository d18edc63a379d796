import { assert, assertEquals } from "@std/assert";
import { readPeers } from "../../edge/files/read_files.ts";
import { readResults } from "../../edge/files/read_files.ts";
import type { ResultRow } from "../../results/row.ts";
import type { SourcedRow } from "../../findings/series.ts";
import { inTurns, makeRow } from "../../../testing/row.ts";
import { shortNames } from "./devices.ts";
import type { Section } from "./figure.ts";
import { sectionsOf } from "./figures.ts";

const RESULTS = `${import.meta.dirname}/../../../fixtures/results`;

const sections = (rows: readonly SourcedRow[]) =>
  sectionsOf({ rows, peers: new Map(), quality: [], tuning: [] });

/** Dense attention and a sparse step of one case, timed in turns. */
const turns = (stepUs: number, changes: Partial<ResultRow> = {}) =>
  inTurns([
    makeRow({ median_us: 20, ...changes }),
    makeRow({ stage: "pipeline", kernel: "pipeline/sparse", median_us: stepUs, ...changes }),
  ]);

function tableOf({ tables }: Section, id: string) {
  return tables.find((table) => table.id === id)!.table;
}

function stored(): Section[] {
  const read = (name: string) => readResults(`${RESULTS}/${name}.csv`).rows;
  const [h100, h200] = ["h100-2026-11-28", "h200-2026-11-24"];
  const peers = (name: string) => readPeers([`${RESULTS}/${name}-peers.csv`]);
  return sectionsOf({
    rows: ["lavapipe-2026-11-25", h100, h200].flatMap(read),
    peers: new Map([["NVIDIA H100 80GB HBM3", peers(h100)], ["NVIDIA H200", peers(h200)]]),
    quality: [],
    tuning: [],
  });
}

Deno.test("sectionsOf() compares the GPUs first, and keeps software adapters apart", () => {
  const [both, ...devices] = stored();
  assertEquals([both.heading, ...devices.map(({ heading }) => heading)], [
    "Devices side by side",
    "NVIDIA H100 80GB HBM3, vulkan",
    "NVIDIA H200, vulkan",
    "llvmpipe (LLVM 15.0.6, 256 bits), vulkan",
  ]);
  const [figure, ...none] = both.figures;
  assertEquals(none, []);
  assertEquals(figure.table.rows.map((row) => row.slice(0, 3)), [
    ["H100 80GB HBM3", "8K", 1.21],
    ["H100 80GB HBM3", "32K", 2.29],
    ["H100 80GB HBM3", "128K", 3.66],
    ["H200", "8K", 1.05],
    ["H200", "32K", 2],
    ["H200", "128K", 3.27],
  ]);
  const cases = tableOf(both, "devices-cases");
  const at = (name: string) => cases.rows.findIndex(([cell]) => cell === name);
  const first = at("32x8x128, 128K");
  assertEquals(cases.rows.slice(first, first + 3), [
    ["32x8x128, 128K"],
    ["H100 80GB HBM3", 183.1, 49.98, 3.66, 70, "all lengths", 3.62],
    ["H200", 138, 42.15, 3.27, 66, "all lengths", 3.05],
  ]);
  // Dense is faster at 8K on this card, and only there.
  const windows = at("32x8x128, windows of 128 + 128, 8K");
  assertEquals(cases.rows[windows + 2].slice(3, 6), [0.92, 49, "from 32K"]);
  // Taken by hand from the probe rows of the files.
  assertEquals(tableOf(both, "devices-rates").rows, [
    ["H100 80GB HBM3", 3168, 3020, 2.2, 57485],
    ["H200", 4563, 4382, 2, 57506],
  ]);
  const shown = JSON.stringify([both.tables.map(({ table }) => table), figure.table, figure.chart]);
  assert(!shown.includes("llvmpipe"));
  assert(figure.caption.includes("llvmpipe"), "the caption names the adapter that is left out");
});

Deno.test("sectionsOf() takes one adapter with two drivers for two devices", () => {
  const other = { driver: "NVIDIA 590.1" };
  const [both, first, second] = sections([...turns(10), ...turns(5, other)]);
  assertEquals(
    [first.heading, second.heading],
    ["Some GPU, vulkan, driver NVIDIA 580.1", "Some GPU, vulkan, driver NVIDIA 590.1"],
  );
  assertEquals(tableOf(both, "devices-cases").rows.map((row) => row.slice(0, 4)), [
    ["32x8x128, 8K"],
    ["Some GPU, driver NVIDIA 580.1", 20, 10, 2],
    ["Some GPU, driver NVIDIA 590.1", 20, 5, 4],
  ]);
  // Dense attention of one driver and the step of the other are not comparable.
  const [dense] = turns(10);
  const [, step] = turns(5, other);
  const apart = sections([dense, step]);
  assertEquals(apart.flatMap(({ figures }) => figures), []);
  assertEquals(apart.slice(1).map(({ heading }) => heading), [first.heading, second.heading]);
});

Deno.test("sectionsOf() names two runs of one code and case by their start times", () => {
  const run = (source: string, stepUs: number, utc: string) =>
    turns(stepUs, { utc }).map((row) => ({ ...row, source }));
  const found = sections([
    ...run("a.csv", 10, "2026-01-02T03:04:05.678Z"),
    ...run("b.csv", 5, "2026-01-02T04:05:06.789Z"),
  ]);
  assertEquals(found.map(({ heading }) => heading), [
    "Devices side by side",
    "Some GPU, vulkan, run of 2026-01-02 03:04 UTC",
    "Some GPU, vulkan, run of 2026-01-02 04:05 UTC",
  ]);
  assertEquals(found[0].figures[0].table.rows.map(([device, , ratio]) => [device, ratio]), [
    ["Some GPU, run of 2026-01-02 03:04 UTC", 2],
    ["Some GPU, run of 2026-01-02 04:05 UTC", 4],
  ]);
});

Deno.test("shortNames() keeps the parts that distinguish devices", () => {
  assertEquals(shortNames(["NVIDIA A, vulkan", "NVIDIA B, vulkan"]), ["A", "B"]);
  assertEquals(shortNames(["NVIDIA A, vulkan", "AMD B, metal"]), [
    "NVIDIA A, vulkan",
    "AMD B, metal",
  ]);
  assertEquals(shortNames(["NVIDIA A, vulkan, driver 1", "NVIDIA A, vulkan, driver 2"]), [
    "NVIDIA A, driver 1",
    "NVIDIA A, driver 2",
  ]);
});
