/** What pruning by decay promises. The steps have their other tests in rivals_test.ts. */
import { assert, assertAlmostEquals, assertEquals, assertLess } from "@std/assert";
import { packKv } from "../../fixtures/half.ts";
import { createRandom } from "../../fixtures/random.ts";
import { attendReference } from "../attend/reference.ts";
import { findVariant } from "../core/registry.ts";
import type { Params } from "../core/problem/constants.ts";
import type { Variant } from "../core/variant.ts";
import { NO_SINK_LOGIT } from "../core/layout.ts";
import { keptDecays, LN_EPS, normOf, pruneThreshold } from "../attend/decay_reference.ts";
import { verify } from "../verify/verify.ts";
import { canRun, openTestDevice, runVariant } from "../../testing/device/test_device.ts";
import type { Inputs } from "../../testing/inputs/input_options.ts";
import { makeInputs } from "../../testing/inputs/inputs.ts";
import { testCase } from "../../testing/cases/grid.ts";

const testDevice = await openTestDevice();
const steps = ["pipeline/acp", "pipeline/acp_portable"].map(findVariant);
const BLOCK = 16;

function test(name: string, fn: (acp: Variant) => Promise<void>): void {
  for (const acp of steps) {
    Deno.test({
      name: `${acp.name}: ${name}`,
      ignore: !canRun(testDevice, acp),
      fn: () => fn(acp),
    });
  }
}

/** A head, whose inputs can be changed, with blocks of 16 tokens. */
const small = testCase({ heads: [2, 2], headDim: 64, dtype: "f32", lengths: [257] });
const paramsOf = (acp: Variant): Params => ({
  ...acp.defaults(small.p, testDevice.limits),
  DECAY_BLOCK: BLOCK,
  "attend.WORKGROUP": 64,
  "attend.LANES": 8,
  "attend.TOKENS": 2,
});
const made = makeInputs(steps[0], small.p, paramsOf(steps[0]), small.options);

/** Runs a step and verifies it: the first token to attend and the threshold of the first head. */
async function stepOf(
  acp: Variant,
  changes: Inputs,
): Promise<{ begin: number; threshold: number }> {
  const params = paramsOf(acp);
  const read = await runVariant(testDevice, acp, small.p, params, { ...made, ...changes });
  const { ok, worst } = await verify(acp, small.p, params, read);
  assert(ok, JSON.stringify(worst));
  const [begin, threshold] = new Float32Array((await read("block_decays", 0, 8)).slice().buffer);
  return { begin, threshold };
}

function floats(name: string): Float32Array<ArrayBuffer> {
  return (made[name] as Float32Array<ArrayBuffer>).slice();
}

/** Decays of `count` tokens before the newest, all at one rate, and the newest gate. */
function evenDecays(rate: number, keyNorm: number): Inputs {
  const inputs = {
    log_gates: floats("log_gates").fill(rate),
    decay_state: floats("decay_state"),
    decays: floats("decays"),
    block_decays: floats("block_decays"),
  };
  const { decays, blocks } = keptDecays(new Float32Array(256).fill(rate), BLOCK);
  const stride = inputs.block_decays.length / 2; // of one of two heads
  for (let head = 0; head < 2; head++) {
    inputs.decays.set(decays, head * small.p.capacity);
    inputs.block_decays.set(blocks, head * stride + 2);
    // 257 tokens: the newest is the first of its block, and half 256 % 2 is of the step before.
    const state = 2 * head * (BLOCK + 2);
    inputs.decay_state.fill(0, state, state + BLOCK + 1);
    inputs.decay_state[state + BLOCK + 1] = keyNorm;
  }
  return inputs;
}

test("at most eps is pruned where old keys fit the query and new ones do not", async (acp) => {
  // The logits are the bound itself, of either sign, and the decay makes up for it late.
  const width = 12;
  const keys = new Float32Array(2 * small.p.capacity * 64).fill(NaN);
  for (let row = 0; row < keys.length / 64; row++) {
    const token = row % small.p.capacity;
    if (token < 257) keys.fill(0, row * 64, row * 64 + 64)[row * 64] = token < 200 ? width : -width;
  }
  const q = new Float32Array(2 * 64);
  q[0] = q[64] = width;
  const decays = evenDecays(-1, width);
  const { begin, threshold } = await stepOf(acp, { q, keys: packKv(keys, "f32"), ...decays });
  assertEquals(begin, 192);
  assertAlmostEquals(threshold, LN_EPS - 2 * width * width / 8 - Math.log(257), 1e-3);
});

test("a decay that equals the threshold is not below it", async (acp) => {
  const { threshold } = await stepOf(acp, {});
  const below = new Float32Array([threshold]);
  new Int32Array(below.buffer)[0]++; // away from zero
  assertLess(below[0], threshold);
  for (const [rate, begin] of [[threshold, 0], [below[0], 256]]) {
    const decays = evenDecays(0, (floats("decay_state"))[BLOCK + 1]);
    assertEquals(
      (await stepOf(acp, { ...decays, log_gates: floats("log_gates").fill(rate) })).begin,
      begin,
    );
  }
});

test("the threshold falls with the length, and a pruned block comes back", async (acp) => {
  assertAlmostEquals(
    pruneThreshold(3, 4, 64, 2000),
    pruneThreshold(3, 4, 64, 1000) - Math.LN2,
    1e-12,
  );
  const decays = evenDecays(-0.25, floats("decay_state")[BLOCK + 1]);
  const beginOf = async (strength: number) =>
    (await stepOf(acp, { ...decays, q: floats("q").map((value) => strength * value) })).begin;
  const [weak, strong] = [await beginOf(0.01), await beginOf(3)];
  assertLess(strong, weak);
  assertEquals(weak % BLOCK, 0);
});

test("a NaN value goes on to the head that attends it, and to no other", async (acp) => {
  const values = new Float32Array((made.values.buffer as ArrayBuffer).slice(0));
  values.fill(NaN, 256 * 64, 257 * 64);
  const read = await runVariant(testDevice, acp, small.p, paramsOf(acp), { ...made, values });
  const out = new Float32Array((await read("out", 0, 512)).slice().buffer);
  out.forEach((value, i) => assertEquals(Number.isNaN(value), i < 64, `element ${i}`));
});

test("heads of a list may have logits far apart", async (acp) => {
  const { p, options } = testCase({ heads: [3, 1], headDim: 64, dtype: "f32", lengths: [257] });
  const joined = "attend.JOINED" in acp.tunables ? { "attend.JOINED": 1 } : undefined;
  const settings: Params = { ...paramsOf(acp), "attend.HEADS": 3, ...joined };
  const inputs = makeInputs(acp, p, settings, options);
  // Every logit of a head has the same large part: q times a one, over the root of 64.
  const keys = new Float32Array((inputs.keys.buffer as ArrayBuffer).slice(0));
  const q = (inputs.q as Float32Array<ArrayBuffer>).slice();
  const decay_state = (inputs.decay_state as Float32Array<ArrayBuffer>).slice();
  for (let token = 0; token < 257; token++) keys[token * 64] = 1;
  [0, 800, -800].forEach((part, head) => q[head * 64] = part);
  for (let half = 0; half < 6; half++) decay_state[half * (BLOCK + 2) + BLOCK + 1] = 100;
  const read = await runVariant(testDevice, acp, p, settings, { ...inputs, keys, q, decay_state });
  const { ok, worst } = await verify(acp, p, settings, read);
  assert(ok, JSON.stringify(worst));
});

/** Tokens of strong decay, and then of hardly any: what f32 loses in one sum. */
function strongGates(count: number): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length: count }, (_, i) => count - i > 300 ? -5 : -0.0123);
}

test("131,072 tokens of strong decay lose no precision to the last ones", async (acp) => {
  const length = 131072;
  const long = testCase({ heads: [1, 1], headDim: 64, lengths: [length] });
  const random = createRandom(3, 1);
  const rows = () => Float32Array.from({ length: length * 64 }, () => 2 * random.uniform() - 1);
  const [k, v] = [packKv(rows(), "f16"), packKv(rows(), "f16")];
  const q = Float32Array.from({ length: 64 }, () => random.normal());
  const gates = strongGates(length);
  const older = keptDecays(gates.subarray(0, length - 1), 128);
  const size = 130;
  const state = new Float32Array(2 * size).fill(NaN);
  state.set([older.blocks[1023], ...older.decays.subarray(1023 * 128)], size);
  state[2 * size - 1] = 8;
  const blocks = new Float32Array(1026);
  blocks.set(older.blocks, 2);
  // The decays by their definition in f64, and as a running sum in f32.
  const exact = new Float64Array(length);
  for (let i = length - 2; i >= 0; i--) exact[i] = exact[i + 1] + gates[i + 1];
  const running = gates.slice();
  for (let i = 1; i < length; i++) running[i] += running[i - 1];
  const half = (packed: ArrayBufferView) => new Float16Array(packed.buffer as ArrayBuffer);
  const row = (packed: ArrayBufferView) => (token: number) =>
    half(packed).subarray(64 * token, 64 * token + 64);
  const all = Uint32Array.from({ length }, (_, token) => token);
  const attended = (biasOf: (token: number) => number) =>
    attendReference(q, row(k), row(v), all, undefined, NO_SINK_LOGIT, biasOf);
  const want = attended((token) => exact[token]);
  const errorOf = (got: ArrayLike<number>) =>
    normOf(want.map((value, d) => value - got[d])) / normOf(want);
  assert(errorOf(attended((token) => running[length - 1] - running[token])) > 1e-3);
  const settings = acp.defaults(long.p, testDevice.limits);
  const read = await runVariant(testDevice, acp, long.p, settings, {
    lengths: Uint32Array.of(length),
    sink_logits: Float32Array.of(NO_SINK_LOGIT),
    q,
    keys: k,
    values: v,
    log_gates: gates.slice(-1),
    decay_state: state,
    decays: Float32Array.from([...older.decays, NaN]),
    block_decays: blocks,
  });
  assertLess(errorOf(new Float32Array((await read("out", 0, 256)).slice().buffer)), 1e-5);
  const [begin] = new Float32Array((await read("block_decays", 0, 4)).slice().buffer);
  assertEquals(begin, length - 384);
});

Deno.test("pipeline/acp: no GPU error went uncaught", () =>
  assertEquals(testDevice.uncaptured, []));
