import { assertEquals, assertThrows } from "@std/assert";
import { createRandom } from "../../../fixtures/random.ts";
import type { TraceContext } from "../../../fixtures/trace.ts";
import type { CodeSharing } from "../../../kernels/core/problem/problem.ts";
import { encodeReference, magnitudeOf, magnitudeUnits } from "../../../kernels/encode/reference.ts";
import { type LearnedMap, mapHeadLayers } from "../../../kernels/maps/learned_map.ts";
import { randomProjection } from "../../../kernels/maps/random_projection.ts";
import type { QueryRow } from "../selector.ts";
import { projectionProblem } from "../../../testing/inputs/trace.ts";
import { randomSelector } from "./random_codes.ts";
import { weightedLearnedSelector } from "./weighted_learned.ts";

const windows = { sink: 0, recent: 0 };

/** 2 query heads of 64 channels, 30 tokens, one query. */
function context(): TraceContext {
  const random = createRandom(4);
  const normal = (length: number) => Float32Array.from({ length }, () => random.normal());
  const [headDim, kvLen, queryHeads] = [64, 30, 2];
  const positions = Int32Array.of(kvLen - 1);
  const [k, q] = [normal(kvLen * headDim), normal(queryHeads * headDim)];
  return { k, q, v: null, positions, headDim, kvLen, queryHeads };
}

function rowOf({ q, headDim, kvLen }: TraceContext, head: number): QueryRow {
  const own = q.subarray(head * headDim, (head + 1) * headDim);
  const dots = new Float64Array(kvLen);
  return { head, query: 0, length: kvLen, q: own, dots, sinkEnd: 0, recentStart: kvLen };
}

function mapOf(sharing: CodeSharing): LearnedMap {
  const map = { layers: 2, hidden: 64, dtype: "f32" } as const;
  const heads = sharing === "head" ? 2 : 1;
  const random = createRandom(8);
  const length = heads * (64 * 64 + 64 + 64 * 32 + 32);
  const numbers = () => Float32Array.from({ length }, () => random.normal() / 8);
  const shape = { headDim: 64, bits: 32, sharing, heads, map };
  return { shape, query: numbers(), key: numbers(), about: {} };
}

Deno.test("weightedLearnedSelector() adds up weights of differing bits, by brute force", () => {
  const trace = context();
  const rowsAt = (rows: Float32Array, i: number) => rows.subarray(64 * i, 64 * (i + 1));
  for (const sharing of ["head", "kv", "group"] as const) {
    const map = mapOf(sharing);
    for (const planes of [0, 1, 2, 3]) {
      const selector = weightedLearnedSelector(trace, { map, planes, windows });
      assertEquals(selector.bitsPerToken, sharing === "head" ? 64 : 32);
      const costsOf = (head: number) => {
        const code = sharing === "head" ? head : 0;
        const layers = mapHeadLayers(map.shape, Float64Array.from(map.query), code);
        const query = encodeReference(rowsAt(trace.q, head), layers).map(Math.tanh);
        const units = magnitudeUnits(query, planes);
        return Array.from({ length: trace.kvLen }, (_, token) => {
          const layers = mapHeadLayers(map.shape, Float64Array.from(map.key), code);
          const key = encodeReference(rowsAt(trace.k, token), layers);
          return key.reduce((sum, y, j) => {
            const weight = planes === 0 ? 1 : magnitudeOf(units[j], planes);
            return sum + ((y > 0) === (query[j] > 0) ? 0 : weight);
          }, 0);
        });
      };
      const each = [costsOf(0), costsOf(1)];
      const summed = each[0].map((cost, token) => cost + each[1][token]);
      for (const head of [0, 1]) {
        const costs = Array.from(selector.costs(rowOf(trace, head))!);
        assertEquals(costs, sharing === "group" ? summed : each[head]);
      }
    }
  }
});

Deno.test("weightedLearnedSelector() without planes is the Hamming distance of its codes", () => {
  const trace = context();
  const problem = projectionProblem(trace);
  const numbers = new Float16Array(randomProjection(problem, 3).buffer);
  const shape = { headDim: 64, bits: 32, sharing: "head", map: problem.map, heads: 2 } as const;
  const map: LearnedMap = { shape, query: numbers, key: numbers, about: {} };
  const selectors = [
    weightedLearnedSelector(trace, { map, planes: 0, windows }),
    randomSelector(trace, 32, 3),
  ];
  for (const head of [0, 1]) {
    const [learned, random] = selectors.map((each) => each.costs(rowOf(trace, head)));
    assertEquals(learned, random);
  }
});

Deno.test("weightedLearnedSelector() has costs of 0 for zeros, and refuses another shape", () => {
  const trace = context();
  const map = mapOf("head");
  const silent = { ...map, query: map.query.map(() => 0) as Float32Array<ArrayBuffer> };
  const selector = weightedLearnedSelector(trace, { map: silent, planes: 2, windows });
  assertEquals(new Set(Array.from(selector.costs(rowOf(trace, 0))!)), new Set([0]));
  const other = { ...trace, queryHeads: 1, q: trace.q.slice(0, 64) };
  assertThrows(
    () => weightedLearnedSelector(other, { map, planes: 2, windows }),
    RangeError,
    "the map is for another problem: code heads 2 and not 1",
  );
});
