import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { loadMap, SHIPPED_MAP } from "../../edge/files/map_file.ts";
import { readTraceFile, SHIPPED_TRACE } from "../../edge/files/trace_file.ts";
import type { LearnedMap } from "../../../kernels/maps/learned_map.ts";
import { randomProjection } from "../../../kernels/maps/random_projection.ts";
import { canRun, openTestDevice } from "../../../testing/device/test_device.ts";
import { variantsOf } from "../../../testing/cases/suite.ts";
import { projectionProblem } from "../../../testing/inputs/trace.ts";
import { METHODS } from "./methods.ts";
import { runQuality } from "../../quality/run.ts";

const testDevice = await openTestDevice();
const { device, uncaptured } = testDevice;

Deno.test({
  name: "deviceSelector() with a random projection as its map agrees with the f64 reference",
  ignore: !variantsOf("pipeline").some((pipeline) => canRun(testDevice, pipeline)),
  async fn() {
    const trace = await readTraceFile(SHIPPED_TRACE);
    const { queryHeads, headDim } = trace;
    const problem = projectionProblem(trace);
    const packed = randomProjection(problem, 1);
    const numbers = new Float16Array(packed.buffer);
    const shape = {
      headDim,
      bits: 32,
      sharing: "head",
      map: problem.map,
      heads: queryHeads,
    } as const;
    const map: LearnedMap = { shape, query: numbers, key: numbers, about: {} };
    const cases = [
      { sparsities: [16, 32], budget: "trace", querySet: "all" },
      { sparsities: [24], budget: "context", querySet: "last-quarter" },
    ] as const;
    for (const { sparsities, budget, querySet } of cases) {
      const { rows, variants, deviation } = await runQuality({
        trace: "shipped",
        contexts: [{ name: "", context: trace }],
        sparsities,
        methods: METHODS.filter(({ name }) => ["learned", "random-32"].includes(name)),
        windows: { sink: 128, recent: 128 },
        seed: 1,
        fit: null,
        budget,
        querySet,
        map,
        device,
      });
      assertEquals([...variants.keys()], ["learned"]);
      assert(deviation > 0 && deviation < 1e-5, `${deviation}`);
      const [learned, random] = ["learned", "random-32"].map((name) =>
        rows.filter(({ method }) => method === name)
      );
      assertEquals([learned.length, random.length], [5 * sparsities.length, 5 * sparsities.length]);
      for (const [i, row] of learned.entries()) {
        const names = ["recall", "mass_middle", "mass_total", "output_rel_err"] as const;
        assertEquals([row.k, row.head, row.queries], [
          random[i].k,
          random[i].head,
          random[i].queries,
        ]);
        assertEquals(row.bits_per_token_per_kv_head, random[i].bits_per_token_per_kv_head);
        // A bit is arbitrary if its pre-activation is within f32's error of 0.
        for (const name of names) assertAlmostEquals(row[name]!, random[i][name]!, 2e-3);
      }
    }
    assertEquals(uncaptured, []);
  },
});

Deno.test({
  name: "deviceSelector() with weighted and rotated codes agrees with the same codes in f64",
  ignore: !variantsOf("pipeline").some((pipeline) => canRun(testDevice, pipeline)),
  async fn() {
    const trace = await readTraceFile(SHIPPED_TRACE);
    const map = await loadMap(SHIPPED_MAP);
    const names = ["learned-w2", "rotated-128-w2", "rotated-128-w2-centred", "rotated-64-w2"];
    const run = {
      trace: "shipped",
      contexts: [{ name: "", context: trace }],
      sparsities: [32, 128],
      methods: METHODS.filter(({ name }) => names.includes(name)),
      windows: { sink: 128, recent: 128 },
      seed: 3,
      fit: null,
      budget: "context",
      querySet: "last-quarter",
      map,
    } as const;
    const onDevice = await runQuality({ ...run, device });
    const inF64 = await runQuality({ ...run, device: null });
    assert(onDevice.deviation > 0 && onDevice.deviation < 1e-5, `${onDevice.deviation}`);
    assertEquals(inF64.deviation, 0);
    assertEquals(onDevice.rows.length, inF64.rows.length);
    for (const [i, row] of onDevice.rows.entries()) {
      const wanted = inF64.rows[i];
      const where = `${row.method} ${row.head} at ${row.k}`;
      assertEquals([row.method, row.k, row.head], [wanted.method, wanted.k, wanted.head]);
      for (const name of ["recall", "mass_middle", "mass_total", "output_rel_err"] as const) {
        assertAlmostEquals(row[name]!, wanted[name]!, 2e-3, `${where}: ${name}`);
      }
    }
    assertEquals(uncaptured, []);
  },
});
