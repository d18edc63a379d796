/** The streaming rule of sparse heads. The steps have their other tests in rivals_test.ts. */
import { assert, assertEquals } from "@std/assert";
import { packKv } from "../../fixtures/half.ts";
import { createRandom } from "../../fixtures/random.ts";
import { NO_SINK_LOGIT } from "../core/layout.ts";
import { findVariant } from "../core/registry.ts";
import type { Variant } from "../core/variant.ts";
import {
  routeReference,
  slotReference,
  slotsOf,
  type SlotToken,
} from "../encode/route_reference.ts";
import { verify } from "../verify/verify.ts";
import { canRun, openTestDevice, runVariant } from "../../testing/device/test_device.ts";
import { testCase } from "../../testing/cases/grid.ts";

const testDevice = await openTestDevice();
const mosa = findVariant("pipeline/mosa");
const portable = findVariant("pipeline/mosa_portable");
const HEADS = 3;
const DIM = 64;
const CAPACITY = 64;
const SPARSITY = 4;
const SLOTS = CAPACITY / SPARSITY;

function test(name: string, fn: () => Promise<void>): void {
  Deno.test({ name: `pipeline/mosa: ${name}`, ignore: !canRun(testDevice, mosa), fn });
}

/** A test of attention, which the steps do not share. */
function testAttention(name: string, fn: (variant: Variant) => Promise<void>): void {
  for (const variant of [mosa, portable]) {
    Deno.test({
      name: `${variant.name}: ${name}`,
      ignore: !canRun(testDevice, variant),
      fn: () => fn(variant),
    });
  }
}

/** What a sequence keeps between its steps. */
interface Kept {
  readonly slot_keys: Float32Array<ArrayBuffer>;
  readonly slot_values: Float32Array<ArrayBuffer>;
  readonly slot_tokens: Uint32Array<ArrayBuffer>;
}

function nothingKept(): Kept {
  const rows = () => new Float32Array(HEADS * SLOTS * DIM).fill(NaN);
  const slot_tokens = new Uint32Array(2 * HEADS * SLOTS).fill(0xffffffff);
  return { slot_keys: rows(), slot_values: rows(), slot_tokens };
}

/** The weight that a head's router gives to the only number of the layer input. */
const WEIGHTS = [1, -1, 0];

/**
 * Runs and verifies the step of the newest of `length` tokens, whose layer input is `x`: what it
 * keeps, and its output.
 */
async function step(
  kept: Kept,
  length: number,
  x: number,
  capacity = CAPACITY,
  changes: Readonly<Record<string, number>> = {},
  { isVerified = true, variant = mosa } = {},
): Promise<[Kept, Float32Array]> {
  const { p } = testCase({
    heads: [HEADS, HEADS],
    headDim: DIM,
    dtype: "f32",
    lengths: [length],
    capacity,
  });
  const settings = { MOSA_SPARSITY: SPARSITY, ...changes };
  const params = { ...variant.defaults(p, testDevice.limits), ...settings };
  const random = createRandom(length, 5);
  const floats = (count: number) => Float32Array.from({ length: count }, () => random.normal());
  const model = HEADS * DIM;
  const router = new Float64Array(HEADS * model);
  WEIGHTS.forEach((weight, head) => router[head * model] = weight);
  const hidden = new Float32Array(model);
  hidden[0] = x;
  const read = await runVariant(testDevice, variant, p, params, {
    lengths: Uint32Array.of(length),
    sink_logits: new Float32Array(HEADS).fill(NO_SINK_LOGIT),
    q: floats(model),
    hidden,
    router: packKv(router, "f16"),
    token_rows: floats(2 * model),
    ...kept,
  });
  if (isVerified) {
    const { ok, worst } = await verify(variant, p, params, read);
    assert(ok, `${length} tokens: ${JSON.stringify(worst)}`);
  }
  const bytes = async (name: string, words: number) =>
    (await read(name, 0, 4 * words)).slice().buffer;
  const rows = kept.slot_keys.length;
  return [{
    slot_keys: new Float32Array(await bytes("slot_keys", rows)),
    slot_values: new Float32Array(await bytes("slot_values", rows)),
    slot_tokens: new Uint32Array(await bytes("slot_tokens", kept.slot_tokens.length)),
  }, new Float32Array(await bytes("out", model))];
}

/** Keys or values in the slots of all heads. */
function randomRows(slots: number, seed: number): Float32Array<ArrayBuffer> {
  const random = createRandom(seed, 3);
  return Float32Array.from({ length: HEADS * slots * DIM }, () => random.normal());
}

/** The tokens in the first slots of a head. */
function tokensOf({ slot_tokens }: Kept, head: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => slot_tokens[2 * (head * SLOTS + i) + 1]);
}

test("keeps by the streaming rule what a sequence of 40 tokens leaves, with many ties", async () => {
  const random = createRandom(11, 1);
  const model: SlotToken[][] = WEIGHTS.map(() => []);
  let kept = nothingKept();
  let left = 0;
  for (let token = 0; token < 40; token++) {
    const x = random.uint32() % 4 - 1;
    let out: Float32Array;
    [kept, out] = await step(kept, token + 1, x);
    model.forEach((slots, head) => {
      const r = routeReference([x], [WEIGHTS[head]]);
      const slot = slotReference(slots, r, token, SPARSITY, head);
      if (slot !== undefined) slots[slot] = { r, token };
      assertEquals(tokensOf(kept, head, slots.length), slots.map((each) => each.token));
      assertEquals(slots.length, slotsOf(token + 1, SPARSITY, head));
      const own = out.subarray(head * DIM, (head + 1) * DIM);
      assertEquals(own.every((value) => value === 0), slot === undefined);
      left += Number(slot === undefined);
    });
  }
  assert(left > 20, `heads left only ${left} tokens`);
});

/** Slots of the tokens 0, 1, ... with these numbers, as their steps would have left them. */
function heldBy(numbers: readonly number[]): Kept {
  const kept = nothingKept();
  const random = createRandom(2, 2);
  WEIGHTS.forEach((weight, head) =>
    numbers.forEach((x, i) => {
      const r = Float32Array.of(routeReference([x], [weight]));
      const slot = head * SLOTS + i;
      kept.slot_tokens.set([new Uint32Array(r.buffer)[0], i], 2 * slot);
      for (let d = slot * DIM; d < (slot + 1) * DIM; d++) {
        kept.slot_keys[d] = random.normal();
        kept.slot_values[d] = random.normal();
      }
    })
  );
  return kept;
}

test("of equal scores the older token stays", async () => {
  // 12 tokens have 3 slots, and a fourth one comes to the last head with the 14th.
  const kept = heldBy([0, 0, 1]);
  const [equal, outputs] = await step(kept, 13, 0);
  assertEquals(tokensOf(equal, 0, 3), [0, 1, 2]);
  assert(outputs.subarray(0, DIM).every((value) => value === 0));
  const [above] = await step(kept, 13, 0.5);
  assertEquals(tokensOf(above, 0, 3), [0, 12, 2]);
});

test("a score one bit above the lowest takes its slot", async () => {
  const kept = heldBy([1, 0, 1]);
  kept.slot_tokens[2]--; // of the first head, which then holds the number before 0.5
  const [after] = await step(kept, 13, 0);
  assertEquals(tokensOf(after, 0, 3), [0, 12, 2]);
});

test("the lowest of many slots is found, wherever it is", async () => {
  const [slots, capacity] = [400, 1600];
  const random = createRandom(4, 4);
  // Of coarse scores many are equal, so that the newest token of those leaves.
  const scores = Array.from(
    { length: HEADS },
    () => Array.from({ length: slots }, () => Math.fround(0.25 + (random.uint32() % 50) / 256)),
  );
  const tokens = scores.map((own) => {
    const shuffled = own.map((_, i) => i);
    for (let i = slots - 1; i > 0; i--) {
      const other = random.uint32() % (i + 1);
      [shuffled[i], shuffled[other]] = [shuffled[other], shuffled[i]];
    }
    return shuffled;
  });
  // One head has a lowest score of its own in the last slot that is in use.
  scores[2][slots - 2] = 0.125;
  const words = scores.flatMap((own, head) =>
    own.flatMap((r, i) => [new Uint32Array(Float32Array.of(r).buffer)[0], tokens[head][i]])
  );
  const kept = {
    slot_keys: randomRows(slots, 1),
    slot_values: randomRows(slots, 2),
    slot_tokens: Uint32Array.from(words),
  };
  const length = 1597; // 399 slots, as before
  for (const [WORKGROUP, AHEAD] of [[64, 2], [128, 4], [64, 8]]) {
    const changes = {
      "append.WORKGROUP": WORKGROUP,
      "append.AHEAD": AHEAD,
      // So many splits are joined in several rounds.
      ...{ "attend.WORKGROUP": 32, "attend.LANES": 4, "attend.TOKENS": 1, "attend.SPLITS": 64 },
    };
    const [after] = await step(kept, length, 0, capacity, changes);
    scores.forEach((own, head) => {
      const held = own.map((r, i) => ({ r, token: tokens[head][i] }));
      const want = held.map(({ token }) => token);
      want[slotReference(held, 0.5, length - 1, SPARSITY, head)!] = length - 1;
      const got = want.map((_, i) => after.slot_tokens[2 * (head * slots + i) + 1]);
      assertEquals(got, want, `head ${head}, ${WORKGROUP} threads`);
    });
  }
});

testAttention("a head that does not take the token gives 0, whatever it holds", async (variant) => {
  const kept = heldBy([3, 3, 3]);
  for (const rows of [kept.slot_keys, kept.slot_values]) rows.fill(NaN, 0, SLOTS * DIM);
  // The second head takes it, between two others of its workgroup or alone.
  for (const [SPLITS, HEADS] of [[1, 3], [2, 1]]) {
    const changes = { "attend.SPLITS": SPLITS, ...(variant === mosa && { "attend.HEADS": HEADS }) };
    const [, out] = await step(kept, 13, 2, CAPACITY, changes, { variant });
    assert(out.subarray(0, DIM).every((value) => value === 0));
  }
});

testAttention(
  "slots of steps that were taken back are not attended, and are the first to be taken",
  async (variant) => {
    const kept = heldBy([3, 2, 3]);
    // The tokens 20 and 21 took two slots before their steps were taken back.
    for (
      const [head, slot, token] of [[0, 0, 20], [0, 2, 21], [1, 1, 20], [2, 0, 20], [2, 2, 21]]
    ) {
      const at = head * SLOTS + slot;
      kept.slot_tokens[2 * at + 1] = token;
      kept.slot_keys.fill(NaN, at * DIM, (at + 1) * DIM);
      kept.slot_values.fill(NaN, at * DIM, (at + 1) * DIM);
    }
    const [after] = await step(kept, 13, -5, CAPACITY, {}, { variant });
    assertEquals(tokensOf(after, 0, 3), [20, 1, 12]);
    assertEquals(tokensOf(after, 1, 3), [0, 12, 2]);
  },
);

testAttention(
  "no slot of a step that was taken back is attended, wherever it is",
  async (variant) => {
    const [slots, capacity, length] = [100, 400, 377]; // 94 slots are in use
    const words: number[] = [];
    const [slot_keys, slot_values] = [randomRows(slots, 1), randomRows(slots, 2)];
    for (let slot = 0; slot < HEADS * slots; slot++) {
      // The last slot in use is one of them, of the token after the newest. The newest token takes
      // the first slot, which has the newest of them.
      const isBack = slot % slots % 3 === 0;
      const token = isBack ? length + 93 - slot % slots : slot % slots;
      words.push(new Uint32Array(Float32Array.of(0.1).buffer)[0], token);
      if (!isBack) continue;
      slot_keys.fill(1e4, slot * DIM, (slot + 1) * DIM);
      slot_values.fill(NaN, slot * DIM, (slot + 1) * DIM);
    }
    const kept = { slot_keys, slot_values, slot_tokens: Uint32Array.from(words) };
    for (
      const settings of [
        { PREFETCH: 1, SPLITS: 1 },
        { PREFETCH: 0, SPLITS: 2 },
        { PREFETCH: 1, SPLITS: 3 },
      ]
    ) {
      const changes = Object.entries({ WORKGROUP: 32, ...settings });
      const named = changes.map(([name, value]) => [`attend.${name}`, value]);
      await step(kept, length, 0, capacity, Object.fromEntries(named), { variant });
    }
  },
);

testAttention("logits of one row group may be far above the others", async (variant) => {
  const [slots, capacity, length] = [100, 400, 377];
  const [slot_keys, slot_values] = [randomRows(slots, 1), randomRows(slots, 2)];
  // A workgroup has four row groups.
  for (let i = 0; i < slot_keys.length; i++) if (Math.floor(i / DIM) % 4 === 3) slot_keys[i] *= 300;
  const r = new Uint32Array(Float32Array.of(0.1).buffer)[0];
  const words = Array.from({ length: HEADS * slots }, (_, slot) => [r, slot % slots]).flat();
  const kept = { slot_keys, slot_values, slot_tokens: Uint32Array.from(words) };
  const rows = { "attend.WORKGROUP": 32, "attend.LANES": 8, "attend.TOKENS": 1 };
  await step(kept, length, 0, capacity, { ...rows, "attend.SPLITS": 1 }, { variant });
});

testAttention("a head has two slots at least, and rounds their number up", async (variant) => {
  const r = new Uint32Array(Float32Array.of(0.1).buffer)[0];
  for (const [MOSA_SPARSITY, slots, want] of [[16, 2, [0, 8]], [3, 6, [0, 1, 8]]] as const) {
    const [slot_keys, slot_values] = [randomRows(slots, 1), randomRows(slots, 2)];
    const words = Array.from({ length: HEADS * slots }, (_, slot) => [r, slot % slots]).flat();
    const kept = { slot_keys, slot_values, slot_tokens: Uint32Array.from(words) };
    const [{ slot_tokens }] = await step(kept, 9, 0, 16, { MOSA_SPARSITY }, { variant });
    WEIGHTS.forEach((_, head) =>
      assertEquals(want.map((_, i) => slot_tokens[2 * (head * slots + i) + 1]), [...want])
    );
  }
});

testAttention("a NaN goes on to the head that attends it, and to no other", async (variant) => {
  // The first two heads take the token, and the second one holds a NaN.
  const kept = heldBy([-1, 1, 0]);
  kept.slot_values[SLOTS * DIM] = NaN;
  const [, out] = await step(kept, 13, 0.5, CAPACITY, {}, { isVerified: false, variant });
  assertEquals([0, DIM].map((i) => Number.isNaN(out[i])), [false, true]);
});

test("a step that is repeated keeps the same", async () => {
  const [once, out] = await step(heldBy([0, -1, 1]), 13, 0.5);
  const [twice, again] = await step(once, 13, 0.5);
  assertEquals(twice, once);
  assertEquals(again, out);
});

Deno.test("pipeline/mosa: no GPU error went uncaught", () =>
  assertEquals(testDevice.uncaptured, []));
