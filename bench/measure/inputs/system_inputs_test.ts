import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { ACP, decayBlocks, TIMED_SUFFIX } from "../../../kernels/attend/decayed.ts";
import { keptDecays, pruneThreshold } from "../../../kernels/attend/decay_reference.ts";
import { testCase } from "../../../testing/testing_grid.ts";
import { decayInput } from "./decay_inputs.ts";
import { slotTokens } from "./slot_inputs.ts";

Deno.test("decayInput() is what the steps of one gate leave, with a suffix of 4,096 tokens", () => {
  for (const length of [1, 128, 129, 1000]) {
    const { p } = testCase({ heads: [2, 1], headDim: 128, lengths: [length], capacity: 1008 });
    const input = (name: string) => decayInput(p, name)!;
    const [gate] = input("log_gates");
    const wanted = pruneThreshold(
      1.155 * Math.sqrt(128),
      1.35 * 1.155 * Math.sqrt(128),
      128,
      length,
    );
    assertAlmostEquals(gate * TIMED_SUFFIX, wanted, 1e-3);
    const { decays, blocks } = keptDecays(new Float32Array(length - 1).fill(gate), 128);
    const near = (got: number, want: number) =>
      assertAlmostEquals(got, want, 1e-5 * Math.abs(want));
    decays.forEach((decay, token) => near(input("decays")[p.capacity + token], decay));
    const row = decayBlocks(p, ACP) + 2;
    blocks.forEach((decay, b) => near(input("block_decays")[row + 2 + b], decay));
    const state = input("decay_state").subarray(130 * ((length - 1) % 2));
    const first = Math.floor((length - 1) / 128) * 128;
    decays.subarray(first).forEach((decay, i) => near(state[1 + i], decay));
    if (length - 1 > first) near(state[0], blocks[first / 128]);
  }
  assertEquals(decayInput(testCase({}).p, "keys"), undefined);
});

Deno.test("slotTokens() holds the best of every 32 tokens, for each head", () => {
  const { p } = testCase({ heads: [4, 4], headDim: 64, lengths: [4096], capacity: 4096 });
  const slots = 128;
  const found = slotTokens(p, 2 * 3 * slots, 1);
  const tokens = Array.from({ length: slots }, (_, i) => found[2 * i + 1]);
  assertEquals(new Set(tokens).size, slots);
  assert(tokens.every((token) => token < 4096));
  assertEquals(found.subarray(0, 2 * slots), found.subarray(4 * slots));
  const r = Array.from({ length: slots }, (_, i) => found[2 * i]);
  const least = new Float32Array(Uint32Array.of(Math.min(...r)).buffer)[0];
  // The logit that one of 32 normal numbers exceeds is 1.86 standard deviations.
  assertAlmostEquals(Math.log(least / (1 - least)), 1.86 * 1.155 * 1.155 / 16 * 16, 0.25);
});
