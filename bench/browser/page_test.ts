/** The parts of the page that need no browser; `testing/browser/` has the others. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { UsageError } from "../base/usage_error.ts";
import { casesOf } from "../cases/cases.ts";
import type { PlannedCase } from "../runner/dry_run.ts";
import { parseOptions } from "../run/options.ts";
import { nameInUserAgent } from "./adapter.ts";
import { pageCases, PRESETS, readPageOptions } from "./presets.ts";
import { fitting } from "./run.ts";

Deno.test("pageCases() gives the cases of bench with the same flags", () => {
  const lines = [
    ...PRESETS.flatMap(({ args }) => args === null ? [] : [args]),
    ["--shape", "32x8x128", "--kv", "1K,4K", "--score", "rotated"],
    ["--shape", "8x2x64", "--kv", "2K", "--kernels", "dense/*", "--max-time", "3"],
  ];
  for (const args of lines) {
    const ids = (cases: readonly { caseId: string }[]) => cases.map(({ caseId }) => caseId);
    const page = readPageOptions(args);
    const bench = parseOptions(args);
    assertEquals(ids(pageCases(page, undefined, false)), ids(casesOf(bench)));
    assertEquals(page.maxTimeMs, bench.maxTimeMs);
  }
  assert(pageCases(readPageOptions(["--quick"]), undefined, true).length === 1);
  assertThrows(() => readPageOptions(["--shape", "4x3"]), UsageError, "--shape takes query heads");
});

Deno.test("fitting() starts no case beyond the memory", () => {
  const cases = casesOf(parseOptions(["--shape", "8x2x64", "--kv", "1K,64K"]));
  const planned = cases.map(({ name }, i): PlannedCase => ({
    name,
    leftOut: [],
    estimate: {
      kernels: 1,
      refused: [],
      memoryBytes: [1e9, 4.2e9][i],
      checkMs: 1,
      sampleMs: 1,
      coldInputBytes: 0,
    },
  }));
  const { cases: kept, plans, tooLarge } = fitting(cases, planned, 2e9);
  assertEquals([kept, plans], [[cases[0]], [planned[0]]]);
  assertEquals(tooLarge, [
    `${cases[1].name} was not started: its buffers would take 4.2 GB, more than the 2.0 GB that ` +
    "it may take.",
  ]);
});

Deno.test("nameInUserAgent() finds browser and system", () => {
  const moz = "Mozilla/5.0";
  assertEquals(
    [
      `${moz} (X11; Linux x86_64; rv:141.0) Gecko/20100101 Firefox/141.0`,
      `${moz} (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) ` +
      "Version/26.0 Safari/605.1.15",
      "curl/8",
    ].map(nameInUserAgent),
    [
      "Firefox 141.0, X11; Linux x86_64",
      "Safari 26.0, Macintosh; Intel Mac OS X 10_15_7",
      "unknown browser",
    ],
  );
});
