import { assert, assertAlmostEquals, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { loadMap, SHIPPED_MAP } from "../edge/files/map_file.ts";
import { readTraceFile, SHIPPED_TRACE } from "../edge/files/trace_file.ts";
import { isRotated } from "../../kernels/core/problem/derived.ts";
import { ROTATED_CODE } from "../../kernels/core/problem/problem.ts";
import { takeMapHeads } from "../../kernels/maps/learned_map.ts";
import { canRun, openTestDevice } from "../../testing/device/test_device.ts";
import { variantsOf } from "../../testing/cases/suite.ts";
import { projectionCosts, referenceFigures, rotatedCosts } from "../../testing/inputs/trace.ts";
import { casesOf } from "../cases/cases.ts";
import { parseOptions } from "../run/options.ts";
import { describeQuality, measureTrace } from "./trace_case.ts";
import { UsageError } from "../base/usage_error.ts";

const testDevice = await openTestDevice();
const { device, limits, uncaptured } = testDevice;

Deno.test("measureTrace() agrees with the f64 references for every pipeline", async () => {
  const trace = await readTraceFile(SHIPPED_TRACE);
  const options = parseOptions(["--trace", "shipped"]);
  const [{ problem }] = casesOf(options, { name: "shipped", trace });
  const rotated = { ...problem, ...ROTATED_CODE };
  const cases = [
    { problem, wanted: referenceFigures(trace, problem, projectionCosts(trace, problem)) },
    { problem: rotated, wanted: referenceFigures(trace, rotated, rotatedCosts(trace, rotated)) },
  ];
  const pipelines = variantsOf("pipeline").filter((each) => canRun(testDevice, each));
  assert(pipelines.length > 0);
  for (const pipeline of pipelines) {
    const settings = { seed: 1, unroll: false };
    const { problem: p, wanted } = cases.find(({ problem: each }) =>
      isRotated(each) === pipeline.name.includes("rotated")
    )!;
    const quality = await measureTrace(device, limits, trace, p, pipeline, settings);
    assertEquals(quality.queries, trace.positions.length);
    for (const name of ["outputRelErr", "massTotal", "massMiddle"] as const) {
      // A bit may be 0 or 1 if its pre-activation is within f32's error of 0.
      assertAlmostEquals(quality[name]!, wanted[name], 1e-3, `${pipeline.name}: ${name}`);
    }
  }
  assertEquals(uncaptured, []);
});

Deno.test("measureTrace() gives no middle mass if the windows leave no middle", async () => {
  const trace = await readTraceFile(SHIPPED_TRACE);
  const options = parseOptions(["--trace", "shipped", "--sink", String(trace.kvLen)]);
  const [{ problem }] = casesOf(options, { name: "shipped", trace });
  const [pipeline] = variantsOf("pipeline").filter((each) =>
    canRun(testDevice, each) && !each.refuses(problem, each.defaults(problem, limits), limits)
  );
  const settings = { seed: 1, unroll: false };
  const quality = await measureTrace(device, limits, trace, problem, pipeline, settings);
  assertEquals(quality.massMiddle, null);
  assertAlmostEquals(quality.massTotal, 1, 1e-12);
  assertAlmostEquals(quality.outputRelErr, 0, 1e-5);
});

Deno.test("measureTrace() catches more than half of the middle with the shipped map", async () => {
  const trace = await readTraceFile(SHIPPED_TRACE);
  const learnedMap = await loadMap(SHIPPED_MAP);
  const [benchCase] = casesOf(parseOptions(["--trace", "t"]), { name: "t", trace, learnedMap });
  assertEquals(benchCase.learnedMap, learnedMap);
  assertMatch(benchCase.caseId, /^trace-t-.*-c32h-learnedmlp3x128f(16|32)-/);
  const settings = { seed: 1, unroll: false, learnedMap };
  const [pipeline] = variantsOf("pipeline").filter((each) => canRun(testDevice, each));
  const quality = await measureTrace(device, limits, trace, benchCase.problem, pipeline, settings);
  assert(quality.massMiddle! > 0.5, `${quality.massMiddle}`);
  assert(quality.outputRelErr < 0.3, `${quality.outputRelErr}`);
  assertEquals(uncaptured, []);
});

Deno.test("casesOf() refuses a map for other heads than the trace's", async () => {
  const trace = await readTraceFile(SHIPPED_TRACE);
  const learnedMap = takeMapHeads(await loadMap(SHIPPED_MAP), 0, 1);
  const cases = (...flags: string[]) =>
    casesOf(parseOptions(["--trace", "t", ...flags]), { name: "t", trace, learnedMap });
  const why = "the map is for another problem: code heads 1 and not 4.";
  assertEquals(
    assertThrows(() => cases("--trace-map", "m.safetensors"), UsageError).message,
    `m.safetensors for the trace t: ${why}`,
  );
});

Deno.test("describeQuality() prints masses in percent, and no middle if there is none", () => {
  const quality = { queries: 26, outputRelErr: 0.3876, massTotal: 0.68, massMiddle: 0.3004 };
  assertEquals(
    describeQuality("pipeline/x", "a random projection", quality),
    "pipeline/x with a random projection, 26 queries: error against dense 0.388, " +
      "attention mass caught 30.0% of the middle, 68.0% in total",
  );
  assertEquals(
    describeQuality("pipeline/x", "a random projection", { ...quality, massMiddle: null }),
    "pipeline/x with a random projection, 26 queries: error against dense 0.388, " +
      "attention mass caught 68.0% in total",
  );
});
