/** The results that ship with the suite: one file for each adapter, and those of peers. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { readPeers } from "../edge/files/read_files.ts";
import { MOST_RUNS } from "../compare/options.ts";
import { readResults } from "../edge/files/read_files.ts";
import { readFrontier } from "../edge/files/frontier_file.ts";
import { CONDITIONS, latestFrontier } from "./frontier_rows.ts";
import { latestRows } from "./row.ts";
import { inFolder, runProgram } from "../../testing/command.ts";
import { commitFault, historyOf } from "../../testing/provenance.ts";

const ROOT = `${import.meta.dirname}/../..`;
const FOLDER = `${ROOT}/fixtures/results`;
const FILES = Array.from(Deno.readDirSync(FOLDER), ({ name }) => `${FOLDER}/${name}`)
  .filter((path) => path.endsWith(".csv")).sort();
const PEERS = FILES.filter((path) => path.endsWith("-peers.csv"));
const FRONTIERS = FILES.filter((path) => path.endsWith("-frontier.csv"));
const RESULTS = FILES.filter((path) => !PEERS.includes(path) && !FRONTIERS.includes(path));

Deno.test("every stored file is valid: one run of one device, with all rows verified", () => {
  assert(readPeers(PEERS).length > 0);
  const software = RESULTS.map((path) => {
    const { rows, warning } = readResults(path);
    assertEquals([path, warning], [path, null]);
    assert(rows.some(({ stage }) => stage !== "probe"), path);
    assertEquals(rows.filter(({ verified }) => !verified), []);
    assertEquals(latestRows(rows).length, rows.length, `${path} has two rows of one thing`);
    for (const name of ["commit", "adapter", "driver", "backend", "runtime"] as const) {
      assertEquals(new Set(rows.map((row) => row[name])).size, 1, `${path}: ${name}`);
    }
    return rows[0].software;
  });
  assertEquals(new Set(software), new Set([false, true]), "a GPU and a software adapter are there");
});

Deno.test("every stored frontier is of one machine and commit, without a step twice", () => {
  for (const path of FRONTIERS) {
    const rows = readFrontier(path);
    assert(rows.length > 0, path);
    assertEquals(latestFrontier(rows).length, rows.length, `${path} has two rows of one step`);
    for (const name of CONDITIONS.filter((name) => name !== "shape")) {
      assertEquals(new Set(rows.map((row) => row[name])).size, 1, `${path}: ${name}`);
    }
    assertEquals([path, commitFault(rows[0].commit)], [path, null]);
  }
});

Deno.test("every stored file is of a clean tree", () => {
  const faults = RESULTS.map((path) => [path, commitFault(commitOf(path))]);
  assertEquals(faults.filter(([, fault]) => fault !== null), []);
});

const history = historyOf(ROOT);
const unknown = typeof history === "string";

Deno.test({
  name: `every stored file is of a commit in the history${
    unknown ? ` (cannot be checked here: ${history})` : ""
  }`,
  ignore: unknown,
  fn() {
    assert(typeof history !== "string");
    assertEquals(RESULTS.filter((path) => !history.has(commitOf(path))), []);
  },
});

/** The commit of a file's rows. A test above shows that all rows have the same. */
function commitOf(path: string): string {
  return readResults(path).rows[0].commit;
}

Deno.test("compare runs on each stored file beside the first, and on as many as it takes", async () => {
  const compare = (...paths: string[]) =>
    runProgram(`${import.meta.dirname}/../compare/main.ts`, ...paths);
  const [one] = RESULTS;
  for (const other of RESULTS) {
    const { code, out, err } = await compare(one, other);
    if (haveCaseInCommon(one, other)) {
      assertEquals([one, other, code, err], [one, other, 0, ""]);
      assertMatch(out, /\n\d+ pairs: \d+ SAME, /);
    } else {
      assertEquals([code, out, err], [
        2,
        "",
        `${one} and ${other} have no kernel and case in common.\n`,
      ]);
    }
  }
  for (const most of [RESULTS.slice(0, MOST_RUNS), RESULTS.slice(-MOST_RUNS)]) {
    const { code, err } = await compare(...most);
    assertEquals([code, err], [0, ""]);
  }
});

/** Whether a kernel or probe was measured for the same case in both files. */
function haveCaseInCommon(...paths: string[]): boolean {
  const [one, other] = paths.map((path) =>
    new Set(readResults(path).rows.map(({ case_id, kernel }) => `${case_id} ${kernel}`))
  );
  return !one.isDisjointFrom(other);
}

Deno.test("report runs on each stored file, and on all of them for one page", () =>
  inFolder(async (folder) => {
    const report = (...args: string[]) =>
      runProgram(`${import.meta.dirname}/../report/main.ts`, ...args);
    const [out, figures] = [`${folder}/all.html`, `${folder}/figures`];
    const peers = PEERS.map((path) => `${path.slice(FOLDER.length + 1).split("-")[0]}=${path}`);
    const args = ["--peers", peers.join(), "--out", out, "--svg", figures];
    const all = await report(...RESULTS, ...args);
    assertEquals([all.code, all.err], [0, ""]);
    assertMatch(all.out, /\nWritten: \S+all\.html\n$/);
    const html = await Deno.readTextFile(out);
    const devices = new Set(RESULTS.map((path) => readResults(path).rows[0].adapter));
    for (const adapter of devices) assert(html.includes(`>${adapter}, `), adapter);
    for (const { name } of Deno.readDirSync(figures)) {
      const svg = await Deno.readTextFile(`${figures}/${name}`);
      assertMatch(svg, /^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" [^]+<\/svg>\n$/);
      assertEquals(svg.match(/NaN|undefined|Infinity/), null);
    }
    for (const path of RESULTS) {
      const one = await report(path, "--out", `${folder}/one.html`);
      assertEquals([path, one.code, one.err], [path, 0, ""]);
    }
  }));
