import { assertEquals, assertRejects } from "@std/assert";
import type { numpy as np } from "@jax-js/jax";
import { createLosses, DivergedError } from "./losses.ts";

/** A loss that arrives when the test calls `arrive`. */
function pendingLoss() {
  const { promise, resolve } = Promise.withResolvers<Float32Array>();
  const array = { device: "wasm", data: () => promise } as unknown as np.Array;
  return { array, arrive: (loss: number) => resolve(Float32Array.of(loss)) };
}

Deno.test("createLosses() leaves at most `mostUnread` unread, averaged in order", async () => {
  const losses = createLosses(5, 2);
  const coming = [1, 2, 3].map(pendingLoss);
  await losses.add(1, coming[0].array);
  await losses.add(2, coming[1].array);
  assertEquals(losses.mean, 5);
  let isAdded = false;
  const third = losses.add(3, coming[2].array).then(() => isAdded = true);
  coming[2].arrive(30);
  coming[1].arrive(20);
  await Promise.resolve();
  assertEquals([isAdded, losses.mean], [false, 5]);
  coming[0].arrive(10);
  await third;
  assertEquals(losses.mean, 10);
  await losses.readAll();
  assertEquals(losses.mean, 10.5 + 0.05 * (30 - 10.5));
});

Deno.test("createLosses() names the lowest step whose loss is not finite", async () => {
  const losses = createLosses(0, 2);
  const coming = [1, 2, 3].map(pendingLoss);
  const added = coming.map(({ array }, i) => losses.add(7 + i, array));
  for (const [i, loss] of [NaN, Infinity, 1].entries()) coming[2 - i].arrive(loss);
  await Promise.all(added);
  await assertRejects(() => losses.readAll(), DivergedError, "The loss of step 8 is not finite");
});
