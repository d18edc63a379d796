import { assert, assertEquals } from "@std/assert";
import type { TraceContext } from "../../../fixtures/trace.ts";
import { magnitudeOf, magnitudeUnits } from "../../../kernels/encode/reference.ts";
import { factorByte, factorValue, rotationSign } from "../../../kernels/encode/rotation.ts";
import { scaleOf } from "../../../kernels/score/bins.ts";
import { dot } from "../../../testing/inputs/trace.ts";
import { ROTATED_CODE } from "../../../kernels/core/problem/problem.ts";
import { rotatedSelector, type RotatedSettings } from "./rotated.ts";
import { smallContext } from "./testing_context.ts";

/** Outputs of the rotation, element by element of the Hadamard matrix. */
function outputsOf(row: Float32Array, bits: number, seed: number): number[] {
  const width = Math.max(2 ** Math.ceil(Math.log2(row.length)), bits);
  return Array.from({ length: bits }, (_, j) => {
    const terms = Array.from(row, (x, d) => {
      const ones = (j & d).toString(2).replaceAll("0", "").length;
      return x * rotationSign(d, seed) * (ones % 2 === 0 ? 1 : -1);
    });
    return terms.reduce((a, b) => a + b, 0) / Math.sqrt(width);
  });
}

const sign = (y: number) => y > 0 ? 1 : -1;

/** Costs of all tokens up to `position` from the definition, with a dot product of signs. */
function costsOf(context: TraceContext, q: Float32Array, position: number, s: RotatedSettings) {
  const { headDim, k } = context;
  const bins = s.bins ?? { count: 64, range: 6 };
  const query = outputsOf(q, s.bits, s.seed);
  const units = magnitudeUnits(query, s.planes);
  const magnitudes = query.map((_, j) => s.planes === 0 ? 1 : magnitudeOf(units[j], s.planes));
  const keys = Array.from(
    { length: position + 1 },
    (_, token) => outputsOf(k.subarray(token * headDim, (token + 1) * headDim), s.bits, s.seed),
  );
  const factors = keys.map((y) => {
    const norm1 = y.reduce((sum, each) => sum + Math.abs(each), 0);
    return factorValue(factorByte(norm1 === 0 ? 0 : dot(y, y) / norm1));
  });
  const cached = factors.slice(0, -1);
  const rms = Math.hypot(...cached) / Math.sqrt(cached.length);
  const { shift, multiplier } = scaleOf(magnitudes, rms, bins);
  return keys.map((y, token) => {
    const signed = query.map((u, j) => sign(u) * magnitudes[j] * sign(y[j]));
    const score = Math.max(0, signed.reduce((a, b) => a + b, 0)) * factors[token];
    const bounded = Math.min(65535, Math.floor(score / 2 ** shift));
    const bin = Math.min(bins.count - 1, Math.floor(bounded * multiplier / 65536));
    return bins.count - 1 - bin;
  });
}

/** Costs of the selector at the first query of head 0. */
function selectorCosts(context: TraceContext, settings: RotatedSettings): number[] {
  const { headDim, positions, q } = context;
  const [position] = positions;
  const row = { head: 0, query: 0, length: position + 1, q: q.subarray(0, headDim) };
  const rest = { dots: new Float64Array(position + 1), sinkEnd: 0, recentStart: position + 1 };
  return Array.from(rotatedSelector(context, settings).costs({ ...row, ...rest })!);
}

Deno.test("rotatedSelector() costs a token the bin of its score, by brute force", () => {
  for (const bits of [32, 64, 128]) {
    for (const planes of [0, 1, 2, 3]) {
      for (const bins of [undefined, { count: 256, range: 3 }]) {
        const context = smallContext([30], bits + planes);
        const settings = { bits, planes, seed: 5, bins };
        const costs = selectorCosts(context, settings);
        assertEquals(costs, costsOf(context, context.q.subarray(0, 8), 30, settings));
        assert(new Set(costs).size > 2, "the scores differ");
      }
    }
  }
});

Deno.test("rotatedSelector() gives tokens one cost where nothing tells them apart", () => {
  const context = smallContext([39]);
  const { headDim } = context;
  const zeroQuery = { ...context, q: new Float32Array(context.q.length) };
  const equalKeys = { ...context, k: context.k.map((_, at) => context.k[at % headDim]) };
  const zeroKeys = { ...context, k: new Float32Array(context.k.length) };
  for (const planes of [0, 1, 2, 3]) {
    const settings = { bits: 128, planes, seed: 1 };
    // Without planes a query of zeros has signs all the same, and scores by the keys' own.
    const lacks = planes === 0 ? [equalKeys, zeroKeys] : [zeroQuery, equalKeys, zeroKeys];
    for (const lacking of lacks) {
      const costs = selectorCosts(lacking, settings);
      assertEquals(new Set(costs).size, 1);
      assert(costs[0] >= 0 && costs[0] <= 63, `${costs[0]}`);
    }
    assertEquals(new Set(selectorCosts(zeroKeys, settings)), new Set([63]));
  }
});

Deno.test("rotatedSelector() ranks a zero key last, and survives huge and tiny keys", () => {
  for (const scale of [1e-30, 1e-6, 1, 1e6, 1e30]) {
    const context = smallContext([39]);
    const k = context.k.map((x, at) => at < 8 ? 0 : x * scale);
    const costs = selectorCosts({ ...context, k }, { bits: 128, planes: 2, seed: 1 });
    assertEquals(costs[0], 63);
    for (const cost of costs) assert(Number.isInteger(cost) && cost >= 0 && cost <= 63);
  }
});

Deno.test("rotatedSelector() reads a byte for the factor and takes ties by its rule", () => {
  const context = smallContext([39]);
  const of = (settings: Partial<RotatedSettings>) =>
    rotatedSelector(context, { bits: 128, planes: 2, seed: 1, ...settings });
  assertEquals([of({}).bitsPerToken, of({ bits: 64 }).bitsPerToken], [136, 72]);
  assertEquals([of({}).ties, of({ ties: "lower" }).ties], [ROTATED_CODE.ties, "lower"]);
});

Deno.test("rotatedSelector() gives the same costs at every scale of the query", () => {
  const context = smallContext([39]);
  for (const planes of [0, 1, 2, 3]) {
    const settings = { bits: 128, planes, seed: 1 };
    const scaled = { ...context, q: context.q.map((x) => x * 2 ** 20) };
    assertEquals(selectorCosts(scaled, settings), selectorCosts(context, settings));
  }
});
