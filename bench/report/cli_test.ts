import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { readResults } from "../edge/files/read_files.ts";
import { COLUMNS } from "../results/row.ts";
import { inFolder, runProgram } from "../../testing/command.ts";

const MAIN = `${import.meta.dirname}/main.ts`;
const RESULTS = `${import.meta.dirname}/../../fixtures/results`;
const QUALITY =
  `trace,method,bits_per_token_per_kv_head,sparsity,k,head,queries,recall,mass_middle,` +
  `mass_total,output_rel_err,sink,recent,seed\r
novel,oracle,2048,8,704,0,26,1,0.9,0.95,0.01,128,128,1\r
novel,oracle,2048,8,704,all,26,1,0.9,0.95,0.01,128,128,1\r
novel,oracle,2048,16,352,all,26,,0.8,0.85,0.02,128,128,1\r
`;

const TUNED = (kernel: string, LANES: number, us: number | null, phase = "final") =>
  JSON.stringify({
    utc: "2026-07-03T12:34:56.789Z",
    adapter: "Some GPU",
    driver: "1.0",
    backend: "vulkan",
    case_id: "32x8x128-n8192-b1",
    kernel,
    checksum: "abc",
    type: "measured",
    phase,
    params: { LANES, SPLITS: 8 * LANES, SLICES: 2 },
    us,
    low: us,
    high: us,
    samples: 7,
    failure: us === null ? "hung" : null,
  }) + "\n";
const TUNING = TUNED("dense/split", 8, 20) + TUNED("dense/split", 4, 12.5) +
  TUNED("dense/split", 16, null, "explore");

const PEERS = `${RESULTS}/h100-2026-11-28-peers.csv`;
const LAVAPIPE = `${RESULTS}/lavapipe-2026-11-25.csv`;

const run = (...args: string[]) => runProgram(MAIN, ...args);

Deno.test("report exits 2 on wrong inputs, with one sentence and no files", () =>
  inFolder(async (folder) => {
    const at = (name: string) => `${folder}/${name}`;
    const h100 = `${RESULTS}/h100-2026-11-28.csv`;
    await Deno.writeTextFile(at("empty"), "");
    await Deno.writeTextFile(at("rowless"), `${COLUMNS.join()}\r\n`);
    await Deno.writeTextFile(at("foreign"), "name,height\r\nTom,3\r\n");
    const rows = (await Deno.readTextFile(h100)).split("\r\n").slice(0, 3);
    const { median_us } = readResults(h100).rows[1];
    const negative = rows.join("\r\n").replace(`,${median_us},`, ",-5,");
    await Deno.writeTextFile(at("negative"), `${negative}\r\n`);
    await Deno.writeTextFile(at("log"), TUNED("dense/split", 8, 20));
    await Deno.writeTextFile(at("quality"), QUALITY);
    await Deno.writeTextFile(at("damaged"), QUALITY.replace(",0.9,", ",much,"));
    const wrong: [string[], RegExp][] = [
      [[], /^Name a results file or its folder; /],
      [["--frobnicate"], /^Unknown flag --frobnicate/],
      [[h100, "--out"], /^--out needs a value\.$/m],
      [[at("missing")], /^Cannot read \S+missing: /],
      [[folder], /^Cannot read \S+results\.csv: /],
      [[at("empty")], /^.+empty is empty\.$/m],
      [[at("rowless")], /^.+rowless has no rows\.$/m],
      [[h100, at("foreign")], /^.+foreign has other columns than this version writes\.$/m],
      [[h100, "--peers", at("foreign")], /^.+foreign has other columns; --peers takes a CSV/],
      [[h100, "--peers", `h2=${PEERS}`], /^--peers h2=.+ must name one adapter of the results, /],
      [
        [h100, LAVAPIPE, "--peers", PEERS],
        /^--peers .+ must name one adapter of the results, as ADAPTER=FILE /,
      ],
      [
        [h100, LAVAPIPE, "--peers", `=${PEERS}`],
        /^--peers .+ must name one adapter of the results, /,
      ],
      [
        ["--quality", at("quality"), "--peers", PEERS],
        /^--peers .+ must name .+: there are no results\.$/m,
      ],
      [[h100, "--quality", at("missing")], /^Cannot read \S+missing: /],
      [
        [h100, "--quality", h100],
        /^.+csv has other columns than quality --csv writes: it is a file of results\.$/m,
      ],
      [[PEERS], /^.+csv has other columns .+: it is a file of peers, which --peers takes\.$/m],
      [
        [h100, "--peers", h100],
        /^.+csv is a file of results; --peers takes a CSV with .+ stage\.$/m,
      ],
      [[at("negative")], /^.+negative, line 3: median_us cannot be "-5"\.$/m],
      [[at("log")], /^.+log is not a run of the suite: it is a tuner's log, which report --tune /],
      [["--quality", at("damaged")], /^.+damaged, line 2: mass_middle cannot be "much"\.$/m],
      [[h100, "--tune", at("missing")], /^Cannot read \S+missing: /],
      [[h100, "--tune", folder], /^Cannot read \S+tune\.jsonl: /],
      [[h100, "--tune", at("empty")], /^.+empty has no measurements\.$/m],
      [["--tune", at("foreign")], /^.+foreign: line 1 is not a line of a tuner's log\.$/m],
      [[h100, "--out", folder], /^Cannot write \S+: it is a folder\.$/m],
      [[h100, "--svg", at("empty")], /^Cannot write figures to \S+empty: --svg takes a folder\.$/m],
    ];
    const before = Array.from(Deno.readDirSync(folder), ({ name }) => name).sort();
    for (const [args, message] of wrong) {
      const out = args.includes("--out") ? [] : ["--out", at("report.html")];
      const outcome = await run(...args, ...out);
      assertEquals([args, outcome.code, outcome.out], [args, 2, ""]);
      assertMatch(outcome.err, /^[^\n]+\.\n$/);
      assertMatch(outcome.err, message);
    }
    assertEquals(Array.from(Deno.readDirSync(folder), ({ name }) => name).sort(), before);
  }));

Deno.test("--quality makes figures, in the page and as files", () =>
  inFolder(async (folder) => {
    const quality = `${folder}/quality.csv`;
    await Deno.writeTextFile(quality, QUALITY);
    const out = `${folder}/report.html`;
    const { code, err } = await run("--quality", quality, "--out", out, "--svg", folder);
    assertEquals([code, err], [0, ""]);
    const html = await Deno.readTextFile(out);
    assertStringIncludes(html, "deno task report ");
    assertStringIncludes(html, "Output error against dense attention: novel");
    assertMatch(
      await Deno.readTextFile(`${folder}/quality-error-novel.svg`),
      /^<svg [^]+<\/svg>\n$/,
    );
  }));

Deno.test("--tune makes heat maps of a log that a kill cut short, in the page and as files", () =>
  inFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/tune.jsonl`, `${TUNING}{"utc":"20`);
    const [out, svg] = [`${folder}/report.html`, `${folder}/figures`];
    const { code, err } = await run("--tune", folder, "--out", out, "--svg", svg);
    assertEquals([code, err], [0, ""]);
    assertStringIncludes(await Deno.readTextFile(out), "Tuning on Some GPU, vulkan");
    const [{ name }, ...none] = Deno.readDirSync(svg);
    assertEquals([name, none], ["tuning-dense-split-32x8x128-n8192-b1.svg", []]);
    const text = await Deno.readTextFile(`${svg}/${name}`);
    for (const part of ["<svg ", "LANES", "SPLITS", ">12.5<", "Tuning of dense/split"]) {
      assertStringIncludes(text, part);
    }
  }));

Deno.test("report writes the stored figures", () =>
  inFolder(async (folder) => {
    const h100 = `${RESULTS}/h100-2026-11-28`;
    const reports = {
      decode: [`${h100}.csv`, "--peers", PEERS],
      equal: [`${h100}-equal-error.csv`, "--peers", `${h100}-equal-error-peers.csv`],
      retrieval: ["--frontier", `${h100}-frontier.csv`, "--heads", "sympy-L7-kv1"],
      diffuse: ["--frontier", `${h100}-frontier.csv`, "--heads", "sympy-L0-kv0"],
    };
    for (const [name, args] of Object.entries(reports)) {
      const svg = `${folder}/${name}`;
      const { code, err } = await run(...args, "--svg", svg, "--out", `${folder}/out.html`);
      assertEquals([code, err], [0, ""]);
    }
    const sources: Readonly<Record<string, string>> = {
      "equal-error.svg": "equal/speedup-cuda.svg",
      "frontier-diffuse-131072.svg": "diffuse/frontier-131072-mean.svg",
      "frontier-retrieval-131072.svg": "retrieval/frontier-131072-mean.svg",
      "frontier-retrieval-32768.svg": "retrieval/frontier-32768-mean.svg",
      "frontier-retrieval-8192.svg": "retrieval/frontier-8192-mean.svg",
      "speedup-cuda.svg": "decode/speedup-cuda.svg",
      "stages.svg": "decode/stages.svg",
    };
    const names = Array.from(Deno.readDirSync(`${RESULTS}/figures`), ({ name }) => name);
    assertEquals(names.sort(), Object.keys(sources));
    for (const [name, source] of Object.entries(sources)) {
      const [stored, now] = await Promise.all(
        [`${RESULTS}/figures/${name}`, `${folder}/${source}`].map((path) =>
          Deno.readTextFile(path)
        ),
      );
      assertEquals(stored === now, true, `${name} is out of date: write it again with --svg`);
    }
  }));

Deno.test("--heads names a trace that --frontier has", async () => {
  const { code, err } = await run(
    "--frontier",
    `${RESULTS}/h100-2026-11-28-frontier.csv`,
    "--heads",
    "L9",
  );
  assertEquals(code, 2);
  assertStringIncludes(err, "--frontier has no trace called L9; it has sympy-L7-kv1, ");
});

Deno.test("--help of report lists the flags", async () => {
  const { code, out } = await run("--help");
  assertEquals(code, 0);
  for (const flag of ["--quality FILE,..", "--tune FILE,.."]) assertStringIncludes(out, flag);
});
