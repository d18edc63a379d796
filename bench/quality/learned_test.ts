import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { readTraceFile, SHIPPED_TRACE } from "../edge/files/trace_file.ts";
import type { LearnedMap } from "../../kernels/maps/learned_map.ts";
import { randomProjection } from "../../kernels/maps/random_projection.ts";
import { canRun, openTestDevice } from "../../testing/testing.ts";
import { variantsOf } from "../../testing/testing_suite.ts";
import { projectionProblem } from "../../testing/testing_trace.ts";
import { METHODS } from "./methods.ts";
import { runQuality } from "./run.ts";

const testDevice = await openTestDevice();
const { device, uncaptured } = testDevice;

Deno.test({
  name: "learnedSelector() with a random projection as its map agrees with the f64 reference",
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
      assertEquals(variants.length, 1);
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
