import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertGreater,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import { parse } from "@std/csv";
import { MODELS } from "../../fixtures/models.ts";
import { CASE_SETS } from "../cases/case_sets.ts";
import { VARIANTS } from "../../kernels/core/registry.ts";
import { escapeXml } from "../chart/escape.ts";
import { COLUMNS } from "../results/row.ts";
import { command, inFolder, runProgram } from "../../testing/command.ts";

const MAIN = `${import.meta.dirname}/main.ts`;
const ROOT = `${import.meta.dirname}/../..`;

/** A small case and a short time limit: these tests are about the command, not its timings. */
const TINY = ["--shape", "4x1x64", "--kv", "512", "--max-time", "0.2"];

const run = (...args: string[]) => runProgram(MAIN, ...args);

async function readRows(dir: string): Promise<Record<string, string | undefined>[]> {
  const text = await Deno.readTextFile(`${dir}/results.csv`);
  assert(text.endsWith("\r\n"));
  return parse(text, { skipFirstRow: true });
}

Deno.test("bench exits 2 with one sentence on wrong usage", () =>
  inFolder(async (folder) => {
    const file = `${folder}/file`;
    await Deno.writeTextFile(file, "no folder, no trace");
    const wrong: [string[], RegExp][] = [
      [["--frobnicate"], /^Unknown flag --frobnicate/],
      [["llama"], /^"llama" is not a flag/],
      [[""], /^An argument is empty/],
      [["--kv", ""], /^--kv is given an empty value/],
      [["--kv", "-5"], /^--kv takes a whole number of tokens from 1 /],
      [["--list", "--print-wgsl", "dense/split"], /^--list and --print-wgsl contradict/],
      [["--adapter", "no such card"], /^--adapter no such card matches no adapter: /],
      [["--adapter", "99"], /^--adapter 99 is not the number of an adapter: 0 /],
      [["--shape", "32x5x128"], /got 32 and 5/],
      [["--models", "gpt-7"], /gpt-7.*llama-3\.1-8b/],
      [["--k", "600", ...TINY], /--k 600 exceeds the KV length of 512/],
      [["--kernels", "nothing/*"], /no kernel matches nothing\/\*; the kernels are .*dense\/split/],
      [["--print-wgsl", "nothing"], /^--print-wgsl: no kernel is called nothing/],
      [["--trace", file], /^\S+file: /],
      [["--trace", `${folder}/missing`], /^Cannot read the trace/],
      [["--peers", `${folder}/missing`, ...TINY], /^Cannot read \S+missing: /],
      [
        ["--peers", file, ...TINY],
        /^\S+file has other columns; --peers takes a CSV with the columns peer, batch,/,
      ],
      [["--planes", "2", ...TINY], /^--planes 2 does not fit --score hamming, which takes 0;/],
      [["--score", "rotated", "--map", "mlp"], /^--map mlp does not fit --score rotated/],
      [["--set", "nothing"], /^--set: no set of cases is called nothing; known are decode/],
      [["--out", file, ...TINY], /^Cannot write results to \S+file: --out takes a folder\.$/m],
      [
        ["--out", `${file}/results`, ...TINY],
        /^Cannot write results to \S+results: \S+file is a file, not a folder\.$/m,
      ],
      [["--json", folder, "--out", `${folder}/none`, ...TINY], /^Cannot write \S+: it is a folder/],
    ];
    const outcomes = await Promise.all(wrong.map(([args]) => run(...args)));
    for (const [i, { code, err }] of outcomes.entries()) {
      assertEquals([wrong[i][0], code], [wrong[i][0], 2]);
      assertMatch(err, /^[^\n]+\.\n$/);
      assertMatch(err, wrong[i][1]);
    }
    assertEquals(Array.from(Deno.readDirSync(folder), ({ name }) => name), ["file"]);
  }));

Deno.test("bench prints help, lists and WGSL to stdout", async () => {
  const [help, list, wgsl] = await Promise.all([
    run("--help"),
    run("--list"),
    run("--print-wgsl", "dense/split", "--shape", "6x2x96", "--kv", "100"),
  ]);
  for (const { code, err } of [help, list, wgsl]) assertEquals([code, err], [0, ""]);
  assertStringIncludes(help.out, "--print-wgsl NAME");
  assertMatch(list.out, /\n +gemma-2-9b .*\n +its soft cap of logits at 50 is not computed/);
  for (const { name } of [...VARIANTS, ...MODELS, ...CASE_SETS]) {
    assertStringIncludes(list.out, name);
  }
  assertStringIncludes(wgsl.out, "// Dispatch 1 of 2: dense/split");
  assertStringIncludes(wgsl.out, "const HEAD_DIM: u32 = 96u;");
  assertStringIncludes(wgsl.out, "const GROUP: u32 = 3u;");
});

Deno.test("--print-wgsl prints the WGSL of the requested --hand-over", async () => {
  const wgsl = ["--print-wgsl", "attend/gather_merge", "--shape", "4x1x64", "--kv", "8192"];
  const [dispatch, atomics] = await Promise.all(
    ["dispatch", "atomics"].map((how) => run(...wgsl, "--hand-over", how)),
  );
  for (const { code, err } of [dispatch, atomics]) assertEquals([code, err], [0, ""]);
  assertMatch(dispatch.out, /^\/\/ Dispatch 2 of 2: merge\/join_splits, /m);
  assertMatch(atomics.out, /^\/\/ Dispatch 1 of 1: attend\/gather_merge, /m);
});

Deno.test("--dry-run prints cases, memory and minutes, and writes nothing", () =>
  inFolder(async (folder) => {
    const dir = `${folder}/results`;
    const cases = ["--models", "Gemma-2-9B", "--kv", "1k,2K", "--batch", "1,2"];
    const { code, out, err } = await run(...cases, "--dry-run", "--out", dir, "--kernels", "dense");
    assertEquals([code, err], [0, ""]);
    assertMatch(out, /^Adapter: /);
    assertMatch(out, /\ngemma-2-9b: its soft cap of logits at 50 is not computed/);
    assertMatch(out, /\nkernels +GB +minutes +case\n/);
    assertMatch(out, /\n +\d+ +0\.\d+ +\d+\.\d +gemma-2-9b at 2048 tokens, batch 2\n/);
    assertMatch(out, /\n4 cases: about \d+\.\d minutes and at most 0\.\d+ GB of buffers /);
    assertEquals(Array.from(Deno.readDirSync(folder)), []);
  }));

Deno.test("--list-adapters numbers the adapters, and --adapter takes a number or a name", () =>
  inFolder(async (folder) => {
    const listed = await run("--list-adapters");
    assertEquals([listed.code, listed.err], [0, ""]);
    const adapters = [...listed.out.matchAll(/^(\d+) {2}(.+?) {2,}(?:soft|hard)ware {2}(\w+) /gm)];
    assertGreater(adapters.length, 0);
    // The first adapter is chosen by its name in capitals, too.
    const wanted = [...adapters, adapters[0].with(1, adapters[0][2].toUpperCase())];
    for (const [, which, name, backend] of wanted) {
      const { code, out, err } = await run(
        ...TINY,
        "--adapter",
        which,
        "--dry-run",
        "--out",
        folder,
      );
      assertEquals([code, err], [0, ""]);
      assert(out.startsWith(`Adapter: ${name} (`), out);
      assertMatch(out, new RegExp(`^Adapter: .*, backend ${backend}, `));
    }
  }));

Deno.test("bench writes every column of every kernel, and appends the rows of the next run", () =>
  inFolder(async (folder) => {
    const dir = `${folder}/results`;
    const { code, out, err } = await run(...TINY, "--out", dir, "--driver", "by hand");
    assertEquals(code, 0, err);
    assertMatch(out, /^Adapter: /);
    assertMatch(out, /4x1x64, 512 tokens\n/);
    assertStringIncludes(out, `Results: ${dir}/results.csv`);
    assertStringIncludes(out, `Report: ${dir}/report.html`);
    assertStringIncludes(await Deno.readTextFile(`${dir}/report.html`), "Speedup over");
    await endsWithVerdict(out, `${dir}/report.html`);
    assertMatch(err, /% about \d+:\d\d left, 4x1x64 at 512 tokens: checking merge\/merge\n/);
    // No progress bar, since stderr is not a terminal.
    assert(!err.includes("\r"));

    const rows = await readRows(dir);
    const allowed = VARIANTS.map(({ name }) => name);
    assertGreater(rows.length, allowed.length / 2);
    const mayBeEmpty = ["rows", "unique_rows", "speedup_vs_dense", "failure"];
    mayBeEmpty.push(
      "workgroup",
      "ns_per_tick",
      "gflops_per_s",
      "data_digest",
      "clock_grain_ns",
      "hand_over",
      "trace_error",
      "trace_mass",
      "trace_tokens",
      "toggles",
      "page_tokens",
    );
    const mayBeEmptyForProbes = [
      "gbytes_per_s",
      "floor_us",
      "roofline_pct",
      "rel_l2_err",
      "wanted_sets",
    ];
    const isProbe = (row: { stage?: string }) => row.stage === "probe";
    assertGreater(rows.filter(isProbe).length, 5);
    for (const row of rows) {
      assertEquals(Object.keys(row), [...COLUMNS]);
      if (!isProbe(row)) {
        assert(allowed.includes(row.kernel!));
        assertStringIncludes(out, row.kernel!);
      }
      for (const name of COLUMNS) {
        const empty = [...mayBeEmpty, ...(isProbe(row) ? mayBeEmptyForProbes : [])].includes(name);
        assert(row[name] !== "" || empty, `${row.kernel}: ${name}`);
      }
      // Every whole step hands data over, within a dispatch or between two.
      if (row.stage === "pipeline") assertMatch(row.hand_over!, /^(dispatch|atomics|barrier)$/);
      assertEquals([row.verified, row.failure], ["true", ""]);
      assertGreater(Number(row.median_us), 0);
      assertEquals(row.case_id, "4x1x64-n512-b1-f16-c32h-mlp3x128f16-s32-w128+128");
    }
    assertMatch(
      out,
      /\nencode\/prompt adds [\d.]+% to the time of prefill\/flash, .+, at 512 tokens \(4x1x64\)\.\n/,
    );
    const samples = (await Deno.readTextFile(`${dir}/samples.jsonl`)).trimEnd().split("\n");
    for (const [i, line] of samples.entries()) {
      assertEquals(JSON.parse(line).kernel, rows[i].kernel);
      assertEquals(JSON.parse(line).us.length, Number(rows[i].samples));
    }

    const text = await Deno.readTextFile(`${dir}/results.csv`);
    const again = await run(...TINY, "--kernels", "dense/gpt_fast", "--out", dir);
    assertEquals(again.code, 0, again.err);
    const keptRows = rows.filter(isProbe).length + 1;
    assertStringIncludes(again.out, `\nKept ${keptRows} rows of an earlier run of this commit.\n`);
    assertMatch(again.out, /\ndense\/gpt_fast +dense /);
    assertEquals(await Deno.readTextFile(`${dir}/results.csv`), text);

    const unequal = ["--shape", "4x1x64", "--lengths", "300,1,40", "--kernels", "dense/token_pool"];
    assertEquals((await run(...unequal, "--max-time", "0.2", "--out", dir)).code, 0);
    const last = (await readRows(dir)).at(-1)!;
    assertEquals([last.kernel, last.kv_len, last.lengths, last.verified], [
      ...["dense/token_pool", "300", "300 1 40", "true"],
    ]);
  }));

Deno.test("--score rotated times rotated codes, and refuses other scores in a sentence", () =>
  inFolder(async (folder) => {
    const line = [...TINY, "--score", "rotated", "--planes", "1", "--out", folder];
    const kernels = ["--kernels", "score,pipeline/rotated"];
    const { code, out, err } = await run(...line, ...kernels);
    assertEquals(code, 0, err);
    assertStringIncludes(out.replaceAll(/\s+/g, " "), "(rotated, 1 plane, ties to higher indices)");
    assert(!err.includes("Left out"), err);
    const rows = (await readRows(folder)).filter(({ stage }) => stage !== "probe");
    assertEquals(rows.map(({ kernel }) => kernel), ["score/rotated", "pipeline/rotated"]);
    for (const { case_id, map, score, planes, code_bytes, verified } of rows) {
      assertEquals(case_id, "4x1x64-n512-b1-f16-c128kw1t-rotation-s32-w128+128");
      assertEquals([map, score, planes, code_bytes], ["rotation", "rotated", "1", "17"]);
      assertEquals(verified, "true");
    }

    const none = await run(...line, "--kernels", "score/hamming");
    assertEquals(none.code, 2);
    const reason = "it takes codes of a map, and these are rotated";
    assertStringIncludes(none.err, `Left out: score/hamming: ${reason}.`);
    assertMatch(none.err, /^No kernel could run\.$/m);
    assert(!none.err.includes("    at "), none.err);
  }));

Deno.test("--timer wall uses the wall clock although the device has timestamps", () =>
  inFolder(async (folder) => {
    const kernels = ["--kernels", "merge/merge"];
    const { code, err } = await run(...TINY, ...kernels, "--timer", "wall", "--out", folder);
    assertEquals(code, 0, err);
    const rows = await readRows(folder);
    assertGreater(rows.length, 5);
    for (const { timer, ns_per_tick, clock_grain_ns, median_us, verified } of rows) {
      assertEquals([timer, ns_per_tick, clock_grain_ns, verified], ["wall", "", "", "true"]);
      assertGreater(Number(median_us), 0);
    }
  }));

/** Checks that the verdict ends the output of a run and begins its page. */
async function endsWithVerdict(out: string, page: string): Promise<void> {
  const last = out.trimEnd().split("\n").at(-1)!;
  if (out.includes("WARNING: timings on a software adapter")) {
    assertMatch(
      last,
      /^A software adapter's .+ GPU, "deno task bench --shape 4x1x64 --kv 512 .+ at 512/,
    );
  } else {
    assertMatch(
      last,
      /^At 512 tokens, the only length tried, .+ \(4\/1 heads, head dim 64, .+\)\./,
    );
  }
  const html = await Deno.readTextFile(page);
  const begin = html.slice(html.indexOf("<h1>"), html.indexOf("<nav"));
  assertStringIncludes(begin, `<li>${escapeXml(last)}</li>`);
}

Deno.test("bench prints the ratios to --peers, and writes ratios.csv beside the rows", () =>
  inFolder(async (folder) => {
    const peers = `${folder}/peers.csv`;
    const columns = "peer,batch,q_heads,kv_heads,head_dim,kv_len,us_median,gbytes_per_s";
    await Deno.writeTextFile(peers, `${columns}\ntorch_flash,1,4,1,64,512,5,1\n`);
    const kernels = ["--kernels", "dense/split,pipeline/sparse"];
    const { code, out, err } = await run(...TINY, ...kernels, "--peers", peers, "--out", folder);
    assertEquals(code, 0, err);
    assertStringIncludes(out, "\nDense attention here and in other software\n");
    const [{ label, cuda_dense, cuda_dense_over_step_x, step, step_us }, ...none] = parse(
      await Deno.readTextFile(`${folder}/ratios.csv`),
      { skipFirstRow: true },
    );
    assertEquals([label, cuda_dense, step], ["4x1x64", "torch_flash", "pipeline/sparse"]);
    assertAlmostEquals(Number(cuda_dense_over_step_x), 5 / Number(step_us), 1e-3);
    assertEquals(none, []);
  }));

Deno.test("bench refuses a case that the device cannot hold, in one sentence", () =>
  inFolder(async (folder) => {
    const { code, err } = await run(
      ...["--shape", "64x64x256", "--kv", "2097152", "--batch", "64", "--dtype", "f32"],
      ...["--kernels", "dense/gpt_fast", "--max-time", "0.2", "--out", `${folder}/results`],
    );
    assertEquals(code, 2);
    assertMatch(err, /a KV head of keys needs \d+ bytes, this device binds \d+ at most\.\n$/);
    assert(!err.includes("    at "), err);
  }));

Deno.test("bench exits 130 on a signal, and leaves valid files", () =>
  inFolder(async (folder) => {
    if (Deno.build.os === "windows") return;
    for (const signals of [["SIGINT"], ["SIGINT", "SIGINT"], ["SIGTERM"]] as const) {
      const dir = `${folder}/${signals.join("-")}`;
      // The second case is far from done when the rows of the first one are written.
      const args = ["--kernels", "dense/*", "--shape", "4x1x64", "--kv", "512,65536"];
      const child = command(MAIN, ...args, "--max-time", "0.2", "--out", dir).spawn();
      const out = new Response(child.stdout).text();
      for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) {
        if (text.includes("65536 tokens: checking")) break;
      }
      for (const signal of signals) child.kill(signal);
      assertEquals((await child.status).code, 130);
      const rows = await readRows(dir);
      assertGreater(rows.length, 0);
      assertMatch(await out, new RegExp(`Stopped: ${rows.length} new rows are saved`));
    }
  }));

Deno.test("deno bench --json prints JSON and nothing else", async () => {
  const { success, stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["bench", "-A", "--no-check", "--json", "--filter", "merge/merge"],
    cwd: ROOT,
    stderr: "null",
  }).output();
  assert(success);
  const { benches } = JSON.parse(new TextDecoder().decode(stdout));
  assertEquals(benches.map(({ name }: { name: string }) => name), ["merge/merge"]);
  assertMatch(benches[0].group, /^\d+x\d+x\d+, \d+ tokens: .* on ./);
});
