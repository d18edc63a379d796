import { assert, assertEquals, assertGreaterOrEqual } from "@std/assert";
import { type Problem, ROTATED_CODE } from "../../kernels/core/problem/problem.ts";
import type { Params } from "../../kernels/core/problem/constants.ts";
import type { Variant } from "../../kernels/core/variant.ts";
import { LARGE_LIMITS as LIMITS } from "../../kernels/core/device_limits.ts";
import { EVERY_VARIANT, findVariant } from "../../kernels/core/registry.ts";
import { workgroupFacts } from "../../kernels/core/wgsl/wgsl_facts.ts";
import { problemOfCase } from "../tune/testing_space.ts";
import { candidateKey, candidateSpace, neighbours } from "./candidates.ts";

const CASE = ["--models", "llama-3.1-8b", "--kv", "32768"];
const p = problemOfCase(...CASE);
/** A problem whose codes the GQA group shares: some variants take no other. */
const shared = problemOfCase(...CASE, "--sharing", "group", "--map", "random", "--bits", "128");

const rotated = { ...p, ...ROTATED_CODE };

/** Sequences that share a prefix: some variants take no others. */
const requests = { ...rotated, batch: 4, prefix: p.kvLen - 512 };

/** A problem that a variant runs. */
function problemFor(variant: Variant): Problem {
  const runs = (each: Problem) => !variant.refuses(each, variant.defaults(each, LIMITS), LIMITS);
  return [p, shared, rotated, requests].find(runs)!;
}

for (const variant of EVERY_VARIANT) {
  Deno.test(`candidateSpace() allows the defaults and more of ${variant.name}`, () => {
    const space = candidateSpace(variant, problemFor(variant), LIMITS);
    assert(space.allows(space.defaults));
    let allowed = 0;
    const tried = Math.min(space.size, 1500); // of all parts of the space
    for (let i = 0; i < tried; i++) {
      if (space.allows(space.at(Math.floor(i * space.size / tried)))) allowed++;
    }
    const enough = ["dense", "score", "attend"].includes(variant.stage) ? 24 : 2;
    assertGreaterOrEqual(allowed, enough);
  });
}

/** A bitonic sort is left out: it can choose only two sizes. */
const tuned = EVERY_VARIANT.filter(({ name, stage }) =>
  ["dense", "score", "attend", "select"].includes(stage) && name !== "select/bitonic"
);

for (const variant of tuned) {
  Deno.test(`candidateSpace() has three parameters and 24 candidates of ${variant.name}`, () => {
    const problem = problemFor(variant);
    const space = candidateSpace(variant, problem, LIMITS);
    assertGreaterOrEqual(Object.keys(space.values).length, 3);
    const all = Array.from({ length: space.size }, (_, i) => space.at(i));
    const valid = all.filter((params) => !variant.refuses(problem, params, LIMITS));
    assertGreaterOrEqual(valid.length, 24);
  });
}

Deno.test("candidateSpace() has each combination once, and allows none beyond the limits", () => {
  const split = findVariant("dense/split");
  const space = candidateSpace(split, p, LIMITS);
  const all = Array.from({ length: space.size }, (_, i) => space.at(i));
  assertEquals(new Set(all.map(candidateKey)).size, space.size);
  const small = { ...LIMITS, maxComputeWorkgroupStorageSize: 8192 };
  const allowed = all.filter(candidateSpace(split, p, small).allows);
  const bytesOf = (params: Params) =>
    Math.max(
      ...split.plan(p, params).dispatches.map(({ kernel, params }) =>
        workgroupFacts(kernel.source, params).bytes
      ),
    );
  assert(allowed.length > 0 && allowed.every((params) => bytesOf(params) <= 8192));
  assert(all.some((params) => bytesOf(params) > 8192));
});

Deno.test("candidateSpace() allows only merges of as many partials as the default", () => {
  const space = candidateSpace(findVariant("merge/merge"), p, LIMITS);
  assert(space.allows({ ...space.defaults, SLICES: 4 }));
  assert(!space.allows({ ...space.defaults, SPLITS: 8 }));
});

Deno.test("neighbours() are one step away, also from values that are not in the list", () => {
  const space = candidateSpace(findVariant("dense/split"), p, LIMITS);
  const from: Params = { ...space.defaults, WORKGROUP: 64, LANES: 16, TOKENS: 3 };
  const changed = neighbours(space, from).flatMap((next) =>
    Object.entries(next).filter(([name, value]) => value !== from[name])
  ).filter(([name]) => name !== "SPLITS");
  const steps: [string, number][] = [
    ["WORKGROUP", 128],
    ["LANES", 8],
    ["LANES", 32],
    ["TOKENS", 2],
    ["TOKENS", 4],
    ["HEADS", 3],
    ["HEADS", 5],
  ];
  assertEquals(changed, steps);
});
