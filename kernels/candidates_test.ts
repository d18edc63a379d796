import { assert } from "@std/assert";
import { CONTENDERS } from "./registry.ts";
import { testCase } from "./testing_grid.ts";

/** An H100 through WebGPU. */
const LIMITS = {
  maxStorageBufferBindingSize: 2 ** 31 - 1,
  maxBufferSize: 2 ** 36,
  maxComputeWorkgroupStorageSize: 49152,
  maxComputeInvocationsPerWorkgroup: 1024,
  maxComputeWorkgroupsPerDimension: 65535,
  maxStorageBuffersPerShaderStage: 16,
  subgroupMinSize: 32,
};

const { p } = testCase({ heads: [32, 8], headDim: 128, lengths: [32768], capacity: 32768 });

for (const contender of CONTENDERS) {
  if (!["dense", "score", "attend", "select"].includes(contender.stage)) continue;
  if (contender.name === "select/bitonic") continue; // two sizes are all that it has to choose
  Deno.test(`${contender.name}: a tuner has three parameters and 24 candidates to turn to`, () => {
    const names = Object.keys(contender.tunables);
    assert(names.length >= 3, `only ${names}`);
    const all = names.reduce<Record<string, number>[]>(
      (sets, name) =>
        sets.flatMap((set) => contender.tunables[name].map((value) => ({ ...set, [name]: value }))),
      [{}],
    );
    const usual = contender.defaults(p, LIMITS);
    const valid = all.filter((set) => !contender.refuses(p, { ...usual, ...set }, LIMITS));
    assert(valid.length >= 24, `only ${valid.length} of ${all.length}`);
  });
}
