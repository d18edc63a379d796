import { assert, assertEquals } from "@std/assert";
import { piecesOf } from "../../kernels/core/pieces.ts";
import { findVariant } from "../../kernels/core/registry.ts";
import { submit, write } from "../../kernels/core/run/run.ts";
import type { Variant } from "../../kernels/core/variant.ts";
import { type Problem, ROTATION } from "../../kernels/core/problem/problem.ts";
import { canRun, openTestDevice } from "../../testing/device/test_device.ts";
import { InputSets } from "./inputs/inputs.ts";
import { prepare, type PreparedVariant } from "./prepared_variant.ts";

const test = await openTestDevice();

const PROBLEM: Problem = {
  batch: 2,
  qHeads: 4,
  kvHeads: 2,
  headDim: 64,
  kvLen: 301,
  lengths: [301, 64],
  capacity: 320,
  dtype: "f16",
  bits: 64,
  sharing: "kv",
  map: ROTATION,
  planes: 2,
  topK: { sparsity: 8 },
  sink: 4,
  recent: 16,
};

/** A variant that leaves out all its dispatches. */
function idle(variant: Variant): Variant {
  return { ...variant, plan: (p, params) => ({ ...variant.plan(p, params), dispatches: [] }) };
}

/** A variant that writes elsewhere what it makes of the newest token for a buffer. */
function forgetful(variant: Variant, kept: string): Variant {
  const lost = `lost_${kept}`;
  return {
    ...variant,
    plan(p, params) {
      const { buffers, dispatches } = variant.plan(p, params);
      return {
        buffers: { ...buffers, [lost]: { ...buffers[kept], role: "scratch" } },
        dispatches: dispatches.map((each) => {
          const writes = each.kernel.bindings.some(({ name, access }) =>
            access === "read_write" && name === kept
          );
          return writes ? { ...each, rename: { ...each.rename, [kept]: lost } } : each;
        }),
      };
    },
  };
}

/** Prepares a variant over new inputs, and gives it to `body`. */
async function withPrepared(
  variant: Variant,
  body: (prepared: PreparedVariant) => Promise<void>,
  problem = PROBLEM,
  limits = test.limits,
): Promise<void> {
  const settings = { limits, seed: 1, budgetBytes: 1e9, unroll: false };
  const inputs = new InputSets(test.device, problem, settings);
  const params = variant.defaults(problem, limits);
  const prepared = await prepare(inputs, variant, params, { hot: true, layers: 1 });
  try {
    await body(prepared);
  } finally {
    prepared.destroy();
    inputs.destroy();
  }
}

/** Variants that add the newest token to buffers which their maker has filled already. */
const APPENDS = [
  "encode/rotate_append",
  "encode/labels",
  "encode/packed_labels",
  "encode/pq_append_4",
].map(findVariant).filter((variant) => canRun(test, variant));

for (const variant of APPENDS) {
  Deno.test(`verify() notices that ${variant.name} appends nothing`, async () => {
    await withPrepared(variant, async (prepared) => {
      assert((await prepared.verify(0)).ok);
    });
    await withPrepared(idle(variant), async (prepared) => {
      assertEquals((await prepared.verify(0)).ok, false);
    });
  });
}

Deno.test("verify() notices a whole step that keeps nothing of the newest token", async () => {
  const variant = findVariant("pipeline/rotated");
  for (const kept of ["codes", "factors", "key_stats"]) {
    await withPrepared(forgetful(variant, kept), async (prepared) => {
      assertEquals((await prepared.verify(0)).ok, false, kept);
    });
  }
});

Deno.test("verify() poisons the newest rows of every piece", async () => {
  const problem = { ...PROBLEM, capacity: 512 };
  const limits = { ...test.limits, maxStorageBufferBindingSize: 2 ** 17 };
  assertEquals(piecesOf(problem, limits)?.count, 2);
  const step = async ({ verify }: PreparedVariant) => assert((await verify(0)).ok);
  await withPrepared(findVariant("pipeline/rotated"), step, problem, limits);
  const append = async ({ verify }: PreparedVariant) => assertEquals((await verify(0)).ok, false);
  await withPrepared(idle(findVariant("encode/rotate_append")), append, problem, limits);
});

Deno.test("verify() poisons the newest rows of the lengths that the buffers have", async () => {
  await withPrepared(findVariant("pipeline/rotated"), async (prepared) => {
    assert((await prepared.verify(0)).ok);
    write(test.device, prepared.buffersOf(0).lengths, Uint32Array.of(300, 63));
    assert((await prepared.verify(0)).ok);
  });
});

Deno.test("verifyLast() fails after poison() unless a step runs", async () => {
  await withPrepared(findVariant("dense/split"), async (prepared) => {
    assert((await prepared.verify(0)).ok);
    prepared.poison();
    assertEquals((await prepared.verifyLast()).ok, false);
    submit(test.device, (pass) => prepared.record(pass, 0));
    assert((await prepared.verifyLast()).ok);
  });
});

Deno.test("prepare(): no GPU error went uncaught", () => assertEquals(test.uncaptured, []));
