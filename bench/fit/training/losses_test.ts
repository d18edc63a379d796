import { assertEquals, assertRejects } from "@std/assert";
import type { numpy as np } from "@jax-js/jax";
import { createLosses, DivergedError } from "./losses.ts";

/** A loss of which a test decides when it arrives. */
function lossToCome() {
  const { promise, resolve } = Promise.withResolvers<Float32Array>();
  const array = { device: "wasm", data: () => promise } as unknown as np.Array;
  return { array, arrive: (loss: number) => resolve(Float32Array.of(loss)) };
}

Deno.test("only as many losses as may be are unread, and the mean is in the order of steps", async () => {
  const losses = createLosses(5, 2);
  const coming = [1, 2, 3].map(lossToCome);
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

Deno.test("the first loss that is no number is named, whichever arrives first", async () => {
  const losses = createLosses(0, 2);
  const coming = [1, 2, 3].map(lossToCome);
  const added = coming.map(({ array }, i) => losses.add(7 + i, array));
  for (const [i, loss] of [NaN, Infinity, 1].entries()) coming[2 - i].arrive(loss);
  await Promise.all(added);
  await assertRejects(() => losses.readAll(), DivergedError, "The loss of step 8 is not finite");
});
