import { assertEquals } from "@std/assert";
import { openAdapter } from "../../bench/edge/open_adapter.ts";
import { openDevice } from "../../bench/measure/device/adapter.ts";
import { sparsePortable } from "../pipeline/sparse.ts";
import { encodePrompt } from "../encode/prompt.ts";
import type { Problem } from "../core/problem/problem.ts";
import { type TunedEntry, tunedProblem, tuningChecksum } from "../core/tuning.ts";
import { createDecoder } from "./decoder.ts";
import { limitsOf } from "../core/device_limits.ts";

const p: Problem = {
  batch: 1,
  qHeads: 4,
  kvHeads: 2,
  headDim: 64,
  kvLen: 256,
  capacity: 256,
  dtype: "f16",
  bits: 32,
  sharing: "head",
  map: { layers: 1, hidden: 128, dtype: "f16" },
  topK: { sparsity: 8 },
  sink: 4,
  recent: 16,
};

Deno.test("createDecoder() uses tuned parameters, and the caller's before these", async () => {
  const { adapter, info } = await openAdapter();
  const { device } = await openDevice(adapter, []);
  const defaults = sparsePortable.defaults(p, limitsOf(device));
  const entry: TunedEntry = {
    adapter: info.adapter,
    driver: info.driver,
    backend: info.backend,
    kernel: sparsePortable.name,
    problem: tunedProblem(p),
    us: 10,
    defaultUs: 12,
    checksum: await tuningChecksum(sparsePortable, p),
    params: { ...defaults, "attend.SPLITS": 4 },
  };
  const splitsWith = async (changes: Partial<TunedEntry>, params = {}) => {
    const tuning = { entries: [{ ...entry, ...changes }] };
    const options = { variant: sparsePortable.name, tuning, params };
    const decoder = await createDecoder(device, p, options);
    decoder.destroy();
    assertEquals(Object.keys(decoder.params).includes(encodePrompt.name), true);
    return decoder.params[sparsePortable.name]["attend.SPLITS"];
  };
  assertEquals(await splitsWith({}), 4);
  assertEquals(await splitsWith({}, { [sparsePortable.name]: { "attend.SPLITS": 2 } }), 2);
  assertEquals(await splitsWith({ adapter: "Another GPU" }), defaults["attend.SPLITS"]);
  assertEquals(await splitsWith({ checksum: "of other sources" }), defaults["attend.SPLITS"]);
  device.destroy();
});
