import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import type { LogLine } from "../../tuning/log.ts";
import { sectionsOf } from "./figures.ts";
import { pageHtml } from "../page.ts";

const FACTS = { command: "deno task report", written: "2026-01-02T03:04:05.678Z" };

function tuned(LANES: number, WORKGROUP: number, us: number | null): LogLine {
  return {
    utc: "2026-07-03T12:34:56.789Z",
    adapter: "llvmpipe",
    driver: "1.0",
    backend: "vulkan",
    compiler: "naga",
    case_id: "32x8x128-n8192-b1-f16",
    kernel: "dense/split",
    checksum: "abc",
    type: "measured",
    phase: us === null ? "explore" : "final",
    params: { LANES, WORKGROUP },
    us,
    low: us,
    high: us,
    samples: 7,
    failure: us === null ? "hung" : null,
  };
}

const sections = (tuning: LogLine[]) =>
  sectionsOf({ rows: [], peers: new Map(), quality: [], tuning });

function opened(): LogLine {
  const { utc, adapter, driver, backend, compiler, case_id, kernel, checksum } = tuned(8, 64, 20);
  return {
    utc,
    adapter,
    driver,
    backend,
    compiler,
    case_id,
    kernel,
    checksum,
    type: "opened",
    defaults: { LANES: 8, WORKGROUP: 64 },
  };
}

Deno.test("sectionsOf() lists the default, the best and every candidate of a tuner", () => {
  const candidates = [tuned(4, 64, 12.5), tuned(8, 64, 20), tuned(4, 128, 40), tuned(16, 64, null)];
  const lines = [opened(), ...candidates];
  const [section, ...none] = sections(lines);
  assertEquals([section.heading, section.warning === null, none], [
    ...["Tuning on llvmpipe, vulkan", false, []],
  ]);
  const [{ id, chart, caption, table }] = section.figures;
  assertEquals([id, chart.title], [
    ...["tuning-dense-split-32x8x128-n8192-b1-f16"],
    ...["Tuning of dense/split: 32x8x128, 8K: least median, us"],
  ]);
  assertMatch(caption, /^4 candidates, 1 of which failed, over WORKGROUP and LANES, /);
  assertStringIncludes(caption, "The best takes 12.5 us, the defaults 20.");
  assertEquals(table.columns.slice(-2), ["LANES", "WORKGROUP"]);
  assertEquals(table.rows, [
    ["default", 20, 20, 20, 1, 8, 64],
    ["best", 12.5, 12.5, 12.5, 1.6, 4, 64],
    ["other", 40, 40, 40, 0.5, 4, 128],
    ["failed", null, null, null, null, 16, 64],
  ]);
  const html = pageHtml([section], FACTS);
  assertMatch(html, /<svg role="img"[^>]*><title>Tuning of dense\/split[^<]*<\/title><desc>Least/);
  // Only the last version of a changed kernel counts.
  const changed = lines.map((line) => ({ ...line, checksum: "def" }));
  const [after] = sections([...lines, ...changed]);
  assertEquals(after.figures.length, 1);
  assertEquals(after.facts.at(-1), ["Older versions of kernels, left out", "dense/split"]);
  // A log without the defaults, and one that a kill cut short.
  const [withoutDefaults] = sections(candidates)[0].figures;
  assertStringIncludes(
    withoutDefaults.caption,
    "The best takes 12.5 us; the defaults have no time.",
  );
  assertEquals(withoutDefaults.table.rows[0], ["best", 12.5, 12.5, 12.5, null, 4, 64]);
  const explored = [tuned(8, 64, 20), tuned(4, 64, 12.5)]
    .map((line) => ({ ...line, phase: "explore" }) as LogLine);
  const [begun] = sections([opened(), ...explored])[0].figures;
  assertStringIncludes(begun.caption, "Its tuning did not finish.");
  assertEquals(sections([opened(), explored[0]])[0].figures, []);
  const [failed] = sections([tuned(8, 64, null)]);
  const label = "Kernels whose candidates all failed";
  assertEquals(failed.facts.at(-1), [label, "dense/split"]);
  const [lost] = sections([opened()]);
  assertEquals(lost.facts.filter(([name]) => name === label), []);
});

Deno.test("sectionsOf() takes logs of one adapter with two drivers for two devices", () => {
  const other = (line: LogLine) => ({ ...line, driver: "2.0" });
  const lines = [tuned(4, 64, 12.5), tuned(8, 64, 20)];
  const found = sections([...lines, ...lines.map(other)]);
  assertEquals(found.map(({ heading, figures }) => [heading, figures.length]), [
    ["Tuning on llvmpipe, vulkan, driver 1.0", 1],
    ["Tuning on llvmpipe, vulkan, driver 2.0", 1],
  ]);
});

Deno.test("pageHtml() escapes hostile names of a log", () => {
  const evil = `<img src=x onerror="alert(1)">&'"`;
  const names = { adapter: evil, driver: evil, kernel: evil, case_id: evil };
  const lines = [8, 4].map((lanes) =>
    ({ ...tuned(lanes, 64, lanes), ...names, params: { [evil]: lanes, b: 1 } }) as LogLine
  );
  const html = pageHtml(sections(lines), FACTS);
  assertEquals(html.match(/<img/g), null);
  assertStringIncludes(html, "&lt;img src=x");
});
