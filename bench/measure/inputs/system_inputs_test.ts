import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { ACP, decayBlocks, TIMED_SUFFIX } from "../../../kernels/attend/decayed.ts";
import { keptDecays, pruneThreshold } from "../../../kernels/attend/decay_reference.ts";
import { testCase } from "../../../testing/cases/grid.ts";
import { decayInput } from "./decay_inputs.ts";
import { slotsOf } from "../../../kernels/encode/route_reference.ts";
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

Deno.test("slotTokens() lets one head in 32 take the token by its score, and never the one that grows", () => {
  for (const [length, growing] of [[640, 0], [639, 1], [609, 31]]) {
    const { p } = testCase({ heads: [64, 64], headDim: 64, lengths: [length], capacity: 640 });
    const slots = 20;
    assertEquals(slotsOf(length, 32, growing), slotsOf(length - 1, 32, growing) + 1);
    const takers = new Set<number>();
    for (let set = 0; set < 62; set++) {
      const found = slotTokens(p, 2 * 64 * slots, set);
      const lowest = Array.from({ length: 64 }, (_, head) => {
        const r = Array.from({ length: slots }, (_, i) => found[2 * (head * slots + i)]);
        return Math.min(...r);
      });
      const own = lowest.flatMap((r, head) => r === 0 ? [head] : []);
      assertEquals(own.length, 2);
      assertEquals(own[1], own[0] + 32);
      own.forEach((head) => takers.add(head));
      assert(lowest.every((r) => r === 0 || r === 0x3f800000));
    }
    assertEquals(takers.size, 62);
    assert(!takers.has(growing));
  }
});
