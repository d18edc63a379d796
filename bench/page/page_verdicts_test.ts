import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { escapeXml } from "../chart/escape.ts";
import { readResults } from "../edge/files/read_files.ts";
import type { ResultRow } from "../results/row.ts";
import { makeRow } from "../../testing/row.ts";
import { inFolder } from "../../testing/command.ts";
import { verdicts } from "../findings/verdict.ts";
import { reportHtml } from "./report_html.ts";

const RESULTS = `${import.meta.dirname}/../../fixtures/results`;

/** The part of the rows' page above its sections. */
async function topOf(rows: readonly ResultRow[]): Promise<string> {
  let html = "";
  await inFolder(async (folder) => {
    const path = `${folder}/report.html`;
    const data = { rows, peers: new Map(), quality: [], tuning: [] };
    Deno.writeTextFileSync(path, reportHtml(data, "deno task report"));
    html = await Deno.readTextFile(path);
  });
  return html.slice(html.indexOf("<h1>"), html.indexOf("<nav"));
}

Deno.test("reportHtml() begins with the verdicts on each device, the GPUs first", async () => {
  const files = Array.from(Deno.readDirSync(RESULTS), ({ name }) => name)
    .filter((name) => name.endsWith(".csv") && !/-(peers|frontier)\.csv$/.test(name));
  const all = files.map((name) =>
    readResults(`${RESULTS}/${name}`).rows.map((row) => ({ ...row, source: name }))
  ).filter((rows) => rows.some(({ stage }) => stage === "pipeline")).flat();
  // Files of equal facts are one section if they have no case in common.
  const devices = Map.groupBy(
    all,
    ({ adapter, runtime, toggles, limits, commit }) =>
      [adapter, runtime, toggles, limits, commit].join(),
  ).values().toArray();
  assert(devices.length > 1);
  const top = await topOf(devices.flat());
  for (const rows of devices) {
    const expected = verdicts(rows);
    assert(expected.length > 0);
    for (const sentence of expected) assertStringIncludes(top, `<li>${escapeXml(sentence)}</li>`);
    assertStringIncludes(top, `<p>${rows[0].adapter}, `);
  }
  assertMatch(top, /On a GPU, &quot;npx --yes deno@2\.9\.6 task quickstart&quot; times/);
  assert(top.indexOf("Sparse is faster") < top.indexOf("A software adapter"), "GPUs come first");
});

Deno.test("reportHtml() gives no verdict without both dense and sparse rows", async () => {
  const top = await topOf([makeRow({ kernel: "select/counting", stage: "select" })]);
  assertEquals(top.includes('class="lead"'), false);
});
