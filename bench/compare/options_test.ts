import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { UsageError } from "../base/usage_error.ts";
import { parseCompareOptions } from "./options.ts";

Deno.test("parseCompareOptions() needs no flags for two files", () => {
  assertEquals(parseCompareOptions(["a.csv", "b"]), {
    paths: ["a.csv", "b"],
    kernels: null,
    metric: "time",
    format: "text",
    limits: { samePct: 2, driftUs: 0.1 },
    failOn: null,
  });
});

Deno.test("parseCompareOptions() takes flags anywhere, and names that look like numbers", () => {
  const flags = ["--same", "1.5", "--drift=0", "--fail-on", "slower:5", "--json"];
  const kernels = ["--kernels", "dense/*, pipeline/sparse_two"];
  assertEquals(
    parseCompareOptions(["1e3", ...flags, ...kernels, "007", "--metric", "roofline", "--", "-c"]),
    {
      paths: ["1e3", "007", "-c"],
      kernels: ["dense/*", "pipeline/sparse_two"],
      metric: "roofline",
      format: "json",
      limits: { samePct: 1.5, driftUs: 0 },
      failOn: { slowerPct: 5 },
    },
  );
  assertEquals(parseCompareOptions(["a", "b", "--fail-on", "slower"]).failOn, { slowerPct: null });
});

Deno.test("parseCompareOptions() refuses wrong flags in one sentence", () => {
  const wrong: [string[], RegExp][] = [
    [[], /^compare takes 2 to 26 results files or folders, not 0\.$/],
    [["a"], /not 1\.$/],
    [Array(27).fill("a"), /not 27\.$/],
    [
      ["a", "b", "--metric", "flops"],
      /^--metric takes one of time, gbytes, roofline, not "flops"\.$/,
    ],
    [["a", "b", "--kernels", "a,,b"], /^--kernels has an empty entry in "a,,b"\.$/],
    [["a", "b", "--metric"], /^--metric needs a value\.$/],
    [["a", "b", "--same=-1"], /^--same takes a number from 0 to 1000, not "-1"\.$/],
    [["a", "b", "--drift", "x"], /^--drift takes a number from 0 to 1000, not "x"\.$/],
    [["a", "b", "--same", "1", "--same", "2"], /^--same is given twice\.$/],
    [["a", "b", "--fail-on", "faster"], /^--fail-on takes slower or slower:PCT, not "faster"\.$/],
    [["a", "b", "--fail-on", "slower:1:2"], /^--fail-on takes slower/],
    [["a", "b", "--fail-on", "slower:"], /^--fail-on slower takes a number from 0 .* not ""\.$/],
    [["a", "b", "--markdown", "--json"], /^--markdown and --json contradict each other\.$/],
    [["a", "b", "--xml"], /^Unknown flag --xml; --help lists the flags\.$/],
  ];
  for (const [args, message] of wrong) {
    const error = assertThrows(() => parseCompareOptions(args), UsageError);
    assertMatch(error.message, message);
  }
});
