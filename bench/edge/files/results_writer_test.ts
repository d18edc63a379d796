import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { parse } from "@std/csv";
import { openResults } from "./results_writer.ts";
import { COLUMNS, type ResultRow } from "../../results/row.ts";
import { makeFailedRow, makeRow } from "../../../testing/row.ts";
import { UsageError } from "../../base/usage_error.ts";

/** Runs `body` with a temporary folder. */
function inFolder(body: (folder: string) => void): void {
  const folder = Deno.makeTempDirSync();
  try {
    body(folder);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

function write(dir: string, ...rows: Partial<ResultRow>[]): void {
  const writer = openResults(dir);
  for (const row of rows) {
    writer.append([makeRow(row)], [{
      utc: "2026-07-03T12:34:56.789Z",
      case_id: "case",
      kernel: "kernel",
      params: "{}",
      us: [1, 2.3456789],
      dropped_us: [],
    }]);
  }
  writer.close();
}

const readRows = (dir: string) =>
  parse(Deno.readTextFileSync(`${dir}/results.csv`), { skipFirstRow: true });

Deno.test("openResults() writes rows that read back as they were", () =>
  inFolder((folder) => {
    const dir = `${folder}/deep/er`;
    const writer = openResults(dir);
    writer.append([makeRow({ adapter: 'A "B", C', failure: "two\r\nlines" }), makeFailedRow()]);
    // Both are on disk before the files are closed.
    const [row, failed] = readRows(dir);
    assertEquals(writer.rows, 2);
    writer.close();
    assertEquals(Object.keys(row), [...COLUMNS]);
    assertEquals([row.adapter, row.failure], ['A "B", C', "two lines"]);
    assertEquals(JSON.parse(row.params!), { WORKGROUP: 256, LANES: 8 });
    assertEquals([row.ci_high_us, row.gbytes_per_s, row.rel_l2_err], [
      "22.5123",
      "1499.43",
      "1.23456e-7",
    ]);
    assertEquals([row.bytes, row.verified, row.rows], ["33587200", "true", ""]);
    assertEquals([failed.median_us, failed.verified], ["", "false"]);
  }));

Deno.test("openResults() leaves NaN and Infinity empty, so that the file can be read again", () =>
  inFolder((folder) => {
    write(folder, { rel_l2_err: NaN, verified: false }, { rel_l2_err: Infinity, verified: false });
    assertEquals(readRows(folder).map((row) => row.rel_l2_err), ["", ""]);
  }));

Deno.test("openResults() ends lines as RFC 4180 requires", () =>
  inFolder((folder) => {
    write(folder, {});
    const text = Deno.readTextFileSync(`${folder}/results.csv`);
    assertEquals(text.match(/\r\n/g)?.length, 2);
    assertEquals(text.match(/\n/g)?.length, 2);
  }));

Deno.test("openResults() writes samples as one JSON object a line", () =>
  inFolder((folder) => {
    write(folder, {}, {});
    const lines = Deno.readTextFileSync(`${folder}/samples.jsonl`).split("\n");
    assertEquals(lines.length, 3);
    assertEquals(JSON.parse(lines[1]).us, [1, 2.34568]);
  }));

Deno.test("openResults() appends a second run", () =>
  inFolder((folder) => {
    write(folder, { kernel: "first" });
    write(folder, { kernel: "second" });
    assertEquals(readRows(folder).map((row) => row.kernel), ["first", "second"]);
  }));

Deno.test("openResults() cuts off the unfinished line of a killed run and keeps whole lines", () =>
  inFolder((folder) => {
    write(folder, { kernel: "first" });
    for (const name of ["results.csv", "samples.jsonl"]) {
      Deno.writeTextFileSync(`${folder}/${name}`, '{"half,"a li', { append: true });
    }
    write(folder, { kernel: "second" });
    assertEquals(readRows(folder).map((row) => row.kernel), ["first", "second"]);
    const samples = Deno.readTextFileSync(`${folder}/samples.jsonl`).trimEnd().split("\n");
    assertEquals(samples.map((line) => JSON.parse(line).kernel), ["kernel", "kernel"]);
    // A run killed within its first line, and an unfinished line longer than one read.
    Deno.writeTextFileSync(`${folder}/results.csv`, "utc,suite_ver");
    Deno.writeTextFileSync(`${folder}/samples.jsonl`, "x".repeat(200_000));
    write(folder, { kernel: "third" });
    assertEquals(readRows(folder).map((row) => row.kernel), ["third"]);
    assertEquals(Deno.readTextFileSync(`${folder}/samples.jsonl`)[0], "{");
  }));

Deno.test("openResults() refuses files with other columns and leaves them as they are", () =>
  inFolder((folder) => {
    Deno.writeTextFileSync(`${folder}/results.csv`, "a,b\r\n1,2\r\n");
    const error = assertThrows(() => openResults(folder), UsageError);
    assertMatch(error.message, /^\S+results\.csv has other columns .*--out\.$/);
    assertEquals(Deno.readTextFileSync(`${folder}/results.csv`), "a,b\r\n1,2\r\n");
    assertEquals([...Deno.readDirSync(folder)].map(({ name }) => name), ["results.csv"]);
  }));

Deno.test("openResults() refuses a folder that cannot be written and leaves nothing", () =>
  inFolder((folder) => {
    Deno.writeTextFileSync(`${folder}/file`, "");
    const error = assertThrows(() => openResults(`${folder}/file/results`), UsageError);
    assertMatch(error.message, /^Cannot write results to \S+: [^\n]+\.$/);
    assertEquals([...Deno.readDirSync(folder)].map(({ name }) => name), ["file"]);
    assertThrows(() => openResults(`${folder}/new/a\0b`), UsageError);
    assertEquals([...Deno.readDirSync(folder)].map(({ name }) => name), ["file"]);
  }));
