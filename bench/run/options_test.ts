import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import type { Trace } from "../../fixtures/trace.ts";
import { RIVALS, VARIANTS } from "../../kernels/core/registry.ts";
import { DEFAULT_BINS, ROTATION } from "../../kernels/core/problem/problem.ts";
import { caseId, casesOf, mapName, scoreOf } from "../cases/cases.ts";
import { parseOptions } from "./options.ts";
import { quickCases } from "../cases/quick.ts";
import { parseTuneOptions } from "../tune/options.ts";
import { UsageError } from "../base/usage_error.ts";

const NOW = new Date("2026-07-03T12:34:56.789Z");

const parse = (line: string) => parseOptions(line.split(" ").filter(Boolean), NOW);
const cases = (line: string) => casesOf(parse(line));
const ids = (line: string) => cases(line).map(({ caseId }) => caseId);

const TRACE: Trace = {
  k: new Float32Array(64 * 100),
  v: new Float32Array(64 * 100),
  q: new Float32Array(64 * 4),
  positions: Int32Array.of(99),
  headDim: 64,
  kvLen: 100,
  queryHeads: 4,
};

Deno.test("parseOptions() defaults to llama-3.1-8b and the paper's settings", () => {
  const options = parse("");
  assertEquals(options.outDir, "results/2026-07-03T12-34-56Z");
  assertEquals([options.noisePct, options.maxTimeMs, options.hot], [0.5, 10_000, false]);
  assertEquals(options.variants, VARIANTS);
  const found = casesOf(options);
  assertEquals(found[0].name, "llama-3.1-8b at 8192 tokens");
  assertEquals(found.map(({ problem }) => problem.kvLen), [8192, 32768, 131072]);
  assertEquals(found[0].problem, {
    batch: 1,
    qHeads: 32,
    kvHeads: 8,
    headDim: 128,
    kvLen: 8192,
    capacity: 8192,
    dtype: "f16",
    bits: 32,
    sharing: "head",
    topK: { sparsity: 32 },
    sink: 128,
    recent: 128,
    map: { layers: 3, hidden: 128, dtype: "f16" },
  });
  assertEquals(found[0].caseId, "32x8x128-n8192-b1-f16-c32h-mlp3x128f16-s32-w128+128");
});

Deno.test("parseOptions() and parseTuneOptions() take one of three timers", () => {
  assertEquals(parse("").timer, "auto");
  for (const timer of ["auto", "timestamp", "wall"]) {
    assertEquals(parse(`--timer ${timer}`).timer, timer);
    assertEquals(parseTuneOptions(["--timer", timer]).timer, timer);
  }
  const message = '--timer takes one of auto, timestamp, wall, not "sun".';
  assertEquals(assertThrows(() => parse("--timer sun"), UsageError).message, message);
});

Deno.test("parseOptions() passes every flag on to the problem", () => {
  const line = "--shape 6x2x96 --kv 1000,17 --batch 3 --dtype bf16 --bits 64 --sharing group " +
    "--k 16 --sink 4 --recent 0 --hot --noise .25 --max-time 1.5 --seed 9 --driver X --out o";
  const options = parse(line);
  assertEquals([options.hot, options.noisePct, options.maxTimeMs], [true, 0.25, 1500]);
  assertEquals([options.seed, options.driver, options.outDir], [9, "X", "o"]);
  const [short, long] = casesOf(options);
  assertEquals(short.problem.kvLen, 17);
  assertEquals(long.problem.capacity, 1008);
  assertEquals(caseId(short.problem), "6x2x96-n17-b3-bf16-c64g-linearf16-k16-w4+0");
});

Deno.test("casesOf() gives --layout and --page-tokens to problems, and names them in case ids", () => {
  const shape = "--shape 4x1x64 --kv 512 --batch 2";
  const end = (line: string) => ids(`${shape} ${line}`).map((id) => id.replace(/.*-w/, "w"));
  assertEquals(end(""), ["w128+128"]);
  assertEquals(end("--layout bhnd"), ["w128+128"]);
  assertEquals(end("--layout bnhd"), ["w128+128-bnhd"]);
  assertEquals(end("--page-tokens 16"), ["w128+128-p16"]);
  const [{ caseId, problem }] = cases(`${shape} --layout bnhd --page-tokens 256`);
  assertMatch(caseId, /-w128\+128-bnhd-p256$/);
  assertEquals(problem.kvPages, { tokens: 256 });
  assertEquals(problem.kvStrides, { outer: 256 * 64, head: 64, token: 64 });
  assertThrows(() => parse("--page-tokens 48"), UsageError, "--page-tokens takes one of 16, 32,");
  assertThrows(() => parse("--layout nhd"), UsageError, "--layout takes one of bhnd, bnhd");
  for (const flag of ["--layout bnhd", "--page-tokens 16"]) {
    assertThrows(() => parse(`--quick ${flag}`), UsageError, "--quick");
  }
});

Deno.test("casesOf() makes one batch of --lengths, and of equal ones the case of --batch", () => {
  const [{ name, caseId, problem }, ...more] = cases("--shape 4x1x64 --lengths 300,17,1000");
  assertEquals(more, []);
  assertEquals(name, "4x1x64 at 300, 17, 1000 tokens");
  assertEquals(caseId, "4x1x64-n300_17_1000-b3-f16-c32h-mlp3x128f16-s32-w128+128");
  assertEquals([problem.batch, problem.kvLen, problem.capacity], [3, 1000, 1008]);
  assertEquals(problem.lengths, [300, 17, 1000]);
  const equal = cases("--shape 4x1x64 --lengths 64,64");
  assertEquals(equal, cases("--shape 4x1x64 --kv 64 --batch 2"));
});

Deno.test("parseOptions() takes --map independently of --sharing", () => {
  assertEquals(parse("--sharing group").map.layers, 1);
  assertEquals(parse("--sharing group --map mlp").map.layers, 3);
  assertEquals(parse("--map random").map.layers, 1);
});

Deno.test("parseOptions() takes --score, --planes and --ties, which the case id tells", () => {
  const tiny = "--shape 4x1x64 --kv 512";
  const idOf = (line: string) => ids(`${tiny} ${line}`)[0].split("-f16-")[1].split("-s32-")[0];
  const paper = cases(tiny)[0].problem;
  assertEquals(cases(`${tiny} --score hamming --planes 0 --ties lower`)[0].problem, paper);
  const [weighted] = cases(`${tiny} --score weighted --planes 3 --ties higher`);
  assertEquals(weighted.problem, { ...paper, planes: 3, ties: "higher" });
  assertEquals(idOf("--score weighted"), "c32hw2-mlp3x128f16");
  assertEquals(idOf("--score weighted --planes 1 --sharing group"), "c32gw1-linearf16");
  assertEquals(idOf("--ties higher"), "c32ht-mlp3x128f16");
});

Deno.test("parseOptions() takes rotated codes, whose KV heads share 128 bits by default", () => {
  const tiny = "--score rotated --shape 4x1x64 --kv 512";
  const problemOf = (line: string) => cases(`${tiny} ${line}`)[0].problem;
  const { bits, sharing, map, planes, bins } = problemOf("");
  assertEquals([bits, sharing, map, planes, bins], [128, "kv", ROTATION, 2, undefined]);
  assertEquals(problemOf("--sharing kv --bins 64 --bits 128 --planes 2"), problemOf(""));
  assertEquals(problemOf("--bins 16").bins, { ...DEFAULT_BINS, count: 16 });
  const idOf = (line: string) => ids(`${tiny} ${line}`)[0];
  assertEquals(idOf(""), "4x1x64-n512-b1-f16-c128kw2t-rotation-s32-w128+128");
  assertEquals(
    idOf("--bins 256 --bits 64 --planes 0 --ties lower"),
    "4x1x64-n512-b1-f16-c64k-rotation256bins-s32-w128+128",
  );
  const narrow = { ...problemOf(""), bins: { count: 64, range: 4 } };
  assertEquals(mapName(narrow), "rotation-64bins-to4");
  assertEquals([mapName(problemOf("")), scoreOf(narrow)], ["rotation", "rotated"]);
  assertEquals(problemOf("--centre"), { ...problemOf(""), centre: true });
  assertEquals(
    idOf("--centre --bins 16"),
    "4x1x64-n512-b1-f16-c128kw2t-rotationcentred16bins-s32-w128+128",
  );
});

Deno.test("casesOf() keeps the rotation for --quick and for a trace", () => {
  assertEquals(
    cases("--quick --score rotated").map(({ problem }) => problem.map),
    [ROTATION, ROTATION, ROTATION],
  );
  const [alone] = casesOf(parse("--trace t --score rotated"), { name: "t", trace: TRACE });
  assertEquals(alone.caseId, "trace-t-4x1x64-n100-b1-f16-c128kw2t-rotation-s32-w128+128");
});

Deno.test("parseTuneOptions() takes the flags of a score, too", () => {
  const line = "--score rotated --bins 32 --planes 1 --shape 4x1x64 --kv 512";
  const [{ problem }] = parseTuneOptions(line.split(" ")).cases;
  assertEquals(problem, cases(line)[0].problem);
});

Deno.test("casesOf() makes one case of models of one shape", () => {
  const found = cases("--models llama-3.1-8b,deepseek-r1-distill-llama-8b,llama-2-7b --kv 4096");
  assertEquals(found.map(({ name }) => name), [
    "llama-3.1-8b, deepseek-r1-distill-llama-8b at 4096 tokens",
    "llama-2-7b at 4096 tokens",
  ]);
  assertEquals(cases("--models llama-2-7b").map(({ problem }) => problem.kvLen), [4096]);
});

Deno.test("quickCases() keeps one of the three lengths of --quick on a software adapter", () => {
  const lengths = "--kv 1024,4096,16384";
  assertEquals(ids("--quick"), ids(`--map random ${lengths}`));
  assertEquals(ids("--quick --map mlp"), ids(lengths));
  const quick = casesOf(parse("--quick"), { name: "t", trace: { ...TRACE, kvLen: 100 } });
  assertEquals(quickCases(quick, false), quick);
  assertEquals(quickCases(quick, true).map(({ problem }) => problem.kvLen), [4096, 100]);
});

Deno.test("casesOf() takes a trace alone, or after the cases of --shape", () => {
  const named = { name: "t", trace: TRACE };
  const [alone, ...none] = casesOf(parse("--trace t.safetensors"), named);
  assertEquals(none, []);
  assertEquals(alone.caseId, "trace-t-4x1x64-n100-b1-f16-c32h-linearf16-s32-w128+128");
  assertEquals([alone.problem.kvLen, alone.trace], [100, TRACE]);
  const both = casesOf(parse("--trace t --shape 4x1x64 --kv 64 --batch 2"), named);
  assertEquals(both.map(({ problem }) => problem.batch), [2, 1]);
});

Deno.test("casesOf() names the file of a trace or map that does not fit", () => {
  const line = "--trace dir/t.safetensors --trace-map dir/m.safetensors";
  const map = { layers: 1, hidden: 128, dtype: "f16" } as const;
  const shape = { headDim: 128, bits: 32, sharing: "head", heads: 4, map } as const;
  const numbers = new Float16Array(0);
  const learnedMap = { shape, query: numbers, key: numbers, about: {} };
  refused(
    () => casesOf(parse(line), { name: "t", trace: TRACE, learnedMap }),
    /^dir\/m\.safetensors for the trace t: the map is for another problem: head dim 128 and not 64/,
  );
  refused(
    () =>
      casesOf(parse("--trace dir/t.safetensors"), { name: "t", trace: { ...TRACE, headDim: 72 } }),
    /^dir\/t\.safetensors: head dim must be one of 64, 80, 96, 112, 128, 192, 256, got 72/,
  );
});

Deno.test("parseOptions() chooses kernels by globs, in the registry's order", () => {
  const names = (line: string) => parse(line).variants.map(({ name }) => name);
  assertEquals(names("--kernels *").length, VARIANTS.length);
  assertEquals(names("--kernels select/counting,dense/split"), ["select/counting", "dense/split"]);
  assertEquals(
    names("--kernels dense/*"),
    VARIANTS.map(({ name }) => name).filter((name) => name.startsWith("dense/")),
  );
});

Deno.test("parseOptions() takes rivals only if they are named", () => {
  const names = (line: string) => parse(line).variants.map(({ name }) => name);
  const rivals = RIVALS.map(({ name }) => name);
  assertEquals(parse("").variants.filter(({ name }) => rivals.includes(name)), []);
  assertEquals(names("--kernels rivals"), rivals);
  assertEquals(names("--kernels dense/split,select/radix"), ["dense/split", "select/radix"]);
  assertEquals(names("--kernels pipeline/oracle"), ["pipeline/oracle"]);
  assertEquals(names("--kernels pipeline/oracle*"), rivals.filter((each) => /oracle/.test(each)));
  const ofFolders = names("--kernels pipeline,score/*");
  assertEquals(ofFolders.filter((name) => rivals.includes(name)), []);
});

Deno.test("parseOptions() takes a folder's name for all kernels in it", () => {
  const names = (line: string) => parse(line).variants.map(({ name }) => name);
  assertEquals(names("--kernels dense"), names("--kernels dense/*"));
  assertEquals(names("--kernels dense/,merge"), names("--kernels dense/*,merge/*"));
});

Deno.test("casesOf() makes a case for each batch and length, which may end in K", () => {
  const sizes = (line: string) =>
    cases(line).map(({ problem: { batch, kvLen } }) => [batch, kvLen]);
  const four = [[1, 8192], [1, 131072], [8, 8192], [8, 131072]];
  assertEquals(sizes("--batch 8,1 --kv 128K,8k"), four);
  assertEquals(sizes("--kv 8k,8192"), [[1, 8192]]);
  assertEquals(cases("--batch 8 --kv 1K")[0].name, "llama-3.1-8b at 1024 tokens, batch 8");
  assertEquals(cases("--kv 1 --force")[0].name, "llama-3.1-8b at 1 token");
  assertEquals(parse("--lengths 8K,8K,500").lengths, [8192, 8192, 500]);
  assertEquals(parse("--k 1K --sink 0 --recent 2k").topK, { count: 1024 });
});

Deno.test("casesOf() makes a case for each number of requests over a prefix, of rotated codes", () => {
  const found = cases("--shape 8x2x64 --prefix 4K --requests 5,1 --tail 100");
  assertEquals(found.map(({ name, caseId }) => [name, caseId]), [
    [
      "8x2x64 at 4196 tokens, a prefix of 4096 shared",
      "8x2x64-n4196-b1-t100-f16-c128kw2t-rotation-s32-w128+128",
    ],
    [
      "8x2x64 at 4196 tokens, batch 5, a prefix of 4096 shared",
      "8x2x64-n4196-b5-t100-f16-c128kw2t-rotation-s32-w128+128",
    ],
  ]);
  for (const { problem, variants } of found) {
    assertEquals([problem.prefix, problem.kvLen], [4096, 4196]);
    const names = variants.map(({ name }) => name);
    assert(names.includes("pipeline/shared_four") && names.includes("encode/rotate_prompt"));
    assert(!names.includes("dense/split") && !names.includes("pipeline/rotated_two"));
  }
  const [{ problem }] = cases("--prefix 1K --score rotated");
  assertEquals([problem.batch, problem.kvLen], [8, 1536]);
  assert(cases("--kv 1K")[0].variants.every(({ sharedPrefix }) => sharedPrefix !== "only"));
});

Deno.test("parseOptions() and casesOf() refuse what contradicts a prefix in one sentence", () => {
  const lines: Record<string, RegExp> = {
    "--prefix 1K --kv 1K": /--kv and --prefix contradict each other/,
    "--prefix 1K --lengths 1K,2K": /--lengths and --prefix contradict each other/,
    "--prefix 1K --batch 2": /--batch and --prefix contradict each other/,
    "--prefix 1K --set scbench": /--set and --prefix contradict each other/,
    "--requests 2": /--requests needs the --prefix that they share/,
    "--tail 2": /--tail needs the --prefix that it follows/,
    "--prefix 0": /--prefix takes a whole number of tokens from 1/,
    "--prefix 1K --tail 0": /--tail takes a whole number of tokens from 1/,
    "--prefix 1K --score hamming": /--prefix takes --score rotated: no kernel scores hamming codes/,
    "--prefix 1000": /^Prefix must be a multiple of 16 tokens, got 1000/,
    "--prefix 1K --score rotated --centre": /Centre takes the mean key of each sequence/,
    "--models llama-2-7b --prefix 4K": /exceeds the context of llama-2-7b/,
  };
  for (const [line, message] of Object.entries(lines)) refused(() => cases(line), message);
});

Deno.test("parseOptions() takes models in upper or lower case", () => {
  assertEquals(parse("--models Llama-3.1-8B,llama-3.1-8b").models, ["llama-3.1-8b"]);
});

Deno.test("casesOf() takes with --force the cases that it refuses without", () => {
  for (
    const line of [
      "--models llama-2-7b --kv 8192",
      "--kv 31",
      "--sparsity 9000 --kv 8192",
      "--k 0 --kv 8192",
    ]
  ) {
    refused(() => cases(line), /--force times it anyway\.$/);
    assertEquals(cases(`${line} --force`).length, 1);
  }
  // At the limit nothing is refused.
  assertEquals(cases("--models llama-2-7b --kv 4096").length, 1);
  assertEquals(cases("--kv 32 --sink 0 --recent 0").length, 1);
});

Deno.test("parseOptions() refuses wrong flags in one sentence", () => {
  const wrong: Record<string, RegExp> = {
    "--frob": /Unknown flag --frob;/,
    "--frob=1": /Unknown flag --frob;/,
    "--no-hot": /Unknown flag --no-hot;/,
    "-x": /Unknown flag -x;/,
    "word": /"word" is not a flag/,
    "8192": /"8192" is not a flag/,
    "-- word": /"word" is not a flag/,
    "--kv": /--kv needs a value/,
    "--kv --hot": /--kv needs a value/,
    "--kv 1 --kv 2": /--kv is given twice/,
    "--kv 8q": /--kv takes a whole number of tokens from 1 to 2097152, where 8K is 8192, not "8q"/,
    "--kv -5": /--kv takes a whole number of tokens from 1 to 2097152, .*not "-5"/,
    "--kv=": /--kv is given an empty value/,
    "--kv 131,072": /--kv takes a whole number of tokens.*not "072"/,
    "--kv 0": /whole number of tokens from 1/,
    "--kv 2097153": /whole number of tokens from 1 to 2097152/,
    "--batch 1,0": /--batch takes a whole number from 1 to 65535, not "0"/,
    "--hot=maybe": /--hot takes true or false, or no value, not "maybe"/,
    "--list=no": /--list takes true or false, or no value, not "no"/,
    "--no-tuned=x": /--no-tuned takes true or false/,
    "--no-kv=3": /Unknown flag --no-kv;/,
    "--list --print-wgsl dense/split": /--list and --print-wgsl contradict/,
    "--list --dry-run": /--list and --dry-run contradict/,
    "--list-adapters --dry-run": /--list-adapters and --dry-run contradict/,
    "--list --kv 8k": /^--list stands alone: --kv would change nothing\.$/,
    "--list --json F": /^--list stands alone: --json would/,
    "--list-adapters --kernels dense": /^--list-adapters stands alone: --kernels would/,
    "--list-adapters --hot": /^--list-adapters stands alone: --hot would/,
    "--dry-run --print-wgsl dense/split": /--print-wgsl and --dry-run contradict/,
    "--kv 8192,": /empty entry/,
    "--shape 32x8": /32x8x128, not "32x8"/,
    "--models gpt-7": /^--models: unknown model "gpt-7"; the known models are llama/,
    "--kernels nothing*": /no kernel matches nothing\*; the kernels are encode/,
    "--kernels dense.split": /no kernel matches/,
    "--print-wgsl x": /^--print-wgsl: no kernel is called x/,
    "--dtype f64": /one of f16, bf16, f32, not "f64"/,
    "--bits 16": /one of 32, 64, 128/,
    "--noise 0": /a number of percent from 0\.001 to 100, not "0"/,
    "--max-time forever": /a number of seconds from 0\.001 to 86400, not "forever"/,
    "--max-time 1e-9": /a number of seconds from 0\.001 to 86400, not "1e-9"/,
    "--max-time -1": /a number of seconds from 0\.001 to 86400, not "-1"/,
    "--shape 32x5x128": /^--shape 32x5x128: query heads .* multiple of KV heads, got 32 and 5/,
    "--shape 32x8x100": /^--shape 32x8x100: head dim must be one of 64, 80, 96, 112, 128, 192, 256/,
    "--shape 65x1x64":
      /the GQA group query heads.KV heads must be a whole number from 1 to 64, got 65/,
    "--shape 0x1x64": /query heads must be a whole number/,
    "--seed=-1": /whole number from 0/,
    "--seed 1.5": /whole number from 0/,
    "--sparsity 0": /whole number from 1/,
    "--models llama-2-7b --shape 1x1x64": /--models and --shape contradict/,
    "--k 4 --sparsity 4": /--k and --sparsity contradict/,
    "--quick --kv 4": /--quick and --kv contradict/,
    "--quick --lengths 4": /--quick and --lengths contradict/,
    "--lengths 4 --kv 4": /--lengths and --kv contradict/,
    "--lengths 4,5 --batch 2": /--lengths and --batch contradict/,
    "--lengths 4,0": /--lengths takes a whole number of tokens from 1/,
    "--quick --trace x": /--quick and --trace contradict/,
    "--trace x --kv 100": /--kv needs --models or --shape/,
    "--trace-map m": /--trace-map needs the --trace/,
    "--quick --trace-map m": /--quick and --trace-map contradict/,
    "--trace x --trace-map m --bits 64": /--bits needs --models or --shape/,
    "--trace x --trace-map m --sharing group": /--sharing needs --models or --shape/,
    "--trace x --lengths 100": /--lengths needs --models or --shape/,
    "--score cosine": /^--score takes one of hamming, weighted, rotated, not "cosine"/,
    "--planes 4 --score rotated": /^--planes takes a whole number from 0 to 3, not "4"/,
    "--planes 2":
      /^--planes 2 does not fit --score hamming, which takes 0; weighted takes 1 to 3 and rotated/,
    "--planes 0 --score weighted": /^--planes 0 does not fit --score weighted, which takes 1 to 3;/,
    "--gpu metal": /^--gpu takes one of wgpu, dawn, not "metal"/,
    "--dawn-toggles allow_unsafe_apis": /^--dawn-toggles needs --gpu dawn, not wgpu/,
    "--gpu dawn --dawn-toggles fast": /^--dawn-toggles takes one of disable_robustness, allow_/,
    "--bins 64": /^--bins 64 needs --score rotated, not hamming/,
    "--centre --score weighted": /^--centre needs --score rotated, not weighted/,
    "--bins 32 --score weighted": /^--bins 32 needs --score rotated, not weighted/,
    "--bins 48 --score rotated": /^--bins takes one of 16, 32, 64, 128, 256, not "48"/,
    "--ties first": /^--ties takes one of lower, higher, not "first"/,
    "--score rotated --sharing head":
      /^--sharing head does not fit --score rotated, which takes kv/,
    "--score rotated --sharing group": /^--sharing group does not fit --score rotated/,
    "--score rotated --map mlp": /^--map mlp does not fit --score rotated, which has a rotation/,
    "--score rotated --quick --map random": /^--map random does not fit --score rotated/,
    "--score rotated --bits 16": /^--bits takes one of 32, 64, 128, not "16"/,
    "--score rotated --trace x --trace-map m": /^--trace-map does not fit --score rotated/,
    "--set decode --score rotated": /^--set and --score contradict/,
  };
  for (const [line, message] of Object.entries(wrong)) refused(() => parse(line), message);
});

Deno.test("casesOf() refuses impossible cases in one sentence", () => {
  const wrong: Record<string, RegExp> = {
    "--models llama-2-7b --kv 8192":
      /^--kv 8192 exceeds the context of llama-2-7b, 4096 tokens; --force/,
    "--models llama-2-7b --lengths 9,5000": /^--lengths 5000 exceeds the context/,
    "--kv 31": /^--sparsity 32 selects none of 31 tokens; --force/,
    "--kv 1 --sparsity 2": /selects none of 1 token;/,
    "--k 0 --kv 1": /^--k 0 selects none of 1 token; --force/,
    "--k 9000": /--k 9000 exceeds the KV length of 8192 tokens/,
  };
  for (const [line, message] of Object.entries(wrong)) refused(() => cases(line), message);
  assertEquals(cases("--k 8192 --kv 8192").length, 1);
});

function refused(call: () => unknown, message: RegExp): void {
  const error = assertThrows(call, UsageError);
  assertMatch(error.message, message);
  assertMatch(error.message, /^[^\n]+\.$/);
}
