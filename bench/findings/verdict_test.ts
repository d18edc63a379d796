import { assertEquals, assertMatch } from "@std/assert";
import { casesOf } from "../cases/cases.ts";
import { parseOptions } from "../run/options.ts";
import type { ResultRow } from "../results/row.ts";
import { makeFailedRow, makeRow } from "../../testing/row.ts";
import { type GpuPlan, gpuPlan, QUICKSTART_PLAN, verdicts } from "./verdict.ts";

type Changes = Partial<ResultRow>;

const NAME = "(32/8 heads, k = N/32)";

/** The settings of a case at `kvLen` tokens. */
const settingsAt = (kvLen: number): Changes => ({
  case_id: `32x8x128-n${kvLen}-b1-f16-c32h-mlp3x128f16-s32-w128+128`,
  kv_len: kvLen,
  lengths: String(kvLen),
});

/** A row that took turns with dense attention of `denseUs`. Its interval is 1% to each side. */
const timed = (us: number, denseUs: number, changes: Changes): ResultRow =>
  makeRow({
    median_us: us,
    ci_low_us: us * 0.99,
    ci_high_us: us * 1.01,
    speedup_vs_dense: denseUs / us,
    ...changes,
  });

const dense = (us: number, changes: Changes) => timed(us, us, changes);
const step = (us: number, denseUs: number, changes: Changes) =>
  timed(us, denseUs, { kernel: "pipeline/sparse_two", stage: "pipeline", ...changes });

/** A case in which the sparse step takes 10 us and dense attention `speedup` times as long. */
const pair = (kvLen: number, speedup: number, changes: Changes = {}) => [
  dense(10 * speedup, { ...settingsAt(kvLen), ...changes }),
  step(10, 10 * speedup, { ...settingsAt(kvLen), ...changes }),
];
const pairs = (...points: [kvLen: number, speedup: number][]) =>
  points.flatMap(([kvLen, speedup]) => pair(kvLen, speedup));

const TIE = "the two tie: the 95% intervals of their medians overlap.";

Deno.test("verdicts() sums the results of all lengths up in one sentence", () => {
  const table: [points: [number, number][], sentence: string][] = [
    [
      [[4096, 1.2], [8192, 1.5], [32768, 2.3]],
      `Sparse is faster at every length tried from 4,096 tokens on; at 32,768 it is 2.3 times as ` +
      `fast ${NAME}.`,
    ],
    [
      [[32768, 2.28], [4096, 0.7], [8192, 1.2]],
      `Sparse becomes faster between 4,096 and 8,192 tokens and stays so at every longer length ` +
      `tried; at 32,768 it is 2.3 times as fast ${NAME}.`,
    ],
    [
      [[1024, 0.5], [4096, 0.8], [16384, 1.64]],
      `Sparse becomes faster between 4,096 and 16,384 tokens; at 16,384 it is 1.64 times as fast ` +
      `${NAME}.`,
    ],
    [
      [[1024, 0.5], [16384, 0.8]],
      `Sparse is faster at no length tried, up to 16,384 tokens; there dense is 1.25 times as ` +
      `fast as sparse ${NAME}.`,
    ],
    [
      [[1024, 1.5], [4096, 1.2], [16384, 0.5]],
      `Sparse is faster at 1,024 and 4,096 tokens, but not at 16,384; at 16,384 dense is 2.0 ` +
      `times as fast as sparse ${NAME}.`,
    ],
    [
      [[1024, 1.5], [2048, 0.9], [4096, 0.8], [16384, 13.4]],
      `Sparse is faster at 1,024 tokens and at every length tried from 16,384 on, but not at ` +
      `2,048 or 4,096; at 16,384 it is 13 times as fast ${NAME}.`,
    ],
  ];
  for (const [points, sentence] of table) assertEquals(verdicts(pairs(...points)), [sentence]);
});

Deno.test("verdicts() takes overlapping intervals for a tie, not for a win or a crossing", () => {
  const table: [points: [number, number][], sentence: string][] = [
    [
      [[1024, 0.5], [4096, 1.019], [16384, 2.3]],
      `Sparse becomes faster between 1,024 and 16,384 tokens; at 16,384 it is 2.3 times as fast ` +
      `${NAME}. At 4,096 tokens ${TIE}`,
    ],
    [
      [[1024, 0.981], [4096, 1.5], [16384, 2.3]],
      `Sparse is faster at every length tried from 4,096 tokens on; at 16,384 it is 2.3 times as ` +
      `fast ${NAME}. At 1,024 tokens ${TIE}`,
    ],
    [
      [[1024, 0.5], [4096, 1.01]],
      `Sparse is faster at no length tried, up to 4,096 tokens ${NAME}. At 4,096 tokens ${TIE}`,
    ],
    [
      [[1024, 1], [4096, 0.99]],
      `Neither is faster at any length tried ${NAME}. At 1,024 and 4,096 tokens ${TIE}`,
    ],
    [
      [[1024, 1.5], [4096, 1.01]],
      `Sparse is faster at 1,024 tokens, but not at 4,096 ${NAME}. At 4,096 tokens ${TIE}`,
    ],
    [
      [[1024, 1.01]],
      `At 1,024 tokens, the only length tried, neither is faster ${NAME}. ` +
      `At 1,024 tokens ${TIE}`,
    ],
  ];
  for (const [points, sentence] of table) assertEquals(verdicts(pairs(...points)), [sentence]);
  const barely = [...pair(4096, 1.002), ...pair(8192, 1.002)].map((row) => ({
    ...row,
    ci_low_us: row.median_us! - 0.001,
    ci_high_us: row.median_us! + 0.001,
  }));
  assertMatch(verdicts(barely)[0], /; at 8,192 it is barely faster \(by less than 1%\) \(32/);
  assertMatch(
    verdicts(barely.slice(0, 2))[0],
    /sparse is barely faster than dense \(by less than 1%\)/,
  );
});

Deno.test("verdicts() names no crossing for a single length", () => {
  assertEquals(verdicts(pair(8192, 1.2)), [
    `At 8,192 tokens, the only length tried, sparse is 1.20 times as fast as dense ${NAME}.`,
  ]);
  assertEquals(verdicts(pair(8192, 1 / 1.3)), [
    `At 8,192 tokens, the only length tried, dense is 1.30 times as fast as sparse ${NAME}.`,
  ]);
});

Deno.test("verdicts() has a named sentence for each shape, batch, number format and run", () => {
  const rows = [
    ...pair(8192, 1.2),
    ...pair(32768, 2),
    ...pair(8192, 3, { batch: 8, case_id: "32x8x128-n8192-b8-f16-c32h-mlp3x128f16-s32-w0+0" }),
    ...pair(8192, 3, {
      dtype: "bf16",
      case_id: "32x8x128-n8192-b1-bf16-c32h-mlp3x128f16-s32-w0+0",
    }),
    ...pair(8192, 3, {
      q_heads: 28,
      kv_heads: 4,
      head_dim: 64,
      cache: "hot",
      lengths: "8192 500",
      batch: 2,
      case_id: "28x4x64-n8192_500-b2-f16-c32h-mlp3x128f16-k600-w128+128",
    }),
    ...pair(8192, 0.5, { driver: "NVIDIA 590.2" }),
  ];
  const named = verdicts(rows).map((sentence) => sentence.match(/\(([^)]+)\)\.$/)?.[1]);
  assertEquals(named, [
    `32/8 heads, k = N/32`,
    `32/8 heads, batch 8, k = N/32`,
    `32/8 heads, bf16, k = N/32`,
    `28/4 heads, head dim 64, batch 2, sequences of 8192, 500, hot caches, k = 600`,
    `32/8 heads, k = N/32`,
  ]);
  assertEquals(verdicts(rows).map((sentence) => sentence.match(/^.*?driver[^:]+/)?.[0]), [
    ...Array(4).fill("Some GPU, vulkan, driver NVIDIA 580.1"),
    "Some GPU, vulkan, driver NVIDIA 590.2",
  ]);
  assertMatch(verdicts(rows)[0], /: Sparse is faster at every length tried from 8,192 tokens on/);
});

Deno.test("verdicts() compares a sparse step only with kernels that took turns with it", () => {
  // Dense attention of a later run, on a faster clock.
  const later = dense(8, { ...settingsAt(8192), kernel: "dense/split_subgroup" });
  assertEquals(verdicts([...pair(8192, 1.2), later]), verdicts(pair(8192, 1.2)));
  const [, alone] = pair(8192, 1.2);
  assertEquals(verdicts([later, alone]), [
    `Sparse and dense are not compared at 8,192 tokens ${NAME}. The reason: dense kernels and ` +
    `sparse steps did not take turns.`,
  ]);
  assertMatch(verdicts([later, { ...alone, speedup_vs_dense: null }])[0], /did not take turns\.$/);
  // The fastest of several steps counts, and the fastest dense kernel that took turns with it.
  const rows = [
    ...pair(8192, 1.2),
    dense(30, { ...settingsAt(8192), kernel: "dense/slow", speedup_vs_dense: 12 / 30 }),
    step(11, 12, { ...settingsAt(8192), kernel: "pipeline/sparse" }),
  ];
  assertEquals(verdicts(rows), verdicts(pair(8192, 1.2)));
});

Deno.test("verdicts() separates steps with hot and with cold caches", () => {
  // Too little memory keeps even several sets in the caches; one large set may be beyond them.
  const hot = { sets: 3, cache: "hot" } as const;
  assertEquals(verdicts(pair(8192, 2, { sets: 1 })), verdicts(pair(8192, 2)));
  const sentences = verdicts([...pair(1024, 0.5), ...pair(1024, 2, hot), ...pair(4096, 3)]);
  assertEquals(sentences, [
    `Sparse becomes faster between 1,024 and 4,096 tokens; at 4,096 it is 3.0 times as fast ${NAME}.`,
    `At 1,024 tokens, the only length compared, sparse is 2.0 times as fast as dense (32/8 heads, ` +
    `hot caches, k = N/32). Nothing is compared at 4,096 tokens: no whole sparse step was timed.`,
  ]);
});

Deno.test("verdicts() names missing and FAILED kernels and does not count them", () => {
  const failedDense = makeFailedRow({ ...settingsAt(16384) });
  const failedStep = makeFailedRow({
    ...settingsAt(16384),
    kernel: "pipeline/sparse_two",
    stage: "pipeline",
  });
  const [denseOnly, stepOnly] = pair(16384, 2);
  const below = pairs([1024, 0.5], [4096, 1.5]);
  const found = "Sparse becomes faster between 1,024 and 4,096 tokens; at 4,096 it is 1.50 times " +
    `as fast ${NAME}. Nothing is compared at 16,384 tokens: `;
  const check = (kernel: string) =>
    ` The check of ${kernel} FAILED at 16,384 tokens, so its time does not count.`;
  const few = { ci_low_us: null, ci_high_us: null };
  const probe = makeRow({ ...settingsAt(16384), kernel: "probe/chain", stage: "probe" });
  const table: [rows: ResultRow[], why: string][] = [
    [[denseOnly], "no whole sparse step was timed."],
    [[stepOnly], "no dense kernel was timed."],
    [[probe], "no dense kernel was timed and no whole sparse step was timed."],
    [[failedDense, stepOnly], `every dense kernel FAILED its check.${check("dense/split")}`],
    [
      [denseOnly, failedStep],
      `every whole sparse step FAILED its check.${check("pipeline/sparse_two")}`,
    ],
    [
      [{ ...denseOnly, ...few }, stepOnly],
      "no dense kernel that passed its check has enough samples for an interval.",
    ],
  ];
  for (const [rows, why] of table) assertEquals(verdicts([...below, ...rows]), [found + why]);
  assertEquals(verdicts([denseOnly, ...pair(8192, 1).slice(0, 1)]), [
    `Sparse and dense are not compared at 8,192 and 16,384 tokens ${NAME}. The reason: no whole ` +
    "sparse step was timed.",
  ]);
  // One of several kernels FAILED: the others count, and the sentence says so.
  const other = makeFailedRow({ ...settingsAt(4096), kernel: "dense/split_subgroup" });
  assertMatch(
    verdicts([...pair(4096, 2), other])[0],
    /dense \(32.*\)\. The check of dense\/split_subgroup FAILED at 4,096 tokens, so its time does/,
  );
  assertEquals(verdicts([makeRow({ kernel: "select/counting", stage: "select" }), probe]), []);
  assertEquals(verdicts([]), []);
});

Deno.test("verdicts() says 'compared' instead of 'tried' with gaps, and names a rival", () => {
  const rows = [...pairs([1024, 2], [4096, 3]), ...pair(16384, 2).slice(0, 1)];
  assertMatch(verdicts(rows)[0], /^Sparse is faster at every length compared from 1,024 tokens on/);
  assertEquals(
    verdicts(
      pair(8192, 9, { kernel: "dense/gpt_fast" }).slice(0, 1).concat(
        pair(8192, 9).slice(1),
      ),
    ),
    [
      `At 8,192 tokens, the only length tried, sparse is 9.0 times as fast as dense ${NAME}. The ` +
      "fastest dense kernel timed at 8,192 tokens is dense/gpt_fast.",
    ],
  );
});

Deno.test("verdicts() on a software adapter name the command to run on a GPU", () => {
  const software = pair(8192, 9).map((row) => ({ ...row, software: true }));
  const [sentence, ...none] = verdicts(software);
  assertEquals(none, []);
  assertEquals(
    sentence,
    `A software adapter's times say nothing about a GPU. On a GPU, "npx --yes deno@2.9.6 task ` +
      `quickstart" times dense attention and the sparse step at 1,024, 4,096 and 16,384 tokens ` +
      `and says at which of them sparse is faster, and by how much.`,
  );
  assertMatch(
    verdicts(software, planOf("--kv 8192"))[0],
    /On a GPU, "deno task bench --kv 8192" times .+ at 8,192 tokens and says which is faster, and/,
  );
});

/** The plan to repeat a run of these flags on a GPU. */
function planOf(line: string): GpuPlan {
  const args = line.split(" ");
  return gpuPlan(casesOf(parseOptions(args)), args);
}

Deno.test("gpuPlan() repeats a command that times both, without this machine's flags", () => {
  for (const kernels of ["dense/split", "pipeline", "score,select"]) {
    assertEquals(planOf(`--kv 8k --kernels ${kernels}`), QUICKSTART_PLAN, kernels);
  }
  const here = "--out here --json=run.json --adapter 1 --driver Mesa";
  assertEquals(planOf(`--kv 8k,1k ${here} --kernels dense/split,pipeline --hot`), {
    command: "deno task bench --kv 8k,1k --kernels dense/split,pipeline --hot",
    kvLens: [1024, 8192],
  });
});
