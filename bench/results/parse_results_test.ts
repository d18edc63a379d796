import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { parse, stringify } from "@std/csv";
import { parseResults } from "./parse_results.ts";
import { readResults } from "../edge/files/read_files.ts";
import { openResults } from "../edge/files/results_writer.ts";
import { COLUMNS, LATER_COLUMNS, LATER_DEFAULTS, type ResultRow } from "./row.ts";
import { makeFailedRow, makeRow } from "../../testing/row.ts";
import { UsageError } from "../base/usage_error.ts";

/** The text of a results file with `rows`. */
function written(...rows: readonly ResultRow[]): string {
  const folder = Deno.makeTempDirSync();
  try {
    const writer = openResults(folder);
    writer.append(rows);
    writer.close();
    // The path of the folder reads the file in it.
    assertEquals(readResults(`${folder}/`), readResults(`${folder}/results.csv`));
    return Deno.readTextFileSync(`${folder}/results.csv`);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

// Files round fractions to 6 digits, so these have no more.
const ROW = makeRow({
  ci_high_us: 22.5123,
  gbytes_per_s: 1499.43,
  gflops_per_s: 5991.86,
  adapter: 'A "B", C',
});

Deno.test("parseResults() reads rows as they were written", () => {
  const failed = makeFailedRow({ ...ROW, median_us: null, verified: false });
  const text = written(ROW, failed);
  assertEquals(parseResults(text, "r.csv"), { rows: [ROW, failed], warning: null });
  assertEquals(parseResults(text.replaceAll("\r\n", "\n"), "r.csv").rows, [ROW, failed]);
});

Deno.test("parseResults() accepts a median outside its interval by rounding only", () => {
  const median_us = 1_234_567;
  const row = makeRow({ ...ROW, median_us, ci_low_us: median_us + 0.1, ci_high_us: 1_234_570 });
  const [read] = parseResults(written(row), "r.csv").rows;
  assertEquals([read.median_us, read.ci_low_us], [median_us, 1_234_570]);
});

Deno.test("parseResults() drops an incomplete last line with a warning", () => {
  const text = written(ROW, ROW);
  const { rows, warning } = parseResults(text.slice(0, -9), "r.csv");
  assertEquals(rows, [ROW]);
  assertEquals(
    warning,
    "r.csv: dropped a last line without a line break, which may be incomplete.",
  );
});

/** The text of a results file without the columns in `lacking`. */
function withoutColumns(text: string, lacking: readonly string[]): string {
  const kept = COLUMNS.map((name) => !lacking.includes(name));
  const records = parse(text) as string[][];
  return stringify(records.map((fields) => fields.filter((_, i) => kept[i])));
}

Deno.test("parseResults() reads older files, which lack later columns", () => {
  const text = written(ROW);
  const first = { seed: null, memory_bytes: null, data_digest: "", clock_grain_ns: null };
  for (const lacking of [first, { clock_grain_ns: null }]) {
    const older = withoutColumns(text, Object.keys(lacking));
    assertEquals(parseResults(older, "r.csv").rows, [{ ...ROW, ...lacking }]);
  }
  assertEquals(parseResults(withoutColumns(text, []), "r.csv").rows, [ROW]);
});

/** The records of a results file's text. */
const recordsOf = (text: string) => parse(text) as string[][];
const csv = (records: readonly (readonly string[])[], lineBreak = "\n") =>
  records.map((record) => record.join()).join(lineBreak) + lineBreak;
const quoted = (field: string) => `"${field.replaceAll('"', '""')}"`;

Deno.test("parseResults() reads tables that statistics programs saved", () => {
  const failed = makeFailedRow({ ...ROW, median_us: null, verified: false });
  const [header, ...records] = recordsOf(written(ROW, failed));
  const indexOf = (name: keyof ResultRow) => header.indexOf(name);
  // Python's csv.QUOTE_ALL, with a byte order mark and CRLF.
  const all = csv([header, ...records].map((record) => record.map(quoted)), "\r\n");
  // R's write.csv: row numbers, TRUE, NA for missing values, numbers without quotes.
  const isNumber = (text: string) => /^[\d.e+-]+$/.test(text);
  const cell = (text: string) =>
    ({ true: "TRUE", false: "FALSE", "": "NA" })[text] ?? (isNumber(text) ? text : quoted(text));
  const r = csv([
    ["", ...header].map(quoted),
    ...records.map((record, i) => [quoted(String(i + 1)), ...record.map(cell)]),
  ]);
  // pandas: True, and whole numbers as fractions if a column has gaps.
  const pandas = csv([
    header,
    ...records.map((record) =>
      record.with(indexOf("workgroup"), "256.0").with(indexOf("memory_bytes"), "6e+09")
        .map((text) => ({ true: "True", false: "False" })[text] ?? text).map(quoted)
    ),
  ]);
  // A spreadsheet may turn truth values into numbers, and its user may move columns.
  const moved = csv(
    [header, ...records].map((record) =>
      record.map((text) => ({ true: "1", false: "0" })[text] ?? text).map(quoted).reverse()
    ),
  );
  for (const text of [all, `\ufeff${all}`, r, pandas, moved]) {
    assertEquals(parseResults(text, "r.csv"), { rows: [ROW, failed], warning: null });
  }
});

Deno.test("parseResults() accepts a file that lacks any one of the later columns", () => {
  const records = recordsOf(written(ROW));
  assert(LATER_COLUMNS.length >= 5);
  for (const name of LATER_COLUMNS) {
    const index = records[0].indexOf(name);
    const text = csv(records.map((record) => record.toSpliced(index, 1).map(quoted)));
    assertEquals(parseResults(text, "r.csv").rows, [{ ...ROW, [name]: LATER_DEFAULTS[name] }]);
  }
});

Deno.test("readResults() names other files of the suite, in CSV and in JSON", () => {
  const sample = `{"utc":"","case_id":"c","kernel":"k","params":"{}","us":[1],"dropped_us":[]}\n`;
  const others: Record<string, RegExp> = {
    "peer,batch,q_heads,kv_heads,head_dim,kv_len,us_median,gbytes_per_s\n":
      /: it is a file of peers, which --peers takes\.$/,
    "trace,method,bits,output_rel_err\n":
      /: it is what quality --csv wrote, which report --quality /,
    "label,case_id,cuda_dense,cuda_dense_us\n": /: it is the ratios of a run, /,
    [sample]: /r\.csv is not a run of the suite: it is the raw samples of a run, /,
    [sample + sample]: /r\.csv is not JSON: it is the raw samples of a run, /,
    "u\0t\0c\0,\0": /r\.csv is not text in UTF-8\.$/,
    [`{"schema": 1, "entries": []}`]: /it is a tuning file, which bench --tuned takes\.$/,
  };
  const path = Deno.makeTempFileSync();
  try {
    for (const [text, message] of Object.entries(others)) {
      Deno.writeTextFileSync(path, text);
      const error = assertThrows(() => readResults(path), UsageError);
      assertMatch(error.message.replace(path, "r.csv"), message, text);
      assertMatch(error.message, /^[^\n]+\.$/);
    }
  } finally {
    Deno.removeSync(path);
  }
});

Deno.test("parseResults() refuses a damaged file in one sentence with the line", () => {
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
      `^r\\.csv, line 3: has 3 fields, expected ${COLUMNS.length}\\.$`,
    ),
    [spoilt(",22.4,", ",2x2.4,")]: /^r\.csv, line 3: median_us cannot be "2x2\.4"\.$/,
    [spoilt(",8192,", ",,")]: /^r\.csv, line 3: kv_len cannot be ""\.$/,
    [spoilt(",22.4,", ",-22.4,")]: /^r\.csv, line 3: median_us cannot be "-22\.4"\.$/,
    [spoilt(",22.4,", ",NaN,")]: /^r\.csv, line 3: median_us cannot be "NaN"\.$/,
    [spoilt(",22.3,", ",-1,")]: /^r\.csv, line 3: ci_low_us cannot be "-1"\.$/,
    [spoilt(",22.3,", ",22.6,")]:
      /^r\.csv, line 3: median_us 22\.4 lies outside of ci_low_us 22\.6 to ci_high_us 22\.5123\.$/,
    [spoilt(",22.5123,", ",22.35,")]:
      /^r\.csv, line 3: median_us 22\.4 lies outside of ci_low_us 22\.3 to ci_high_us 22\.35\.$/,
    [spoilt(",8192,8192,", ",8192.5,8192,")]: /^r\.csv, line 3: kv_len cannot be "8192\.5"\.$/,
    [spoilt(`""WORKGROUP""`, "WORKGROUP")]: /^r\.csv, line 3: params cannot be /,
    [good.replace(",sets,", ",bits,sets,")]: /^r\.csv, line 1: has the column "bits" twice\.$/,
    [spoilt(",dense,", ",nonsense,")]: /^r\.csv, line 3: stage cannot be "nonsense"\.$/,
    [spoilt(",cold,", ",tepid,")]: /^r\.csv, line 3: cache cannot be "tepid"\.$/,
    [spoilt(",timestamp,", ",sundial,")]: /^r\.csv, line 3: timer cannot be "sundial"\.$/,
    [good.replaceAll(",", ";")]:
      /^r\.csv, line 1: separates its fields by semicolons, expected commas\.$/,
    [good.replaceAll(",", "\t")]:
      /^r\.csv, line 1: separates its fields by tabs, expected commas\.$/,
    [spoilt(",true,", ",perhaps,")]: /^r\.csv, line 3: verified cannot be "perhaps"\.$/,
    [spoilt('"', "")]: /^r\.csv, line 3: is not CSV\.$/,
  };
  for (const [text, message] of Object.entries(wrong)) {
    const error = assertThrows(() => parseResults(text, "r.csv"), UsageError);
    assertMatch(error.message, message);
  }
  assertThrows(() => readResults("/missing/r.csv"), UsageError, "Cannot read /missing/r.csv: ");
});
