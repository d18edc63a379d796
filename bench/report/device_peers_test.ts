import { assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { readResults } from "../edge/files/read_files.ts";
import { UsageError } from "../base/usage_error.ts";
import { readDevicePeers } from "./device_peers.ts";
import { sectionsOf } from "../page/figures/figures.ts";

const RESULTS = `${import.meta.dirname}/../../fixtures/results`;
const RUNS = { h100: "h100-2026-11-28", h200: "h200-2026-11-24" } as const;
const CARDS = ["h100", "h200"] as const;
const peersOf = (card: keyof typeof RUNS) => `${RESULTS}/${RUNS[card]}-peers.csv`;
const ADAPTERS = ["NVIDIA H100 80GB HBM3", "NVIDIA H200"];

Deno.test("readDevicePeers() gives each card the peers that were measured on it", () => {
  const rows = CARDS.flatMap((card) => readResults(`${RESULTS}/${RUNS[card]}.csv`).rows);
  const words = [`H200=${peersOf("h200")}`, `h100=${peersOf("h100")}`];
  const sections = sectionsOf({
    rows,
    peers: readDevicePeers(words, ADAPTERS),
    quality: [],
    tuning: [],
  });
  const claims = sections.slice(1).map(({ heading, figures }) => {
    const cuda = figures.find(({ id }) => id.endsWith("speedup-cuda"));
    // The first row of 128K belongs to the first line, 32x8x128.
    assertEquals(cuda?.table.rows[0], ["32x8x128"], heading);
    const row = cuda!.table.rows.find(([kvLen]) => kvLen === 131072)!;
    return [heading, row[4], row[2]];
  });
  // Taken by hand from the files of peers.
  assertEquals(claims, [
    ["NVIDIA H100 80GB HBM3, vulkan", "torch_cudnn", 180.8],
    ["NVIDIA H200, vulkan", "torch_cudnn", 128.5],
  ]);
});

Deno.test("readDevicePeers() joins several files of the one adapter", () => {
  const [adapter] = ADAPTERS;
  const one = readDevicePeers([peersOf("h100")], [adapter]).get(adapter)!;
  const two = readDevicePeers([peersOf("h100"), `h100=${peersOf("h200")}`], [adapter]);
  assertEquals([...two.keys()], [adapter]);
  assertEquals(two.get(adapter)!.slice(0, one.length), one);
  assertAlmostEquals(two.get(adapter)!.at(-2)!.medianUs, 22.7);
});

Deno.test("readDevicePeers() gives a card's peers to each spelling of its name", () => {
  const adapters = [...ADAPTERS, "nvidia-h200"];
  for (const word of ["h200", "NVIDIA H200"]) {
    const times = readDevicePeers([`${word}=${peersOf("h200")}`], adapters);
    assertEquals([...times.keys()], ["NVIDIA H200", "nvidia-h200"]);
  }
});

Deno.test("readDevicePeers() refuses words that do not name one adapter", () => {
  const path = peersOf("h100");
  for (const word of [path, `nvidia=${path}`, `intel=${path}`, `=${path}`]) {
    const names = "must name one adapter of the results";
    assertThrows(() => readDevicePeers([word], ADAPTERS), UsageError, `--peers ${word} ${names}`);
  }
  assertThrows(() => readDevicePeers([path], []), UsageError, "there are no results");
});
