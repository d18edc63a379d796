import assert from "node:assert/strict";
import { measureLength, openClient, TOLERANCE } from "./client.ts";
import { parseOptions, Refusal } from "./options.ts";
import { runClockOf } from "./run_clock.ts";

const SMALL = ["--heads", "8", "--kv-heads=2", "--dim", "64", "--sparsity", "4", "--rounds", "2"];

// ONNX Runtime leaves a timer behind.
Deno.test(
  "a decoder agrees with ONNX Runtime",
  { sanitizeOps: false, sanitizeResources: false },
  async () => {
    const client = await openClient();
    for (const length of [401, 33]) {
      const rows = await measureLength(client, parseOptions(SMALL), length);
      const [runtime, every, dense, sparse] = rows;
      assert.equal(rows.length, 4);
      assert.equal(runtime.distance, 0);
      for (const { distance } of [every, dense]) {
        assert.ok(distance > 0 && distance <= TOLERANCE, `${distance}`);
      }
      // Both windows hold a cache of 33 tokens; of 401 tokens some are left out.
      assert.equal(sparse.distance > TOLERANCE, length === 401);
      for (const { name, medianUs } of rows) assert.ok(medianUs > 0 && medianUs < 60e6, name);
    }
  },
);

Deno.test("a device without stamps is timed by the wall", async () => {
  const adapter = await navigator.gpu.requestAdapter();
  const device = await adapter!.requestDevice();
  const clock = await runClockOf(device);
  assert.match(clock.source, /^wall time/);
  const wait = () => new Promise<void>((resolve) => setTimeout(resolve, 20));
  await clock.time("wait", wait);
  await clock.time("wait", wait);
  const times = (await clock.take()).get("wait")!;
  assert.equal(times.length, 2);
  for (const us of times) assert.ok(us >= 19_000 && us < 5e6, `${us}`);
  assert.equal((await clock.take()).size, 0);
  device.destroy();
});

Deno.test("options are read, and refused in one sentence", () => {
  const { lengths, qHeads, rounds } = parseOptions(["--lengths=5,6", "--rounds", "3"]);
  assert.deepEqual([lengths, qHeads, rounds], [[5, 6], 32, 3]);
  for (
    const [args, message] of [
      [["8"], /^There is no flag 8; /],
      [["--toString", "8"], /^There is no flag --toString; /],
      [["--lengths"], /^--lengths needs a value\.$/],
      [["--lengths", "5,"], /^--lengths takes whole numbers from 2 to 1048576, not ""\.$/],
      [["--dim", "1e2"], /^--dim takes whole numbers from 1 to 256, not "1e2"\.$/],
      [["--dim", "64", "--dim=64"], /^--dim is given twice\.$/],
      [["--heads", "30"], /^--heads 30 is not a multiple of --kv-heads 8\.$/],
    ] as const
  ) {
    assert.throws(() => parseOptions(args), (error) => {
      return error instanceof Refusal && message.test(error.message);
    });
  }
});
