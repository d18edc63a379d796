import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { parseResults } from "./parse_results.ts";
import { readResults } from "../edge/files/read_files.ts";
import { COLUMNS, type SampleRecord } from "./row.ts";
import { parseRun, type RunDocument, type RunFacts, runJson } from "./run_json.ts";
import { inFolder, runProgram } from "../../testing/command.ts";
import { makeFailedRow, makeRow } from "../../testing/row.ts";
import { UsageError } from "../base/usage_error.ts";

const MAIN = `${import.meta.dirname}/../run/main.ts`;

const { runtime, adapter, vendor, driver, backend, software, commit, compiler, toggles, limits } =
  makeRow();
const FACTS: RunFacts = {
  written: "2026-07-03T12:34:56.789Z",
  suite: { version: "0.1.0", commit },
  device: {
    ...{ runtime, adapter, vendor, driver, backend, software, compiler, toggles, limits },
    timer: "timestamp",
  },
  settings: { hot: false, seed: 1, noise_pct: 0.5, max_time_s: 10, memory_bytes: 6e9 },
};
/** Files round fractions to 6 digits, so these have no more. */
const ROW = makeRow({ ci_high_us: 22.5123, gbytes_per_s: 1499.43, gflops_per_s: 5991.86 });
const TIMED = { ...ROW, samples: 3 };
const OTHER = { ...ROW, kernel: "dense/other" };
const { utc, case_id, kernel, params } = ROW;
const RECORD: SampleRecord = {
  utc,
  case_id,
  kernel,
  params,
  us: [22.3, 22.4, 22.5],
  dropped_us: [30],
};

Deno.test("runJson() writes numbers, truth values, objects and the samples of rows", () => {
  const failed = makeFailedRow({ kernel: "dense/other" });
  const json = runJson(FACTS, [TIMED, failed], [{ ...RECORD, us: [1] }, RECORD]);
  const run = parseRun(json, "run.json");
  assertEquals({ ...run, rows: [] }, { schema: 1, ...FACTS, rows: [] });
  const [first, second] = run.rows;
  assertEquals(first.params, { WORKGROUP: 256, LANES: 8 });
  assertEquals([first.median_us, first.verified, first.rows], [22.4, true, null]);
  assertEquals([first.us, first.dropped_us], [[22.3, 22.4, 22.5], [30]]);
  assertEquals([second.verified, second.median_us, second.us], [false, null, null]);
  // Each row is one line.
  assertEquals(json.split("\n").filter((line) => line.startsWith('    {"utc":')).length, 2);
});

Deno.test("runJson() writes shared columns once and all others in each row", () => {
  const { rows: [row], suite, device, settings } = parseRun(runJson(FACTS, [ROW], []), "r.json");
  const shared = [...Object.keys(device), "suite_version", "commit", "seed"];
  assertEquals(
    Object.keys(row).sort(),
    [...COLUMNS.filter((name) => !shared.includes(name)), "us", "dropped_us"].sort(),
  );
  assertEquals([suite.commit, settings.seed], [ROW.commit, ROW.seed]);
});

Deno.test("parseRun() accepts an older document without the grain of the clock", () => {
  const older = JSON.parse(runJson(FACTS, [ROW], []));
  assertEquals(older.rows[0].clock_grain_ns, 32);
  delete older.rows[0].clock_grain_ns;
  assertEquals(parseRun(JSON.stringify(older), "r.json").rows[0].clock_grain_ns, null);
});

Deno.test("bench writes the same rows as CSV and as JSON", () =>
  inFolder(async (folder) => {
    const json = `${folder}/run.json`;
    const { code, out, err } = await runProgram(
      MAIN,
      ...["--shape", "4x1x64", "--kv", "256", "--max-time", "0.2", "--out", folder],
      ...["--kernels", "dense/split,merge/merge,pipeline/sparse", "--json", json],
    );
    assertEquals(code, 0, err);
    assertMatch(out, /\nJSON: \S+run\.json\n/);
    assertEquals(readResults(json).rows, readResults(folder).rows);
    for (const { us, samples } of parseRun(Deno.readTextFileSync(json), json).rows) {
      assertEquals(us?.length, samples);
    }
    const names = Array.from(Deno.readDirSync(folder), ({ name }) => name);
    assertEquals(names.filter((name) => name.endsWith(".tmp")), []);
  }));

Deno.test("parseRun() returns the stored rows that runJson() wrote", () => {
  const path = `${import.meta.dirname}/../../fixtures/results`;
  const stored = Array.from(Deno.readDirSync(path), ({ name }) => name)
    .filter((name) => name.endsWith(".csv") && !/-(peers|frontier)\.csv$/.test(name));
  for (const name of stored) {
    const { rows } = parseResults(Deno.readTextFileSync(`${path}/${name}`), name);
    const run = parseRun(runJson(FACTS, rows, []), name);
    assertEquals(run.rows.length, rows.length);
    assertEquals(run.rows.map(({ median_us }) => median_us), rows.map((row) => row.median_us));
  }
});

Deno.test("parseRun() refuses a damaged document in one sentence with the place", () => {
  const good = (): RunDocument => parseRun(runJson(FACTS, [OTHER, TIMED], [RECORD]), "r.json");
  // deno-lint-ignore no-explicit-any
  const spoilt = (spoil: (run: any) => void) => {
    const run = good();
    spoil(run);
    return JSON.stringify(run);
  };
  const wrong: [string, RegExp][] = [
    ["", /^r\.json is not JSON\.$/],
    [runJson(FACTS, [ROW], []).slice(0, -20), /^r\.json is not JSON\.$/],
    [
      runJson(FACTS, [ROW], []).replace('"median_us":', '"median_us":1,"median_us":'),
      /^r\.json: the name "median_us" occurs twice in one object\.$/,
    ],
    [
      spoilt((run) => run.rows[0].median_us = -5),
      /^r\.json: rows\.0\.median_us is -5, expected >=0\.$/,
    ],
    [
      spoilt((run) => run.rows[1].ci_low_us = 2 * run.rows[1].median_us),
      /^r\.json: rows\.1 has a median_us outside of its ci_low_us to ci_high_us\.$/,
    ],
    ["null", /^r\.json is not a run of the suite\.$/],
    ["[]", /^r\.json is not a run of the suite\.$/],
    ['{"entries":[]}', /^r\.json is not a run of the suite\.$/],
    [spoilt((run) => run.schema = 2), /^r\.json has schema 2; this version reads schema 1\.$/],
    [spoilt((run) => delete run.device), /^r\.json: device is missing\.$/],
    [spoilt((run) => delete run.rows[1].median_us), /^r\.json: rows\.1\.median_us is missing\.$/],
    [spoilt((run) => run.rows = {}), /^r\.json: rows is Object, expected Array\.$/],
    [
      spoilt((run) => run.rows[0].median_us = "fast"),
      /^r\.json: rows\.0\.median_us is "fast", expected .*number.*\.$/,
    ],
    [
      spoilt((run) => run.rows[0].samples = -1),
      /^r\.json: rows\.0\.samples is -1, expected >=0\.$/,
    ],
    [
      spoilt((run) => run.rows[0].kv_len = 1.5),
      /^r\.json: rows\.0\.kv_len is 1\.5, expected a whole number\.$/,
    ],
    [
      spoilt((run) => run.rows[1].stage = "x"),
      /^r\.json: rows\.1\.stage is "x", expected .+\.$/,
    ],
    [
      spoilt((run) => run.rows[1].params = "{}"),
      /^r\.json: rows\.1\.params is "{}", expected Object\.$/,
    ],
    [
      spoilt((run) => run.settings.speed = 1),
      /^r\.json: settings\.speed is not a field of schema 1\.$/,
    ],
    [
      spoilt((run) => run.written = "today"),
      /^r\.json: written is "today", expected a time in ISO 8601\.$/,
    ],
    [
      spoilt((run) => run.rows[1].utc = "today"),
      /^r\.json: rows\.1\.utc is "today", expected a time in ISO 8601\.$/,
    ],
    [
      JSON.stringify(good()).replace('"sets":9', '"sets":1e999'),
      /^r\.json: rows\.0\.sets is Infinity, expected a finite number\.$/,
    ],
    [
      spoilt((run) => run.rows[1].us.pop()),
      /^r\.json: rows\.1 has another number of times in us than samples gives\.$/,
    ],
    [
      spoilt((run) => run.rows[0].failure = "out"),
      /^r\.json: rows\.0 contradicts itself in verified and failure\.$/,
    ],
  ];
  for (const [json, sentence] of wrong) {
    const error = assertThrows(() => parseRun(json, "r.json"), UsageError);
    assertMatch(error.message, sentence);
  }
});
