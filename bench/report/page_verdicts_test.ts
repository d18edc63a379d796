import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { escapeXml } from "../chart/escape.ts";
import { readResults } from "../read_results.ts";
import { makeRow } from "../testing_row.ts";
import { verdicts } from "../verdict.ts";
import { sectionsOf } from "./figures.ts";
import { pageHtml } from "./page.ts";

const FACTS = { command: "deno task report", written: "2026-01-02T03:04:05.678Z" };
const RESULTS = `${import.meta.dirname}/../../fixtures/results`;

function pageOf(rows: Parameters<typeof verdicts>[0]): string {
  const sections = sectionsOf({ rows, peers: new Map(), quality: [], tuning: [] });
  return pageHtml(sections, FACTS);
}

/** What stands above everything else of a page. */
function topOf(html: string): string {
  return html.slice(html.indexOf("<h1>"), html.indexOf("<nav"));
}

Deno.test("a page begins with each device's verdicts, the software adapter's with a command", () => {
  const files = Array.from(Deno.readDirSync(RESULTS), ({ name }) => name)
    .filter((name) => /^(h\d+|lavapipe)-[\d-]+\.csv$/.test(name)).sort();
  const devices = files.map((name) => readResults(`${RESULTS}/${name}`).rows);
  assert(devices.length > 1);
  const top = topOf(pageOf(devices.flat()));
  const places = devices.map((rows) => {
    const told = verdicts(rows);
    assert(told.length > 0);
    for (const sentence of told) {
      assertStringIncludes(top, `<li>${escapeXml(sentence)}</li>`);
    }
    return top.indexOf(`<p>${rows[0].adapter}, `);
  });
  assert(places.every((place) => place >= 0), top);
  assertMatch(top, /On a GPU, &quot;npx --yes deno@2\.9\.6 task quickstart&quot; times/);
});

Deno.test("a page without both kinds of rows begins without a verdict", () => {
  const html = pageOf([makeRow({ kernel: "select/counting", stage: "select" })]);
  assertEquals(topOf(html).includes('class="verdicts"'), false);
});
