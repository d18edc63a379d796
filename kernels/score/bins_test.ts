import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import fc from "fast-check";
import { factorValue } from "../encode/rotation.ts";
import { binnedDistance, packScale, scaleOf, unpackScale, weightedDistance } from "./bins.ts";

const BINS = { count: 64, range: 6 };
const magnitudes = fc.array(fc.nat(7), { minLength: 32, maxLength: 128 });
const rms = fc.double({ min: 1, max: 507904, noNaN: true });

Deno.test("packScale() and unpackScale() are inverse", () => {
  const scale = { shift: 31, multiplier: 65535, total: 2047 };
  assertEquals(unpackScale(packScale(scale)), scale);
  fc.assert(fc.property(magnitudes, rms, (magnitudes, rms) => {
    const scale = scaleOf(magnitudes, rms, BINS);
    assertEquals(unpackScale(packScale(scale)), scale);
  }));
});

Deno.test("binnedDistance() has bins of equal width over the range", () => {
  fc.assert(fc.property(magnitudes, rms, fc.nat(255), fc.nat(), (magnitudes, rms, byte, any) => {
    const scale = scaleOf(magnitudes, rms, BINS);
    const weighted = any % (scale.total + 1);
    const score = Math.max(0, scale.total - 2 * weighted) * factorValue(byte);
    const deviation = rms * Math.hypot(...magnitudes);
    const exact = deviation > 1 ? score / (BINS.range * deviation / BINS.count) : 0;
    const bin = BINS.count - 1 - binnedDistance(weighted, byte, scale, BINS);
    assert(bin >= 0 && bin < BINS.count);
    if (deviation < 2 ** 14) return; // Few whole numbers: widths are coarse.
    const clamped = Math.min(exact, BINS.count - 1);
    assertAlmostEquals(bin, Math.floor(clamped), 1.01, `${exact}`);
  }));
});

Deno.test("binnedDistance() puts negative scores and zero keys into the last bin", () => {
  const scale = scaleOf(Array(128).fill(3), 1000, BINS);
  assertEquals(binnedDistance(384, 100, scale, BINS), 63);
  assertEquals(binnedDistance(192, 100, scale, BINS), 63);
  assertEquals(binnedDistance(0, 0, scale, BINS), 63);
  assertEquals(binnedDistance(0, 255, scale, BINS), 0);
  assertEquals(binnedDistance(0, 255, scaleOf(Array(128).fill(0), 0, BINS), BINS), 63);
});

Deno.test("weightedDistance() weighs each differing bit by the planes", () => {
  const query = Uint32Array.of(0b1010, 0b0110, 0b0011);
  assertEquals(weightedDistance(query, Uint32Array.of(0b0101), 2), 2 * 2 + 2);
  assertEquals(weightedDistance(query, Uint32Array.of(0b0101), 0), 4);
});
