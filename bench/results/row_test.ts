import { assertEquals, assertGreater } from "@std/assert";
import { headerFields } from "./csv_lines.ts";
import { FRONTIER_COLUMNS, FRONTIER_ROW } from "./frontier_rows.ts";
import { QUALITY_ROW } from "./quality_rows.ts";
import { COLUMNS, ROW } from "./row.ts";
import { columnTable } from "./testing_column_table.ts";
import { PEER_ROW } from "../findings/peers.ts";

const ROOT = new URL("../../", import.meta.url);
const readText = (path: string) => Deno.readTextFileSync(new URL(path, ROOT));

Deno.test("COLUMNS begins with the columns of each stored file, in their order", () => {
  const stored = Array.from(Deno.readDirSync(new URL("fixtures/results/", ROOT)))
    .filter(({ name }) => name.endsWith(".csv") && !name.endsWith("-peers.csv"));
  assertGreater(stored.length, 0);
  for (const { name } of stored) {
    const header: string[] = headerFields(readText(`fixtures/results/${name}`));
    const columns: readonly string[] = name.endsWith("-frontier.csv") ? FRONTIER_COLUMNS : COLUMNS;
    assertEquals(header, columns.slice(0, header.length), name);
  }
});

/** The lines of the tables under a heading of a Markdown text, without spaces for alignment. */
function tableLines(markdown: string, heading: string): string[] {
  const [, section = ""] = markdown.split(`\n${heading}\n`);
  return section.split(/^##/m)[0].split("\n").filter((line) => line.startsWith("| "))
    .map((line) => line.replace(/ +/g, " ").replace(/-{3,}/g, "---"));
}

const DOCUMENTED = {
  "### `results.csv`": ROW,
  "### `quality --csv`": QUALITY_ROW,
  "### `frontier.csv`": FRONTIER_ROW,
  "### `--peers`": PEER_ROW,
};

for (const [heading, schema] of Object.entries(DOCUMENTED)) {
  Deno.test(`docs/results.md has the columns of ${heading.replace("### ", "")}`, () => {
    assertEquals(tableLines(readText("docs/results.md"), heading), columnTable(schema));
  });
}
