import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { parse, stringify } from "@std/csv";
import { parseResults, readResults } from "./read_results.ts";
import { openResults } from "./results.ts";
import { COLUMNS, type ResultRow } from "./row.ts";
import { makeFailedRow, makeRow } from "./testing_row.ts";
import { UsageError } from "./usage_error.ts";

/** The text of a results file with these rows. */
function written(...rows: readonly ResultRow[]): string {
  const folder = Deno.makeTempDirSync();
  try {
    const writer = openResults(folder);
    writer.append(rows);
    writer.close();
    // A folder stands for the file in it.
    assertEquals(readResults(`${folder}/`), readResults(`${folder}/results.csv`));
    return Deno.readTextFileSync(`${folder}/results.csv`);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

// Fractions are written to 6 digits.
const ROW = makeRow({
  ci_high_us: 22.5123,
  gbytes_per_s: 1499.43,
  gflops_per_s: 5991.86,
  adapter: 'A "B", C',
});

Deno.test("rows are read as they were written", () => {
  const failed = makeFailedRow({ ...ROW, median_us: null, verified: false });
  const text = written(ROW, failed);
  assertEquals(parseResults(text, "r.csv"), { rows: [ROW, failed], warning: null });
  assertEquals(parseResults(text.replaceAll("\r\n", "\n"), "r.csv").rows, [ROW, failed]);
});

Deno.test("an incomplete last line is dropped with a warning", () => {
  const text = written(ROW, ROW);
  const { rows, warning } = parseResults(text.slice(0, -9), "r.csv");
  assertEquals(rows, [ROW]);
  assertEquals(warning, "r.csv: dropped an incomplete last line.");
});

/** The text of a results file that lacks some columns. */
function withoutColumns(text: string, lacking: readonly string[]): string {
  const kept = COLUMNS.map((name) => !lacking.includes(name));
  const records = parse(text) as string[][];
  return stringify(records.map((fields) => fields.filter((_, i) => kept[i])));
}

Deno.test("older files, which lack later columns, are read all the same", () => {
  const text = written(ROW);
  const first = { seed: null, memory_bytes: null, data_digest: "", clock_grain_ns: null };
  for (const lacking of [first, { clock_grain_ns: null }]) {
    const older = withoutColumns(text, Object.keys(lacking));
    assertEquals(parseResults(older, "r.csv").rows, [{ ...ROW, ...lacking }]);
  }
  assertEquals(parseResults(withoutColumns(text, []), "r.csv").rows, [ROW]);
});

Deno.test("what is wrong in a file is refused in one sentence with its line", () => {
  const good = written(ROW, ROW);
  const [header, line] = good.split("\r\n");
  const spoilt = (from: string, to: string) => `${header}\n${line}\n${line.replace(from, to)}\n`;
  const wrong: Record<string, RegExp> = {
    "": /^r\.csv is empty\.$/,
    "\r\n": /^r\.csv is empty\.$/,
    "peer,batch\n": /^r\.csv has other columns/,
    [header]: /^r\.csv has other columns/,
    [good.replace("utc,", "")]: /^r\.csv has other columns than this version writes\.$/,
    [good.replace(",lengths,", ",")]:
      /^r\.csv, line 1: has the columns of another version of the suite: it lacks lengths\.$/,
    [good.replace(",sets,", ",pools,").replace(",bits,", ",")]:
      /^r\.csv, line 1: .+: it lacks bits, sets and it has pools\.$/,
    [`${header}\n${line}\n1,2,3\n${line}\n`]: new RegExp(
      `^r\\.csv, line 3: has 3 fields where ${COLUMNS.length} are due\\.$`,
    ),
    [spoilt(",22.4,", ",2x2.4,")]: /^r\.csv, line 3: median_us cannot be "2x2\.4"\.$/,
    [spoilt(",8192,", ",,")]: /^r\.csv, line 3: kv_len cannot be ""\.$/,
    [spoilt(",true,", ",perhaps,")]: /^r\.csv, line 3: verified cannot be "perhaps"\.$/,
    [spoilt('"', "")]: /^r\.csv, line 3: is not CSV\.$/,
  };
  for (const [text, message] of Object.entries(wrong)) {
    const error = assertThrows(() => parseResults(text, "r.csv"), UsageError);
    assertMatch(error.message, message);
  }
  assertThrows(() => readResults("/missing/r.csv"), UsageError, "Cannot read /missing/r.csv: ");
});
