import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { createRandom } from "../../../fixtures/random.ts";
import { principalComponents } from "./principal.ts";

Deno.test("principalComponents() finds the axes of the largest variances, largest first", () => {
  const random = createRandom(3);
  const [count, width] = [2000, 8];
  // Axes 5, 2 and 7 have standard deviations of 9, 4 and 2, the others 0.5, round a mean of 100.
  const deviations = Array.from({ length: width }, (_, d) => ({ 5: 9, 2: 4, 7: 2 })[d] ?? 0.5);
  const rows = Float32Array.from(
    { length: count * width },
    (_, i) => 100 + deviations[i % width] * Math.sqrt(12) * (random.uniform() - 0.5),
  );
  const { points, shares } = principalComponents(rows, width);
  const total = deviations.reduce((sum, each) => sum + each * each, 0);
  for (const [i, deviation] of [9, 4, 2].entries()) {
    assertAlmostEquals(shares[i], deviation ** 2 / total, 0.03);
  }
  // Up to its sign and to one scale, the first coordinate is element 5 less its mean.
  const [a, b] = [0, 1].map((row) => [points[3 * row], rows[width * row + 5] - 100] as const);
  assertAlmostEquals(a[0] / a[1], b[0] / b[1], 0.1 * Math.abs(a[0] / a[1]));
  const lengths = Array.from({ length: count }, (_, row) => Math.hypot(...at(points, row)));
  assertAlmostEquals(Math.max(...lengths), 1, 1e-6);
});

Deno.test("principalComponents() takes rows without variance and of few dimensions", () => {
  const { points, shares } = principalComponents(new Float32Array(32).fill(8), 4);
  assert(points.every((each) => each === 0));
  assertEquals(shares, [0, 0, 0]);
  const line = principalComponents(Float32Array.of(1, 2, 3), 1);
  assertEquals([line.shares.length, Math.abs(line.points[0])], [1, 1]);
});

function at(points: Float32Array, row: number): Float32Array {
  return points.subarray(3 * row, 3 * row + 3);
}
